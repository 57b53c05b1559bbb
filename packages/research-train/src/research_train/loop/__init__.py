"""The training itself: a step, what measures it, and what decides it."""
