"""Datasets made by a program: a paper's own, and some from the literature."""
