"""What to say of a public name that there isn't: the nearest that there is.

The same file is in each package with public names, and a test keeps them equal: data, models and
viz import none of ours, and a paper may run any two packages in versions of different age.
"""

import sys
from collections.abc import Callable, Sequence


def naming_the_nearest(
    module: str, find: Callable[[str], object], names: Sequence[str]
) -> Callable[[str], object]:
    """A module's __getattr__ that finds its names, and suggests the nearest for an unknown one.

    It raises AttributeError, as for any module, or in `from module import name` ImportError: Python
    before 3.12 would replace an AttributeError there by an error that names no other.
    """

    def getattr_(name: str) -> object:
        if name in names:
            return find(name)
        message = _no_such_name(module, name, names)
        if _is_from_import():
            raise ImportError(message, name=module)
        raise AttributeError(message, name=name)

    return getattr_


def _no_such_name(module: str, name: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches  # here, as few programs need it

    spelled = {each.lower(): each for each in names}  # "mlp" is near to "MLP"
    near = get_close_matches(name.lower(), spelled, n=1)
    hint = f"Did you mean {spelled[near[0]]!r}?" if near else f"It has {', '.join(sorted(names))}."
    return f"{module} has no {name!r}. {hint}"


def _is_from_import() -> bool:
    """Whether the caller of __getattr__ runs `from module import ...` just now.

    Python first asks whether the module has the name, so as to import a submodule else; that
    question needs an AttributeError. Then the instruction IMPORT_FROM reads the name.
    """
    from dis import opmap

    caller = sys._getframe(2)
    return caller.f_code.co_code[caller.f_lasti] == opmap["IMPORT_FROM"]
