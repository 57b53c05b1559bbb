"""Remove a paper or project from the workspace: its folder is moved away, nothing is deleted.

Runs, data and releases stay where they are. If the process is killed after the folder is moved,
the lock still names the member, which stops no command; `uv lock` renews it.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from research_data import UsageError, get_assets_dir, get_outputs_dir
from research_data.assets.catalog import disk_size
from research_data.durable import write_bytes
from research_data.errors import ResearchError, StorageError
from research_data.shown import counted, did_you_mean, first_few
from research_train.experiment.members import Member
from research_train.experiment.workspace_members import (
    KINDS,
    TRAINABLE,
    kind_of,
    workspace_members,
)
from research_train.record.folders import all_run_folders, run_folders
from research_train.record.summary import summarise
from research_train.results.overview import BEGIN, END, write_overview

from research_cli.paper.all_or_nothing import LOCK, alone, call, renewed_lock, restored_on_failure
from research_cli.paper.facts import paper_facts

READ = (".md", ".py", ".pyi", ".toml", ".yaml", ".ipynb")  # files of others that may name a member


@dataclass(frozen=True)
class PaperRemoval:
    """What removing a member does.

    target: where its folder goes. bytes: size of that folder. dependents: what would miss it, each
    a sentence. runs, runs_bytes: its runs, which stay in `outputs`. data: what it reads, which
    stays in assets.
    """

    name: str
    distribution: str
    folder: Path
    target: Path
    bytes: int
    dependents: list[str]
    runs: int
    runs_bytes: int
    outputs: Path
    data: list[str]


def plan_removal(name: str, workspace: Path) -> PaperRemoval:
    """What `remove_member` would do. Raises UsageError for an unknown name.

    name: of a paper or project, its distribution or its folder, `papers/x`.
    """
    member = _named(name, workspace)
    folders = run_folders(member.name)
    place = member.folder.relative_to(workspace).as_posix()
    moment = f"{datetime.now():%Y%m%d-%H%M%S}"
    return PaperRemoval(
        name=member.name,
        distribution=member.distribution,
        folder=member.folder,
        target=get_assets_dir() / "leftovers" / f"{place.replace('/', '-')}-{moment}",
        bytes=disk_size(member.folder),
        dependents=list(_dependents(member, workspace)),
        runs=len(folders),
        runs_bytes=sum(map(disk_size, folders)),
        outputs=get_outputs_dir() / member.name,
        data=_data_of(member),
    )


def remove_member(name: str, workspace: Path, force: bool = False) -> PaperRemoval:
    """Move a member's folder to assets/leftovers, renew the lock and uninstall it.

    When a step fails, the folder and the lock are restored. Raises UsageError for an unknown name,
    ResearchError if something depends on it, unless force, if one of its runs is running, or if uv
    fails.
    """
    with alone(workspace):
        plan = plan_removal(name, workspace)
        if plan.dependents and not force:
            raise ResearchError(refusal(plan))
        running = [f.name for f in run_folders(plan.name) if summarise(f).status == "running"]
        if running:
            raise ResearchError(f"{plan.name}: {first_few(running)} is running; stop it first")
        lock = workspace / LOCK
        with restored_on_failure([lock]):
            _move(plan.folder, plan.target)
            try:
                write_bytes(lock, renewed_lock(workspace, {}))
            except BaseException:
                _move(plan.target, plan.folder)
                raise
        with suppress(ResearchError):  # an installed name without a folder is passed over
            call(["uv", "pip", "uninstall", plan.distribution], workspace, "")
        write_overview(workspace)
    return plan


def refusal(plan: PaperRemoval) -> str:
    """Why a member isn't removed without force."""
    reasons = "".join(f"\n  {each}" for each in plan.dependents)
    return (
        f"{plan.name} is not removed, since something rests on it:{reasons}\n"
        "Change these first, or remove it all the same with --force."
    )


def _named(name: str, workspace: Path) -> Member:
    members = workspace_members(workspace, TRAINABLE, unread=True)
    for member in members:
        place = member.folder.relative_to(workspace).as_posix()
        if name.rstrip("/") in (member.name, member.distribution, place):
            return member
    known = [member.name for member in members]
    raise UsageError(
        f"there is no paper or project {name!r} in {workspace}.{did_you_mean(name, known)} "
        f"There are: {', '.join(known) or 'none'}"
    )


def _dependents(member: Member, workspace: Path) -> Iterator[str]:
    facts = paper_facts(member)
    if facts.results is not None:
        yield f"its own results.json, evidence on {counted(len(facts.results.claims), 'claim')}"
    for met in facts.requirements.values():
        if str(met.requirement.specifier).startswith("=="):
            yield f"its own pin of {met.requirement}, which may be all that tests that release"
    if named := sorted(_naming(member, workspace)):
        yield f"files that name it: {first_few(named)}"
    own = {folder.name for folder in run_folders(member.name)}
    others = [f for f in all_run_folders() if f.parent.name != member.name]
    from_it = [f"{f.parent.name}/{f.name}" for f in others if _parent(f) in own]
    if own and from_it:
        yield f"runs that began with its weights: {first_few(from_it)}"


def _naming(member: Member, workspace: Path) -> Iterator[str]:
    """Files of the workspace and its other members that link to it, import it or start from it."""
    kind, modules = kind_of(member), {each.split(".")[0] for each in member.experiments.values()}
    name = re.escape(member.folder.name)
    names = [rf"{kind}s/{name}(?![\w-])", rf"\.\./{name}/", rf"init_from\W+{name}/"]
    names += [rf"(?<![\w-]){re.escape(member.distribution)}(?![\w-])"]
    names += [rf"(?<![\w.]){re.escape(module)}(?!\w)" for module in modules]
    pattern = re.compile("|".join(names))
    files = [workspace / "README.md"]
    for other in workspace_members(workspace, KINDS, unread=True):
        if other.folder != member.folder and kind_of(other) in TRAINABLE:
            files += [f for f in other.folder.rglob("*") if f.suffix in READ and f.is_file()]
        elif other.folder != member.folder:
            files += other.folder.glob("*.md")
    for file in files:
        with suppress(OSError, UnicodeDecodeError):
            text = file.read_text(encoding="utf-8")
            if file.parent == workspace:  # but its row in the table of claims goes with it
                text = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", "", text, flags=re.DOTALL)
            if pattern.search(text) and file.name != "CHANGELOG.md":
                yield file.relative_to(workspace).as_posix()


def _parent(folder: Path) -> str | None:
    record = summarise(folder).record
    return record.parent.rpartition("/")[2] if record and record.parent else None


def _data_of(member: Member) -> list[str]:
    with suppress(ResearchError):
        needs = member.pyproject
        hub = [each.name for each in needs.hub_needs]
        return [*hub, *(each.name for each in needs.file_needs), *needs.generated]
    return []


def _move(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
    except OSError as error:
        raise StorageError(target, error) from error
