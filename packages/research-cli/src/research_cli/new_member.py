"""A new paper or project: its files, the lock and the environment, all of it or nothing."""

import shutil
from contextlib import suppress
from pathlib import Path

from research_data.durable import new_folder
from research_data.errors import ResearchError
from research_data.plain_files import read_toml

from research_cli.all_or_nothing import call, restored_on_failure
from research_cli.leftovers import refuse_leftovers
from research_cli.member_names import check_arxiv, check_line, check_name, check_year
from research_cli.templates import NewMember, fill_in


def create_member(member: NewMember, workspace: Path) -> Path:
    """Make a member that trains at once, lock and install it; returns its folder.

    When anything of this fails there is no folder and the lock is as before. Raises UsageError for
    a name that can't be or a citation that can't be true; ResearchError where uv fails.
    """
    refuse_leftovers(workspace)
    check_name(member.name, member.kind, workspace)
    check_line("--title", member.title)
    if member.authors is not None:
        check_line("--authors", member.authors)
    if member.arxiv is not None:
        check_arxiv(member.arxiv)
    if member.year is not None:
        check_year(member.year)
    folder = workspace / f"{member.kind}s" / member.name
    lock = workspace / "uv.lock"
    with restored_on_failure([lock]):
        with new_folder(folder) as partial:
            fill_in(member, partial)
        try:
            _renew_lock(workspace)
            # Inexact and only this member: whoever put another torch there keeps the rest.
            install = ["uv", "sync", "--inexact", "--package", member.distribution]
            call(install, workspace, f"{member.distribution} can't be installed")
        except BaseException:
            shutil.rmtree(folder)
            raise
    return folder


def _renew_lock(workspace: Path) -> None:
    """Lock; without a network with what uv's cache has, if that changes nothing else."""
    before = _versions(workspace)
    try:
        call(["uv", "lock"], workspace, "the lock can't be renewed")
    except ResearchError:
        with suppress(ResearchError):  # the first message is the one to show
            call(["uv", "lock", "--offline"], workspace, "")
            if before and before <= _versions(workspace):
                return
        raise


def _versions(workspace: Path) -> set[tuple[str, str]]:
    """Name and version of all that the lock holds from outside."""
    lock = workspace / "uv.lock"
    if not lock.is_file():
        return set()
    packages = read_toml(lock).get("package", [])
    return {(p["name"], p.get("version", "")) for p in packages if "registry" in p["source"]}
