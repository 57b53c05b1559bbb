"""Start processes, stop them on signals, and let several train one model."""
