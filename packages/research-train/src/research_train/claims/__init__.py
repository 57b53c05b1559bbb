"""Published figures, and the verdicts that runs allow on them."""
