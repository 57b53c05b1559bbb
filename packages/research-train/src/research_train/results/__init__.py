"""Report a reproduction: tables, figures, results.json and the paper's README."""
