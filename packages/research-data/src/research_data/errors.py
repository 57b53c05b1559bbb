"""What can go wrong, as sentences to the person at the keyboard.

    ResearchError             something failed; a command ends with exit code 1
    ├── UsageError            the command line or a config is wrong; exit code 2
    └── AssetError            a dataset or model is not as it should be
        ├── DamagedAssetError a file differs from what its .asset.json says
        ├── HubError          a hub refuses, or can't be reached
        └── StorageError      a file could not be written: no room, no right

research-train adds its own below these.
"""

import errno
from pathlib import Path

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_RIGHT = (errno.EROFS, errno.EACCES, errno.EPERM)
IN_THE_WAY = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY)
OTHER = {
    errno.ENOENT: "Is its folder there, and is that no link to nowhere?",
    errno.ELOOP: "A link there leads back to itself: remove it.",
    errno.ENAMETOOLONG: "That file system takes no name so long: use a shorter one.",
    errno.EMFILE: "This process may open no more files: raise `ulimit -n`.",
    errno.ENFILE: "This machine has too many files open: try again later.",
    errno.EIO: "The disk itself fails: look at its state before anything else is written to it.",
    errno.ETXTBSY: "A process has it open: let that end first.",
}


class ResearchError(Exception):
    """A failure with a message for a person; commands print it without a traceback."""

    exit_code = 1


class UsageError(ResearchError):
    """The command line, a config or a name is wrong: correct it and try again."""

    exit_code = 2


class AssetError(ResearchError):
    """A dataset or model is missing or not as it should be."""


class DamagedAssetError(AssetError):
    """A file of an asset is missing or differs from what .asset.json says.

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
        super().__init__(f"cannot write {path}: {reason}. {_advice(error)}")


class HubError(AssetError):
    """A hub refuses, can't be reached, or sends what is not what it promised.

    transient: whether the same request may well succeed a moment later. pause: seconds that the
    hub wants to be left alone for, where it says so.
    """

    def __init__(self, message: str, transient: bool = False, pause: float | None = None):
        super().__init__(message)
        self.transient = transient
        self.pause = pause


def is_of_the_disk(error: OSError) -> bool:
    """Whether an error is about files here, and not about a connection."""
    return error.errno in (*NO_ROOM, *NO_RIGHT, *IN_THE_WAY, *OTHER)


def _advice(error: OSError) -> str:
    """What to do about an error that a disk gave."""
    if error.errno in NO_ROOM:
        return "Free some room, or set RESEARCH_ASSETS to a folder on a larger disk."
    if error.errno in NO_RIGHT:
        return "Make it writable, or set RESEARCH_ASSETS to a folder that is."
    if error.errno in IN_THE_WAY:
        return (
            "Something there is a file where a folder is needed, or a folder where a file is. Move "
            "it away, or set RESEARCH_ASSETS to another folder."
        )
    return OTHER.get(
        error.errno or 0,
        "Free some room or make it writable, or set RESEARCH_ASSETS to a folder that is.",
    )
