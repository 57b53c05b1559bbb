"""Create a paper or project with its files, lock and environment, or change nothing."""

import shutil
from pathlib import Path

from research_data.durable import write_bytes

from research_cli.paper.all_or_nothing import LOCK, alone, call, renewed_lock, restored_on_failure
from research_cli.paper.half_deleted import refuse_leftovers
from research_cli.paper.names import check_arxiv, check_line, check_name, check_year
from research_cli.paper.templates import NewMember, fill_in


def create_member(member: NewMember, workspace: Path) -> Path:
    """Make a member that trains at once, lock and install it; returns its folder.

    When anything of this fails there is no folder and the lock is as before; killed at any moment,
    every other member runs, and the same can be asked for again. Raises UsageError for
    a name that can't be or a citation that can't be true; ResearchError where uv fails.
    """
    refuse_leftovers(workspace)
    with alone(workspace):
        check_name(member.name, member.kind, workspace)
        check_line("--title", member.title)
        if member.authors is not None:
            check_line("--authors", member.authors)
        if member.arxiv is not None:
            check_arxiv(member.arxiv)
        if member.year is not None:
            check_year(member.year)
        place = f"{member.kind}s/{member.name}"
        folder, lock = workspace / place, workspace / LOCK
        # Not beside its place: uv takes hidden folders there for members as well.
        partial = workspace / f".{member.distribution}.partial"
        with restored_on_failure([lock]):
            try:
                folder.parent.mkdir(exist_ok=True)
                partial.mkdir()
                fill_in(member, partial)
                pyproject = (partial / "pyproject.toml").read_bytes()
                write_bytes(lock, renewed_lock(workspace, {place: pyproject}))
                partial.rename(folder)
                # Inexact and only this member: whoever put another torch there keeps the rest.
                install = ["uv", "sync", "--inexact", "--package", member.distribution]
                call(install, workspace, f"{member.distribution} can't be installed")
            except BaseException:
                if not partial.exists():
                    folder.rename(partial)
                shutil.rmtree(partial)
                raise
    return folder
