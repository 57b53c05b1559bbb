"""Toy models of superposition (Elhage et al., arXiv 2209.10652)."""
