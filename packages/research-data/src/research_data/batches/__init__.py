"""Batches whose order is fixed by a seed and whose position can be saved and resumed."""
