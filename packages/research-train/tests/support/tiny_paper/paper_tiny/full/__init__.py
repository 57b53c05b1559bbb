"""Everything a training can hold at once, and a way to be killed at a chosen place."""
