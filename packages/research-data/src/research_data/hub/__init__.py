"""Pull datasets and models from the Hugging Face hub, pinned to a revision."""
