"""What a member provides: its experiments, their configs, and the assets they need."""
