"""research-cli package."""
