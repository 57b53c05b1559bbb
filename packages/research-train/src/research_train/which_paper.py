"""Which paper does a command mean? Never another one than the user named.

The first that answers: `--paper`; the `uv run` that is the direct parent (torchrun between the two
apart); the working folder and a `uv run` further up, which must agree; the only one installed.
`uv run --package P` tells its child nothing through the environment, so its command line is read.
"""

from collections.abc import Sequence
from pathlib import Path

import psutil

from research_train.errors import MemberError
from research_train.members import Member, find_member

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
    """The member a command means. Raises MemberError when none answers, or two disagree."""
    if named:
        return find_member(named, members)
    ancestors = _ancestors()
    if ancestors and (member := _member_of_uv_run(ancestors[0], members)):
        return member
    here = member_around(Path.cwd(), members)
    above = next((m for p in ancestors[1:] if (m := _member_of_uv_run(p, members))), None)
    if here and above and here != above:
        raise MemberError(
            f"which paper? The working folder is in {here.name} ({here.folder}), but this shell "
            f"was started by `uv run` for {above.name}. Say it: --paper {here.name} or "
            f"--paper {above.name}"
        )
    if chosen := here or above:
        return chosen
    if len(members) == 1:
        return members[0]
    if not members:
        raise MemberError("no paper or project is installed. Run `uv sync` in the workspace.")
    raise MemberError(
        "which paper? Say --paper NAME, or `uv run --package "
        f"{members[0].distribution} ...`, or go into its folder. "
        f"Installed: {', '.join(member.name for member in members)}"
    )


def member_around(folder: Path, members: Sequence[Member]) -> Member | None:
    """The member whose folder is folder or holds it."""
    folder = folder.resolve()
    return next((m for m in members if folder.is_relative_to(m.folder.resolve())), None)


def uv_run_options(command: Sequence[str]) -> dict[str, list[str]] | None:
    """The options of a `uv run` command line that stand before its command; None if it is none.

    Only those that take a value are returned, each with its values in order.
    """
    if not command or Path(command[0]).name not in ("uv", "uv.exe"):
        return None
    options: dict[str, list[str]] = {}
    subcommand = None
    words = iter(command[1:])
    for word in words:
        if word.startswith("-") and word != "--":
            name, equals, value = word.partition("=")
            if not equals and name in UV_OPTIONS_WITH_VALUE:
                value = next(words, "")
            options.setdefault(name, []).append(value)
        elif subcommand is None:
            subcommand = word
            if subcommand != "run":
                return None
        else:
            break
    return options if subcommand == "run" else None


def _ancestors() -> list[psutil.Process]:
    """This process's parent first, without torchrun: it starts what it was told to start."""
    try:
        parents = psutil.Process().parents()
    except psutil.Error:
        return []
    return [process for process in parents if not _is_torchrun(process)]


def _is_torchrun(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()[:3]
    except psutil.Error:
        return False
    return "torch.distributed.run" in words or any(Path(word).name == "torchrun" for word in words)


def _member_of_uv_run(process: psutil.Process, members: Sequence[Member]) -> Member | None:
    """The member that a `uv run` process names by --package, --project or --directory."""
    try:
        options = uv_run_options(process.cmdline())
        if options is None:
            return None
        if package := options.get("--package"):  # uv takes it once
            return find_member(package[0], members)
        # uv has gone into --directory already, and takes --project as seen from there.
        if project := options.get("--project"):
            return member_around(Path(process.cwd(), project[-1]), members)
        if "--directory" in options:
            return member_around(Path(process.cwd()), members)
    except psutil.Error:
        pass  # another user's process, or one that has just ended
    return None
