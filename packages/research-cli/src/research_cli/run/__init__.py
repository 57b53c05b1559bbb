"""The command `research-cli run`."""
