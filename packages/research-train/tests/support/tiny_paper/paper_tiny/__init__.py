"""A paper small enough to train in a test."""
