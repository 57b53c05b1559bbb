"""The Hugging Face hub: what is pulled, at which revision, and why a pull fails."""
