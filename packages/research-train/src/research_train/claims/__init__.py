"""Published figures, and the verdict that recorded runs give on each."""
