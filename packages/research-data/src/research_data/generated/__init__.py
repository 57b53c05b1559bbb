"""Data that a paper makes itself, or that the literature defines."""
