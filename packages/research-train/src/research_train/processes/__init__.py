"""Running commands: how a process starts, ends with its parent, and works with others."""
