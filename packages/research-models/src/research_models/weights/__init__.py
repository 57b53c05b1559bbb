"""Published model families: what config.json means, and what each tensor is called."""
