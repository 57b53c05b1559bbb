"""A pytest plugin that runs a pinned paper's tests under the releases it requires.

A process can import only one version of a package. So each test file of such a paper becomes a
single test, which runs pytest on the file in a process started as `train` is
(versions/hand_over.py).

With `--numprocesses=auto`, a few tests run in pytest's own process alone: every other process
would first spend some seconds on imports. And while tests are collected and run, Python's cyclic
garbage collector looks rarely at all that they import (processes/collector.py).
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from research_train.processes.collector import collect_rarely

if TYPE_CHECKING:
    from research_train.experiment.members import Member

FEW = 12  # test functions
UNDER_RELEASES = "under releases"  # a property of a test: what pytest said of the file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """How many processes `--numprocesses=auto` means: pytest's own alone for a few tests."""
    count = 0
    for asked in config.args:
        for named in _tests_of(asked):
            count += named
            if count > FEW:
                return None  # xdist's default: one per core
    return 0


def pytest_collection() -> None:
    """Tests are imported next, and most import torch."""
    collect_rarely()


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Collector | None:
    """Collect a test file of a paper that runs under releases as one test."""
    from research_train.versions.hand_over import needs_another_process

    for member in _members():
        if member.folder in module_path.parents and needs_another_process(member):
            return PinnedFile.from_parent(parent, path=module_path, member=member)
    return None


class PinnedFile(pytest.File):
    """A test file that runs in a process of its own."""

    def __init__(self, *, member: "Member", **others: Any):
        super().__init__(**others)
        self.member = member

    def collect(self) -> Iterator[pytest.Item]:
        """Its one test."""
        yield PinnedTests.from_parent(self, name=f"under the releases that {self.member.name} runs")


class PinnedTests(pytest.Item):
    """All tests of a file, as one."""

    def runtest(self) -> None:
        """Run pytest on the file under the paper's requirements."""
        from research_train.versions.hand_over import environment_under

        assert isinstance(self.parent, PinnedFile)
        command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=--import-mode=importlib"]
        done = subprocess.run(
            [*command, str(self.path)],
            cwd=self.config.rootpath,
            env=environment_under(self.parent.member),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED:
            pytest.skip(done.stdout)
        if done.returncode != 0:
            pytest.fail(done.stdout, pytrace=False)
        if counts := done.stdout.splitlines()[-1:]:
            self.user_properties.append((UNDER_RELEASES, f"{self.nodeid}: {counts[0]}"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many tests each of these files has: pytest itself counts the file as one."""
    for report in terminalreporter.getreports("passed"):
        for name, line in report.user_properties:
            if name == UNDER_RELEASES:
                terminalreporter.write_line(line)


@cache
def _members() -> "list[Member]":
    from research_train.experiment.members import installed_members

    return installed_members()


def _tests_of(asked: str) -> Iterator[int]:
    """How many test functions a word of the command line names, file by file."""
    path, *names = asked.split("::")
    if names and names[-1].startswith("test"):
        yield 1
        return
    for folder, folders, files in os.walk(path) if Path(path).is_dir() else [("", [], [path])]:
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        for name in files:
            file = Path(folder, name)
            if file.name.startswith("test_") and file.is_file():
                yield len(re.findall(rb"^ *def test", file.read_bytes(), re.M))
