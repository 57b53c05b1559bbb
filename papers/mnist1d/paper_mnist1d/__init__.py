"""Scaling down deep learning: MNIST-1D (Greydanus and Kobak, arXiv 2011.14439)."""
