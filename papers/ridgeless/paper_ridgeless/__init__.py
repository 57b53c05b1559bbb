"""Surprises in high-dimensional ridgeless least squares interpolation (arXiv 1903.08560)."""
