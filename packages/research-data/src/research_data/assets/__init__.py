"""The assets folder: find, name, verify, remove, export and import datasets and models."""
