"""research-cli env."""
