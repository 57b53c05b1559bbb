"""Which version of our packages a paper runs, and the start under it."""
