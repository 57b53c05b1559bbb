"""Reusable architectures in plain PyTorch.

The public names are listed in `__init__.pyi`; torch is imported when one is first used.
"""

from importlib.metadata import version

import lazy_loader

__version__ = version("research-models")
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
