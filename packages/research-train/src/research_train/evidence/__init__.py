"""The runs behind a claim: found, made, or carried over from earlier code."""
