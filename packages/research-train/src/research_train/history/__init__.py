"""Work with recorded runs: list, compare, plot, export, import and rerun them."""
