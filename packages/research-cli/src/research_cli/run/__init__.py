"""research-cli run."""
