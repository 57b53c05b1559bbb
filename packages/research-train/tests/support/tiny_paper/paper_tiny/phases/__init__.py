"""A training without chance in it, for one process or several."""
