"""One run: its folder, its record, its metrics, and how it begins and goes on."""
