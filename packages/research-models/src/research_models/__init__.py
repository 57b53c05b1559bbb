"""Reusable architectures in plain PyTorch.

The public names are listed in `__init__.pyi`; torch is imported when one is first used.
"""

import sys
from importlib.metadata import version

import lazy_loader

__version__ = version("research-models")
lazy_getattr, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """A public name, imported now. An unknown one raises an error that says the nearest.

    AttributeError, as for any module, or in `from research_models import name` ImportError: Python
    would replace an AttributeError there by an error of its own.
    """
    if name in __all__:
        return lazy_getattr(name)
    message = no_such_name(name)
    if is_from_import():
        raise ImportError(message, name=__name__, path=__file__)
    raise AttributeError(message, name=name, obj=sys.modules[__name__])


def no_such_name(name: str) -> str:
    """What to say of an unknown name."""
    from difflib import get_close_matches  # here, as few programs need it

    names = {each.lower(): each for each in __all__}  # "mlp" is near to "MLP"
    near = get_close_matches(name.lower(), names, n=1)
    hint = f"Did you mean {names[near[0]]!r}?" if near else f"It has {', '.join(sorted(__all__))}."
    return f"research_models has no {name!r}. {hint}"


def is_from_import() -> bool:
    """Whether the caller of __getattr__ runs `from research_models import ...` just now.

    Python first asks whether the module has the name, so as to import a submodule else; that
    question needs an AttributeError. Then the instruction IMPORT_FROM reads the name.
    """
    from dis import opmap

    caller = sys._getframe(2)
    return caller.f_code.co_code[caller.f_lasti] == opmap["IMPORT_FROM"]
