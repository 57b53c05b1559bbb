"""The code that a run runs: which files it reaches, what of them counts, and how they are kept."""
