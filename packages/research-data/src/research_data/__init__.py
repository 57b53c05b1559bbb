"""Datasets in one verified folder, and fast exact batches.

The public names are listed in `__init__.pyi`; each is imported when it is first used, so that
`import research_data` is quick. Only the batches import torch.
"""

import sys

import lazy_loader

from research_data.nearest_name import naming_the_nearest

if sys.platform == "win32":
    # No error of ours: a command imports this before the code that prints those.
    raise SystemExit(
        "error: research-data needs Linux or macOS, for locks that the system frees when a process "
        "dies. On Windows, run it inside WSL 2."
    )

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = naming_the_nearest(__name__, __getattr__, __all__)
