"""Keep what `train` says in the run's folder: log.txt, lines of stdout and stderr as they come.

It is for people, not evidence: the seal doesn't cover it. Each start and resume begins with the
time and the command. Of a line that is drawn again and again the last state is kept. Secrets are
replaced by stars: tokens that can be recognised, and the values of environment variables whose
names say so. What code in C writes to the descriptors isn't seen.
"""

import atexit
import os
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from research_train.code.secret_files import without_secrets

LOG = "log.txt"

_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY", re.I)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours and the like


def copy_output() -> "LogFile":
    """Copy what is written to stdout and stderr from now on, until the process ends."""
    log = LogFile()
    copies = [_Copied(stream, log) for stream in (sys.stdout, sys.stderr) if stream]
    for copied in copies:
        name = "stdout" if copied.stream is sys.stdout else "stderr"
        setattr(sys, name, cast(TextIO, copied))
        atexit.register(copied.end)
    return log


class LogFile:
    """What was said, in memory until the run's folder is known.

    A log that can't be written is given up silently: it must never end a training.
    """

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._waiting: list[bytes] | None = []  # lines said before the folder is known
        values = (value for name, value in os.environ.items() if _SECRET_NAME.search(name))
        self._secrets = [value.encode() for value in values if len(value) >= 8]

    def keep_in(self, folder: Path, command: Sequence[str]) -> None:
        """Append what was said, and what will be, to the log of a run. command: what was typed."""
        waiting, self._waiting = self._waiting or [], None
        try:
            self._file = (folder / LOG).open("ab", buffering=0)  # in the file after every line
        except OSError:
            return
        moment = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self.add(f"--- {moment} {shlex.join(command)}")
        for line in waiting:
            self._write(line)

    def add(self, line: str) -> None:
        """Add a line, without its end."""
        shown = _ESCAPES.sub("", line).encode(errors="backslashreplace")
        for secret in self._secrets:
            shown = shown.replace(secret, b"*" * len(secret))
        content = without_secrets(shown) + b"\n"
        if self._waiting is None:
            self._write(content)
        else:
            self._waiting.append(content)

    def _write(self, content: bytes) -> None:
        try:
            if self._file is not None:
                self._file.write(content)
        except OSError:  # a full disk, say
            self._file = None


class _Copied:
    """A stream whose lines are added to a log too; in all else it is the stream."""

    def __init__(self, stream: TextIO, log: LogFile):
        self.stream = stream
        self._log = log
        self._begun = ""  # of the line that isn't complete, what would be seen of it

    def write(self, text: str) -> int:
        *lines, rest = text.split("\n")
        for line in lines:
            self._log.add(_seen(self._begun + line))
            self._begun = ""
        self._begun = (self._begun + rest).rpartition("\r")[2]
        return self.stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def end(self) -> None:
        """Add the line that was begun."""
        if self._begun:
            self._log.add(self._begun)
            self._begun = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _seen(line: str) -> str:
    """What a terminal shows of a line that was drawn several times over itself."""
    return line.rstrip("\r").rpartition("\r")[2].rstrip()
