"""Zoology: measuring and improving recall in efficient language models (arXiv 2312.04927)."""
