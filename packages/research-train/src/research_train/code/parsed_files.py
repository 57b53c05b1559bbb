"""Parse each Python file and hash each large file once, and cache the results.

Every start computes a fingerprint, and parsing takes a hundred times as long as reading. So a
parsed file is cached under the hash of its content, and the hash of a large file under its size,
times and inode, at least one of which changes with every write.
"""

import hashlib
import json
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from research_train.code.python_units import PythonFile, from_json, read_python

CACHES = Path(sys.prefix) / "research-cache"
LARGE = 1_000_000  # bytes; smaller files are read and hashed each time
LARGEST = 30_000_000  # bytes of the cache itself
PATIENCE = 1.0  # seconds that another process may hold the file
# Seconds. A file written twice within one tick of the clock keeps its times, so the hash of a file
# that was written more recently than this is not cached.
SETTLED = 2.0


class ParsedFiles:
    """A cache in memory and in one SQLite file. If that can't be used, all is slower but works."""

    def __init__(self, name: str = ""):
        """name: of a cache of its own; that of parsed Python files by default."""
        self._file = CACHES / f"{name or f'parsed-{_version()}'}.sqlite"
        self._used: dict[str, Any] = {}
        self._new: dict[str, str] = {}
        self._read: dict[Path, tuple[str, PythonFile | None]] = {}
        self._stored: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.Error):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._stored = _opened(self._file)

    def read(self, file: Path) -> PythonFile:
        """The parsed content of a Python file."""
        if file in self._read and (parsed := self._read[file][1]) is not None:
            return parsed
        content = file.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        found = None
        with suppress(KeyError, TypeError):
            found = from_json(self.recall(sha256))
        if found is None:
            found = read_python(content)
            self.keep(sha256, found.as_json())
        self._read[file] = (sha256, found)
        return found

    def sha256(self, file: Path) -> str:
        """The sha256 of a file's bytes."""
        if file in self._read:
            return self._read[file][0]
        stat = file.stat()
        if stat.st_size < LARGE:
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
            self._read[file] = (sha256, None)
            return sha256
        key = f"{file.resolve()} {stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"
        key += f" {stat.st_ctime_ns}"
        known = self.recall(key)
        if not isinstance(known, str):
            with file.open("rb") as opened:
                known = hashlib.file_digest(opened, "sha256").hexdigest()
            if time.time() - max(stat.st_mtime, stat.st_ctime) < SETTLED:
                return known
            self.keep(key, known)
        return known

    def remembered(self, key: str, make: Callable[[], dict[str, str]]) -> dict[str, str]:
        """The cached result of make under this key; make is called if there is none."""
        if not isinstance(known := self.recall(key), dict):
            known = make()
            self.keep(key, known)
        return known

    def recall(self, key: str) -> Any:
        """The value cached under this key; None if there is none."""
        if key not in self._used and self._stored is not None:
            with suppress(sqlite3.Error, ValueError, RecursionError):
                rows = self._stored.execute("SELECT value FROM known WHERE key = ?", (key,))
                for (value,) in rows:
                    self._used[key] = json.loads(value)
        return self._used.get(key)

    def keep(self, key: str, value: Any) -> None:
        """Cache a JSON value under a key that names everything it depends on."""
        self._used[key] = value
        self._new[key] = json.dumps(value)

    def save(self) -> None:
        """Write what is new into the file, for the next process."""
        if not self._new or self._stored is None:
            return
        with suppress(sqlite3.Error), self._stored:
            self._stored.executemany("REPLACE INTO known VALUES (?, ?)", self._new.items())
            [(size,)] = self._stored.execute("SELECT sum(length(value)) FROM known")
            if size > LARGEST:  # drop entries that this process didn't use
                keys = [key for (key,) in self._stored.execute("SELECT key FROM known")]
                unused = [(key,) for key in keys if key not in self._used]
                self._stored.executemany("DELETE FROM known WHERE key = ?", unused)
        self._new.clear()


def _opened(file: Path) -> sqlite3.Connection:
    """The cache in a file, which is made anew if it is damaged."""
    try:
        return _connected(file)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # it is locked, or can't be written
            raise
        file.unlink()
        return _connected(file)


def _connected(file: Path) -> sqlite3.Connection:
    stored = sqlite3.connect(file, timeout=PATIENCE, check_same_thread=False)
    stored.execute("PRAGMA synchronous = OFF")  # what a power cut damages is made anew
    stored.execute("CREATE TABLE IF NOT EXISTS known (key TEXT PRIMARY KEY, value TEXT)")
    return stored


@cache
def _version() -> str:
    """The versions of Python, whose syntax trees differ, and of the modules that parse."""
    names = ("python_units.py", "import_effects.py", "stripped_syntax.py")
    source = b"".join(Path(__file__).with_name(name).read_bytes() for name in names)
    reader = hashlib.sha256(source).hexdigest()[:12]
    return f"{sys.version_info.major}{sys.version_info.minor}-{reader}"
