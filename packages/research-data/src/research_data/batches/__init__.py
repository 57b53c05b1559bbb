"""Exact batches: which examples make the next one, and where a resume goes on."""
