"""What the files and folders of a run are called; imports nothing, so that anyone may."""

RECORD = "run.json"
CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
SOURCES = ".sources"  # beside the papers' folders: the code of all runs, by its sha256
RERUNS = ".reruns"  # beside them: archives unpacked with their environments; may be removed
