"""The command `research-cli package`."""
