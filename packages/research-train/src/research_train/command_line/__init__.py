"""The command line of papers: options, which paper is meant, errors and exit codes."""
