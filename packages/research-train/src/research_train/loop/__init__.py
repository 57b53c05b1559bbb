"""The training loop: steps, evaluations, checkpoints and metrics."""
