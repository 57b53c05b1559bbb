"""Find and archive the code that a run would run now, and what changed since an older run."""

from dataclasses import dataclass
from typing import TypedDict

from packaging.utils import canonicalize_name
from research_data import get_outputs_dir
from research_data.durable import sha256_file

from research_train.code.archive import archive_source, changed_files
from research_train.code.fingerprint import code_identity, fingerprint
from research_train.experiment.config import TrainConfig
from research_train.experiment.members import Experiment, Member
from research_train.record.environment import GitState, git_state
from research_train.record.folders import SOURCES, code_archive
from research_train.record.record import RunRecord
from research_train.versions.hand_over import running_releases
from research_train.versions.requirements import (
    dependency_closure,
    reached_packages,
    required_by,
    requirements_of,
    workspace_packages,
)


class PresentCode(TypedDict):
    """The fields of a record that say which code runs."""

    git: GitState
    source: str
    lock_sha256: str | None
    packages: dict[str, str]
    releases: dict[str, str]


def present_code(member: Member) -> PresentCode:
    """What a run of the member would be recorded as running now; its code is archived."""
    packages = reached_packages(member)
    wanted = [*required_by(member), *(r for name in packages for r in requirements_of(name))]
    main = {member.distribution, *(canonicalize_name(each.name) for each in wanted)}
    versions = dependency_closure(member)
    lock = member.workspace / "uv.lock"
    return {
        "git": git_state(member.workspace),
        "source": archive_source(member, workspace_packages(member), get_outputs_dir() / SOURCES),
        "lock_sha256": sha256_file(lock) if lock.is_file() else None,
        "packages": {name: version for name, version in versions.items() if name in main},
        "releases": running_releases(member),
    }


@dataclass(frozen=True)
class RunningCode:
    """The code of a new run: identity is for its fingerprint, recorded is for its record."""

    identity: dict[str, object]
    recorded: PresentCode


def running_code(experiment: Experiment) -> RunningCode:
    """The code that a run of an experiment would run now. Raises RequirementError, StorageError."""
    return RunningCode(code_identity(experiment), present_code(experiment.member))


def changes_since(record: RunRecord, config: TrainConfig, experiment: Experiment) -> list[str]:
    """What has changed since a run, in what training uses or in other code; [] for nothing."""
    if trains_otherwise(record, config, experiment) or _changed_files(record, experiment):
        return what_changed(record, experiment)
    return []


def trains_otherwise(record: RunRecord, config: TrainConfig, experiment: Experiment) -> bool:
    """Whether what training uses has changed since a run: code, packages or data."""
    return fingerprint(experiment, config, record.assets) != record.fingerprint


def what_changed(record: RunRecord, experiment: Experiment) -> list[str]:
    """The files and packages that differ from those of a run, at most ten files."""
    files = _changed_files(record, experiment)
    versions = dependency_closure(experiment.member)
    moved = [
        f"{name} {then} -> {versions.get(name, 'not installed')}"
        for name, then in record.packages.items()
        if versions.get(name) != then
    ]
    return [*files[:10], *moved] or [
        "its config.yaml, an indirect dependency, or how fingerprints are computed: it was "
        "recorded by another research-train"
    ]


def _changed_files(record: RunRecord, experiment: Experiment) -> list[str]:
    archive = code_archive(record.source)
    packages = workspace_packages(experiment.member)
    return changed_files(experiment.member, packages, archive) if archive.is_file() else []
