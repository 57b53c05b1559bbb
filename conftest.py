"""How many processes the tests run in: one for a few tests, one a core for many.

A second process is some seconds of imports later than the first.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

FEW = 12


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """How many processes `--numprocesses=auto` means: pytest's own alone for a few tests."""
    count = 0
    for asked in config.args:
        for named in tests_of(asked):
            count += named
            if count > FEW:
                return None  # as xdist would without this: one a core
    return 0


def tests_of(asked: str) -> Iterator[int]:
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
