"""What can go wrong, as sentences to the person at the keyboard.

    ResearchError             something failed; a command ends with exit code 1
    ├── UsageError            the command line or a config is wrong; exit code 2
    └── AssetError            a dataset or model is not as it should be
        ├── DamagedAssetError a file differs from what its asset.json says
        ├── HubError          a hub refuses, or can't be reached
        └── StorageError      a file could not be written: no room, no right

research-train adds its own below these.
"""

from pathlib import Path


class ResearchError(Exception):
    """A failure with a message for a person; commands print it without a traceback."""

    exit_code = 1


class UsageError(ResearchError):
    """The command line, a config or a name is wrong: correct it and try again."""

    exit_code = 2


class AssetError(ResearchError):
    """A dataset or model is missing or not as it should be."""


class DamagedAssetError(AssetError):
    """A file of an asset is missing or differs from what asset.json says.

    folder: the asset's folder; it can be removed and made or pulled again. what: is wrong with it.
    """

    def __init__(self, folder: Path, what: str):
        super().__init__(f"{folder}: {what}")
        self.folder = folder
        self.what = what


class StorageError(AssetError):
    """A file could not be written; nothing half-written is left in its place."""

    def __init__(self, path: Path, error: OSError):
        reason = error.strerror or str(error)
        super().__init__(
            f"cannot write {path}: {reason}. Free some room or make it writable, "
            "or set RESEARCH_ASSETS to a folder that is."
        )


class HubError(AssetError):
    """A hub refuses, can't be reached, or sends what is not what it promised.

    transient: whether the same request may well succeed a moment later.
    """

    def __init__(self, message: str, transient: bool = False):
        super().__init__(message)
        self.transient = transient
