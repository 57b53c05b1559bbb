"""Check whether this machine has what the workspace needs: `research-cli env`.

checks = check_environment()
[check.name for check in checks if check.status == "fail"]
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict

from research_data import this_workspace
from research_data.shown import print_line

from research_cli import printing
from research_cli.environment.check import Check, Status
from research_cli.environment.child import GPU, start_child, wait_for
from research_cli.environment.cuda import GpuReport, check_cuda
from research_cli.environment.declared import INTERNAL, declared_packages
from research_cli.environment.installed import STACK, check_internal, check_package
from research_cli.environment.machine import (
    check_compiled,
    check_disk,
    check_git,
    check_links,
    check_platform,
    check_python,
    check_uv,
)
from research_cli.environment.requirements import check_requirements

STYLES: dict[str, str] = {"ok": "green", "warn": "yellow", "fail": "bold red"}
ON_TORCH = ("PyTorch", "transformers")


def check_environment() -> list[Check]:
    """Look at tools, packages, GPU and disk; some seconds, as every package is really imported.

    A paper, project or package gets a row only if its requirements can't be met, for example a pin
    that no release satisfies. Raises ResearchError when the workspace's pyproject.toml can't be
    understood.
    """
    # Two processes, for machines with two cores; only the first one imports torch.
    on_torch = start_child([*(each.module for each in STACK if each.name in ON_TORCH), GPU])
    others = start_child([each.module for each in STACK if each.name not in ON_TORCH])
    workspace = this_workspace()
    machine = [check_platform(), check_python(), check_uv(), check_git()]
    ours = [check_internal(name, workspace) for name in INTERNAL]
    disk = [check_disk(), check_compiled(), check_links()]
    unmet = check_requirements(workspace) if workspace else []
    declared = declared_packages()
    found = wait_for(on_torch) | wait_for(others)
    stack = [
        check_package(each, declared.get(each.distribution), found[each.module]) for each in STACK
    ]
    gpu = found[GPU]
    report = GpuReport(**gpu) if isinstance(gpu, dict) else GpuReport("", [], problem=gpu)
    return [*machine, *ours, *stack, check_cuda(report), *disk, *unmet]


def overall_status(checks: Iterable[Check]) -> Status:
    """The worst status of any check."""
    found = {check.status for check in checks}
    worst: tuple[Status, ...] = ("fail", "warn")
    return next((status for status in worst if status in found), "ok")


def print_json(checks: list[Check]) -> None:
    """All checks as one JSON object."""
    rows = [asdict(check) for check in checks]
    printing.print_json({"status": overall_status(checks), "checks": rows})


def print_table(checks: list[Check]) -> None:
    """A table for a person, the counts, and what to do about each check that is not ok."""
    rows = [[check.name, check.status, check.found, check.needs] for check in checks]
    printing.print_table(["check", "status", "found", "needs"], rows, STYLES)
    counts = Counter[str](check.status for check in checks)
    print_line("")
    print_line(", ".join(f"{counts[status]} {status}" for status in STYLES))
    for check in checks:
        if check.fix:
            print_line(f"{check.status}: {check.name}: {check.fix}")
