"""The errors that this package raises, with messages for the person at the keyboard.

    ResearchError             something failed; a command ends with exit code 1
    ├── UsageError            the command line or a config is wrong; exit code 2
    ├── UnreadableError       a file can't be read, or isn't what it should hold
    └── AssetError            a dataset or model is not as it should be
        ├── DamagedAssetError a file differs from what its .asset.json says
        ├── HubError          a hub refuses, or can't be reached
        └── StorageError      a file could not be written: no room, no right

research-train adds its own below these.
"""

import errno
from pathlib import Path

# errno -> what helps, as a sentence. Only what the system itself said is known here, so each says
# what is true of that error wherever it came from.
_ADVICE = {
    errno.ENOSPC: "Free some room on that disk, or use another: RESEARCH_ASSETS says where assets "
    "and runs lie.",
    errno.EACCES: "Give yourself the right to it, or use another folder: RESEARCH_ASSETS says "
    "where assets and runs lie.",
    errno.EROFS: "That disk is only for reading. Use another: RESEARCH_ASSETS says where assets "
    "and runs lie.",
    errno.ENOENT: "Check how it is spelt, and that the folder it lies in is there.",
    errno.ENOTDIR: "A part of that path is a file where a folder should be: correct the path (is "
    "it RESEARCH_ASSETS?), or move the file away.",
    errno.EISDIR: "A folder stands where a file should: name another, or move the folder away.",
    errno.EEXIST: "Something of that name is there already: move it away.",
    errno.ENOTEMPTY: "Something lies in that folder already: move it away.",
    errno.ELOOP: "Links in that path lead round in a circle: remove one of them.",
    errno.ENAMETOOLONG: "Use a shorter name.",
    errno.EMFILE: "This process has too many files open: `ulimit -n` shows and raises the limit.",
    errno.ENFILE: "This machine has too many files open: end some programs.",
    errno.EIO: "The disk, or the connection to it, failed: look at it before anything is repeated.",
    errno.EFBIG: "That disk takes no file so large: use another.",
    errno.ENOMEM: "There is not enough memory: end some programs.",
    errno.EBUSY: "Another program uses it: end that, or wait.",
    errno.EXDEV: "Both must lie on one disk.",
}
_ADVICE[errno.ETXTBSY] = "A process has it open: let that end first."
_ADVICE[errno.EDQUOT] = _ADVICE[errno.ENOSPC]
_ADVICE[errno.EPERM] = _ADVICE[errno.EACCES]
_ADVICE[errno.ESTALE] = _ADVICE[errno.EIO]


def reason_of(error: OSError) -> str:
    """What the system said: `No such file or directory`."""
    return error.strerror or str(error) or type(error).__name__


def advice_for(error: OSError) -> str:
    """What helps against an error of the system, as a sentence; empty where nothing is known."""
    return _ADVICE.get(error.errno or 0, "")


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


class UnreadableError(ResearchError):
    """A file can't be read, or isn't what it should hold. path, reason: which, and why.

    missing: whether it isn't there at all.
    """

    def __init__(self, path: Path, reason: str, missing: bool = False):
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.missing = missing


class StorageError(AssetError):
    """A file could not be written; nothing half-written is left in its place."""

    def __init__(self, path: Path, error: OSError):
        super().__init__(f"cannot write {path}: {reason_of(error)}. {advice_for(error)}".rstrip())


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
    return error.errno in _ADVICE
