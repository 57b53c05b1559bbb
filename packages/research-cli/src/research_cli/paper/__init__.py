"""research-cli paper, research-cli project."""
