"""Grokking (Power et al., arXiv 2201.02177; Nanda et al., arXiv 2301.05217)."""
