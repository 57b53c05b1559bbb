"""What a reproduction shows: tables, figures, results.json, and the paper's README."""
