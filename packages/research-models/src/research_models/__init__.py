"""Reusable architectures in plain PyTorch.

The public names are listed in `__init__.pyi`; torch is imported when one is first used.
"""

import lazy_loader

from research_models.nearest_name import naming_the_nearest

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = naming_the_nearest(__name__, __getattr__, __all__)
