"""Self-supervised learning, SimCLR, and a linear probe of each layer (section 5.5)."""
