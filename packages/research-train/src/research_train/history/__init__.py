"""Many runs: list, compare, draw, exchange and repeat them."""
