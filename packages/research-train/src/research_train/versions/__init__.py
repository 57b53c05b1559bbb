"""Choose the versions of our packages that a paper requires, and start under them."""
