"""One run: its folder, its record, its metrics, how it starts and resumes."""
