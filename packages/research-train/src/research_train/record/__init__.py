"""The record of a run: its folder, run.json and metrics, how it starts and resumes."""
