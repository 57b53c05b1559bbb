"""How many parameters the ResNets of Table 6 have."""
