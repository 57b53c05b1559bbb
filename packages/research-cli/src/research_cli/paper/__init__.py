"""The commands `research-cli paper` and `research-cli project`."""
