"""A second experiment, which trains nothing."""
