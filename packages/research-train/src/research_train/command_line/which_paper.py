"""Find the paper that a command means.

The first of these that names one: `--paper`; the `uv run` that is the direct parent (a torchrun in
between is ignored); the working folder and a `uv run` further up, which must agree; the only paper
installed.
`uv run --package P` tells its child nothing through the environment, so its command line is read.
"""

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import psutil

from research_train.errors import MemberError
from research_train.experiment.members import Member, find_member

# Options of uv 0.13 that take the next word as their value; a test compares them with `uv run
# --help`. Needed only to find where the options end and the command begins.
# fmt: off
UV_OPTIONS_WITH_VALUE = frozenset({
    "--extra", "--no-extra", "--group", "--no-group", "--only-group", "--no-editable-package",
    "--env-file", "-w", "--with", "--with-editable", "--with-requirements", "--package",
    "--python-platform", "--index", "--default-index", "-i", "--index-url", "--extra-index-url",
    "-f", "--find-links", "--index-strategy", "--keyring-provider", "-P", "--upgrade-package",
    "--upgrade-group", "--resolution", "--prerelease", "--prerelease-package", "--fork-strategy",
    "--exclude-newer", "--exclude-newer-package", "--no-sources-package", "--reinstall-package",
    "--link-mode", "-C", "--config-setting", "--config-settings-package",
    "--no-build-isolation-package", "--no-build-package", "--no-binary-package", "--cache-dir",
    "--refresh-package", "-p", "--python", "--color", "--allow-insecure-host", "--directory",
    "--project", "--config-file",
})
# fmt: on


def which_member(named: str | None, members: Sequence[Member]) -> Member:
    """The member a command means. Raises MemberError if nothing names one, or two disagree."""
    if named:
        return find_member(named, members)
    lineage = _lineage()
    named_by = [_member_of_uv_run(process, child, members) for child, process in pairwise(lineage)]
    if named_by and named_by[0]:
        return named_by[0]
    here = member_around(Path.cwd(), members)
    above = next((member for member in named_by[1:] if member), None)
    if here and above and here != above:
        raise MemberError(
            f"which paper? The working folder is in {here.name} ({here.folder}), but this shell "
            f"was started by `uv run` for {above.name}. Name one: --paper {here.name} or "
            f"--paper {above.name}"
        )
    if chosen := here or above:
        return chosen
    if len(members) == 1:
        return members[0]
    if not members:
        raise MemberError("no paper or project is installed. Run `uv sync` in the workspace.")
    raise MemberError(
        "which paper? Give --paper NAME or `uv run --package PACKAGE ...`, or go into its folder. "
        f"Installed: {', '.join(f'{m.name} ({m.distribution})' for m in members)}"
    )


def member_around(folder: Path, members: Sequence[Member]) -> Member | None:
    """The member whose folder is folder or holds it."""
    folder = folder.resolve()
    return next((m for m in members if folder.is_relative_to(m.folder.resolve())), None)


def uv_run_options(command: Sequence[str], child: Sequence[str] = ()) -> dict[str, str] | None:
    """--package, --project and --directory of a `uv run` command line, before its own command.

    child: the command line of the process that it started. If command ends with it, what comes
    before are uv's options; else they are read from the front. Returns None if it isn't `uv run`.
    """
    if not command or Path(command[0]).name not in ("uv", "uv.exe"):
        return None
    shared = _shared_end(command, child)
    whole = shared > 0 and shared >= len(child) - 1  # all but a script's interpreter
    words = list(command[1 : len(command) - shared]) if whole else _leading_options(command[1:])
    if "run" not in words:
        return None
    options: dict[str, str] = {}
    for word, after in pairwise([*words, ""]):
        name, equals, value = word.partition("=")
        if name in ("--package", "--project", "--directory"):
            options[name] = value if equals else after  # as with uv, the last one counts
    return options


def _shared_end(command: Sequence[str], child: Sequence[str]) -> int:
    """How many words two command lines end with alike: `train x=1` and `.venv/bin/train x=1`."""
    shared = 0
    for ours, theirs in zip(reversed(command), reversed(child), strict=False):
        if ours != theirs and Path(ours).name != Path(theirs).name:
            break
        shared += 1
    return shared


def _leading_options(words: Sequence[str]) -> list[str]:
    """`run` and the options around it, up to the command."""
    leading: list[str] = []
    remaining = iter(words)
    for word in remaining:
        if word == "--" or (not word.startswith("-") and "run" in leading):
            break
        leading.append(word)
        if word.startswith("-") and _takes_next_word(word):
            leading.append(next(remaining, ""))
    return leading


def _takes_next_word(option: str) -> bool:
    if option.startswith("--"):
        return option in UV_OPTIONS_WITH_VALUE
    letters = [f"-{letter}" for letter in option[1:]]  # -qp 3.12 is -q -p 3.12, and -p3.12 is whole
    first = next((at for at, letter in enumerate(letters) if letter in UV_OPTIONS_WITH_VALUE), None)
    return first is not None and first == len(letters) - 1


def _lineage() -> list[psutil.Process]:
    """This process, its parent and so on, without torchrun, which only starts other commands."""
    try:
        process = psutil.Process()
        return [process, *(p for p in process.parents() if not _is_torchrun(p))]
    except psutil.Error:
        return []


def _is_torchrun(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()[:3]
    except psutil.Error:
        return False
    return "torch.distributed.run" in words or any(Path(word).name == "torchrun" for word in words)


def _member_of_uv_run(
    process: psutil.Process, child: psutil.Process, members: Sequence[Member]
) -> Member | None:
    """The member that a `uv run` process names by --package, --project or --directory."""
    try:
        options = uv_run_options(process.cmdline(), child.cmdline())
        if options is None:
            return None
        if package := options.get("--package"):
            return find_member(package, members)
        # uv has gone into --directory already, and takes --project as seen from there.
        if project := options.get("--project") or os.environ.get("UV_PROJECT"):
            return member_around(Path(process.cwd(), project), members)
        if "--directory" in options:
            return member_around(Path(process.cwd()), members)
    except psutil.Error:
        pass  # another user's process, or one that has just ended
    return None
