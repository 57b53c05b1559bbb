"""Words typed and what comes back: usage, which paper, errors as sentences and exit codes."""
