"""The command `research-cli report`."""
