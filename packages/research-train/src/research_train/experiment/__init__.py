"""What a paper or project provides: experiments, their configs, and the assets they need."""
