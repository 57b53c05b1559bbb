"""The installed version. Its own module, as looking it up takes longer than all else here."""

from importlib.metadata import version

__version__ = version("research-train")
