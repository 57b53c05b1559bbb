"""The commands `research-cli dataset` and `research-cli model`."""
