"""The command `research-cli env`."""
