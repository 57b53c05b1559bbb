"""Recognise pickled files, which could run code when read: none is ever accepted."""

import fnmatch
from collections.abc import Sequence

PICKLES = (
    *("*.bin", "*.pt", "*.pth", "*.pt2", "*.pth.*", "*.pt.*", "*.ckpt", "*.ckpt.*"),
    *("*.pkl", "*.pickle", "*.joblib", "*.dill", "*.npy", "*.npz", "*.h5", "*.keras"),
)


def is_pickle(name: str) -> bool:
    """Whether a file of that name may hold pickled Python objects."""
    return matches(name.casefold(), PICKLES)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a file's name matches one of the patterns."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
