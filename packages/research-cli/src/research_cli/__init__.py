"""Thin commands over the research packages: each is a public function plus printing."""


def __getattr__(name: str) -> str:
    """Look up `__version__` when it is asked for: that takes a fifth of the time of `--help`."""
    if name == "__version__":
        from importlib.metadata import version

        return version("research-cli")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
