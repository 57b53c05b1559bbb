"""Commands that a release runs: uv, git, and the tests of a package."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from research_train.code.git import git_environment
from research_train.processes.children import ask_for_death_signal, output_of

STOP_TIMEOUT = 5.0  # seconds between SIGTERM and SIGKILL for tests that are stopped


def run_in_a_group(words: Sequence[object], folder: Path) -> int:
    """Run a command, its output on stderr; returns its exit code.

    The command and every process that it started end when this process is stopped.
    """
    child = subprocess.Popen(
        [str(word) for word in words],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
        preexec_fn=ask_for_death_signal,
    )
    try:
        return child.wait()
    except BaseException:
        with suppress(ProcessLookupError):  # all of them have just ended
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        raise


def git(folder: Path, *words: str) -> str:
    """What a git command prints. Raises CommandError."""
    # No hooks: they are meant for commits by hand, and this work tree has no environment for them.
    return run(["git", "-c", f"core.hooksPath={os.devnull}", *words], folder)


def run(words: Sequence[object], folder: Path) -> str:
    """What a command prints. Raises CommandError."""
    printed = output_of([str(word) for word in words], folder, _environment())
    return printed.decode(errors="replace").rstrip()


def _environment() -> dict[str, str]:
    """The environment without variables that put other code first or point uv or git elsewhere."""
    dropped = {"PYTHONPATH", "VIRTUAL_ENV", "UV_PROJECT", "UV_WORKING_DIR"}
    dropped |= {"PYTHONHOME", "RESEARCH_RELEASES", "UV_PROJECT_ENVIRONMENT"}
    return {name: value for name, value in git_environment().items() if name not in dropped}
