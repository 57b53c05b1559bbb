"""The command `research-cli bench`."""
