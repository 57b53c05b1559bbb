"""Measure what a training step costs: profiles, and times against a plain PyTorch loop."""
