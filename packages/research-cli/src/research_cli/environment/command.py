"""`research-cli env`, the first thing run on a new machine: does it have what the workspace needs?

checks = check_environment()
[check.name for check in checks if check.status == "fail"]
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from functools import partial

from research_data import this_workspace
from research_data.shown import printable
from rich.console import Console
from rich.table import Table
from rich.text import Text

from research_cli.environment.check import Check, Status
from research_cli.environment.cuda import check_cuda
from research_cli.environment.declared import INTERNAL, declared_packages
from research_cli.environment.installed import STACK, check_internal, check_package
from research_cli.environment.machine import (
    check_disk,
    check_git,
    check_links,
    check_python,
    check_uv,
)
from research_cli.environment.requirements import check_requirements

STYLES: dict[Status, str] = {"ok": "green", "warn": "yellow", "fail": "bold red"}
PIPED_WIDTH = 10_000  # no row is cut or wrapped for a program that reads it


def check_environment(on_done: Callable[[Check], None] = lambda check: None) -> list[Check]:
    """Look at tools, packages, GPU and disk; some seconds, as every package is really imported.

    A paper, project or package has a row where what it requires can't be met, by a pin say that no
    release satisfies.

    on_done: called with each check as it is done, in any order. Raises UsageError when the
    workspace's pyproject.toml can't be understood.
    """
    workspace = this_workspace()
    declared = declared_packages()
    unmet = check_requirements(workspace) if workspace else []
    todo: list[Callable[[], Check]] = [
        check_python,
        check_uv,
        check_git,
        *(partial(check_internal, name, workspace) for name in INTERNAL),
        *(partial(check_package, each, declared.get(each.distribution)) for each in STACK),
        check_cuda,
        check_disk,
        check_links,
    ]
    pool = ThreadPoolExecutor(max(2, os.cpu_count() or 2))  # each waits for a child process
    try:
        futures = [pool.submit(check) for check in todo]
        for future in as_completed(futures):
            on_done(future.result())
    finally:
        pool.shutdown(cancel_futures=True)  # after a Ctrl-C: start none of the rest
    return [future.result() for future in futures] + unmet


def overall_status(checks: Iterable[Check]) -> Status:
    """The worst of them."""
    found = {check.status for check in checks}
    worst: tuple[Status, ...] = ("fail", "warn")
    return next((status for status in worst if status in found), "ok")


def check_with_spinner() -> list[Check]:
    """check_environment, with a spinner on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        return check_environment()
    done: list[Check] = []
    with Console(stderr=True).status("checking") as spinner:

        def show(check: Check) -> None:
            done.append(check)
            spinner.update(f"checking: {len(done)} done, {check.name} last")

        return check_environment(show)


def print_json(checks: list[Check]) -> None:
    """All checks as one JSON object."""
    report = {"status": overall_status(checks), "checks": [asdict(check) for check in checks]}
    print(json.dumps(report, indent=2))


def print_table(checks: list[Check]) -> None:
    """A table for a person, the counts, and what to do about each check that is not ok."""
    console = Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("check", "status", "found", "needs"):
        table.add_column(column)
    for check in checks:
        # Text: an error message may hold [brackets], which are markup in a plain string.
        status = Text(check.status, STYLES[check.status])
        row = (check.name, check.found, check.needs)
        name, found, needs = (Text(printable(cell)) for cell in row)
        table.add_row(name, status, found, needs)
    console.print(table)
    counts = Counter(check.status for check in checks)
    lines = [", ".join(f"{counts[status]} {status}" for status in STYLES)]
    lines += [f"{check.status}: {check.name}: {check.fix}" for check in checks if check.fix]
    console.print()
    for line in lines:
        console.print(Text(printable(line)), soft_wrap=True)
