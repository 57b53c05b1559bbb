"""Create a paper or project with its files, lock and environment, or change nothing."""

import shutil
from pathlib import Path

from research_data.durable import write_bytes
from research_train.experiment.members import Member

from research_cli.paper.all_or_nothing import LOCK, alone, call, renewed_lock, restored_on_failure
from research_cli.paper.derived_files import write_derived
from research_cli.paper.docker import docker_files
from research_cli.paper.half_deleted import refuse_leftovers
from research_cli.paper.names import check_arxiv, check_line, check_name, check_year
from research_cli.paper.templates import NewMember, fill_in


def create_member(member: NewMember, workspace: Path) -> Path:
    """Make a member that trains at once, lock and install it; returns its folder.

    When a step fails, the folder is removed and the lock restored. If the process is killed, at any
    moment, every other member still runs and the same call can be repeated. Raises UsageError for
    a name or citation that isn't valid, ResearchError when uv fails.
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
        # Not next to the final place: there uv takes hidden folders for members as well.
        partial = workspace / f".{member.distribution}.partial"
        with restored_on_failure([lock]):
            try:
                folder.parent.mkdir(exist_ok=True)
                partial.mkdir()
                fill_in(member, partial)
                if member.docker:
                    as_member = Member(member.name, member.distribution, partial, {})
                    write_derived(docker_files(as_member, place), "")
                pyproject = (partial / "pyproject.toml").read_bytes()
                write_bytes(lock, renewed_lock(workspace, {place: pyproject}))
                partial.rename(folder)
                # --inexact and only this member, so that everything else installed stays.
                install = ["uv", "sync", "--inexact", "--package", member.distribution]
                call(install, workspace, f"{member.distribution} can't be installed")
            except BaseException:
                if not partial.exists():
                    folder.rename(partial)
                shutil.rmtree(partial)
                raise
    return folder
