"""Read pulled assets: datasets, models and tokenised text."""
