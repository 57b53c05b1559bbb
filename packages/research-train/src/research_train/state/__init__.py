"""The complete state of a training, saved in checkpoints and restored by a resume."""
