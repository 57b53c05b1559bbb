"""Deep double descent over the width of an MLP (section 5.2)."""
