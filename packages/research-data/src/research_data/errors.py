"""The errors that this package raises, with messages for the person at the keyboard.

    ResearchError             something failed; a command ends with exit code 1
    ├── UsageError            the command line or a config is wrong; exit code 2
    ├── UnreadableError       a file can't be read, or isn't what it should hold
    └── AssetError            a dataset or model is not as it should be
        ├── DamagedAssetError a file differs from what its .asset.json says
        ├── HubError          a hub refuses, or can't be reached
        ├── StoreError        a bucket or folder elsewhere refuses, or can't be reached
        └── StorageError      a file could not be written: disk full, no permission

research-train adds its own below these.
"""

import errno
from pathlib import Path

# errno -> advice, as a sentence. Only the errno is known here, so each sentence must be true of
# that error wherever it occurred.
_ADVICE = {
    errno.ENOSPC: "Free some room on that disk, or use another: RESEARCH_ASSETS is the folder of "
    "assets and runs.",
    errno.EACCES: "Give yourself permission, or use another folder: RESEARCH_ASSETS is the folder "
    "of assets and runs.",
    errno.EROFS: "That disk is read-only. Use another: RESEARCH_ASSETS is the folder of assets "
    "and runs.",
    errno.ENOENT: "Check its spelling, and that the folder it belongs in exists.",
    errno.ENOTDIR: "A part of that path is a file where a folder should be: correct the path (is "
    "it RESEARCH_ASSETS?), or move the file away.",
    errno.EISDIR: "That is a folder, not a file: name another, or move the folder away.",
    errno.EEXIST: "Something of that name exists already: move it away.",
    errno.ENOTEMPTY: "That folder is not empty: move its content away.",
    errno.ELOOP: "Links in that path form a circle: remove one of them.",
    errno.ENAMETOOLONG: "Use a shorter name.",
    errno.EMFILE: "This process has too many files open: `ulimit -n` shows and raises the limit.",
    errno.ENFILE: "This machine has too many files open: end some programs.",
    errno.EIO: "The disk, or the connection to it, failed: check it before you try again.",
    errno.EFBIG: "That disk can't hold a file so large: use another.",
    errno.ENOMEM: "There is not enough memory: end some programs.",
    errno.EBUSY: "Another program uses it: end that program, or wait.",
    errno.EXDEV: "Both must be on the same disk.",
}
_ADVICE[errno.ETXTBSY] = "A running program uses it: wait until it ends."
_ADVICE[errno.EDQUOT] = _ADVICE[errno.ENOSPC]
_ADVICE[errno.EPERM] = _ADVICE[errno.EACCES]
_ADVICE[errno.ESTALE] = _ADVICE[errno.EIO]


def reason_of(error: OSError) -> str:
    """The system's own words for an error: `No such file or directory`."""
    return error.strerror or str(error) or type(error).__name__


def advice_for(error: OSError) -> str:
    """Advice on an error of the system, as a sentence; empty when there is none."""
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

    folder: the asset's folder; it can be removed, and made or pulled again. what: the damage.
    """

    def __init__(self, folder: Path, what: str):
        super().__init__(f"{folder}: {what}")
        self.folder = folder
        self.what = what


class UnreadableError(ResearchError):
    """A file can't be read, or doesn't hold what it should.

    path: the file. reason: what is wrong. missing: whether the file doesn't exist.
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
    """A hub refuses, can't be reached, or sends something other than it announced.

    transient: whether the same request may succeed a moment later. pause: the seconds that the hub
    asks to wait, if it does.
    """

    def __init__(self, message: str, transient: bool = False, pause: float | None = None):
        super().__init__(message)
        self.transient = transient
        self.pause = pause


class StoreError(AssetError):
    """The store at an address refuses, can't be reached, or gives back other bytes.

    The message has the address and never credentials. What was sent or fetched so far is kept: the
    same command goes on with it.
    """


def is_of_the_disk(error: OSError) -> bool:
    """Whether an error is about local files and not about a connection."""
    return error.errno in _ADVICE
