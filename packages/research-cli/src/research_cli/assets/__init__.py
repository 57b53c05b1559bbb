"""research-cli dataset, research-cli model."""
