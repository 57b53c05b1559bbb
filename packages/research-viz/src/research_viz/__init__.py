"""Numbers in, figures out: every function takes plain arrays and returns a matplotlib Figure.

The public names are listed in `__init__.pyi`; matplotlib is imported when one is first used.
"""

import lazy_loader

from research_viz.nearest_name import naming_the_nearest

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = naming_the_nearest(__name__, __getattr__, __all__)
