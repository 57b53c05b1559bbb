"""research-cli report."""
