"""Launcher, run record and training loop for reproduced papers.

The public names are listed in `__init__.pyi`; each is imported when first used, so that
`import research_train` imports neither torch nor pydantic.
"""

import lazy_loader

from research_train.nearest_name import naming_the_nearest

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = naming_the_nearest(__name__, __getattr__, __all__)
