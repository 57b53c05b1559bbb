"""Reading what was pulled: as datasets, as models' folders, as tokens."""
