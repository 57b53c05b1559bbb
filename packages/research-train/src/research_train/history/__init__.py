"""Many runs: listed, compared, drawn, exchanged, and run again."""
