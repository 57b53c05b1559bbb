"""Ways to run the command as a user does: from a pipe, and at a terminal."""

import fcntl
import os
import pty
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import fork_server
import pytest
from research_data import this_workspace


@pytest.fixture(scope="session")
def research_cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return fork_server.run("research-cli", words, Path.cwd(), os.environ)

    return run


@pytest.fixture(scope="session")
def at_a_terminal() -> Callable[..., str]:
    """Runs a command whose stdin, stdout and stderr are a terminal; returns all it shows."""

    def run(*command: str | Path) -> str:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 100))
        child = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
        )
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:
            pass  # on Linux the end of a terminal is an error, not an empty read
        os.close(ours)
        assert child.wait() == 0, shown.decode()
        return shown.decode()

    return run


@pytest.fixture
def alone_in_exploratory() -> Iterator[None]:
    """Several tests link data into the real projects/exploratory: one after the other."""
    workspace = this_workspace()
    assert workspace is not None
    folder = os.open(workspace / "projects" / "exploratory", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    yield
    os.close(folder)
