"""Thin commands over the research packages: each is a public function plus printing."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """Look up `__version__` when it is asked for: it takes a sixth of the time of `--help`."""
        if name == "__version__":
            from importlib.metadata import version

            return version("research-cli")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
