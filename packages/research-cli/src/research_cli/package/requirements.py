"""What a paper, project or package requires of the internal packages, and what it would run."""

from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from research_train.errors import RequirementError
from research_train.experiment.members import Member
from research_train.versions.choice import choose_versions
from research_train.versions.requirements import internal_packages, required_by


@dataclass(frozen=True)
class RequirementMet:
    """A requirement of an internal package, and what meets it.

    runs: the version that would run; None where none can, because of what `refused` says.
    release: whether that is a release, and not the workspace's own code.
    """

    requirement: Requirement
    runs: Version | None = None
    release: bool = False
    refused: str | None = None

    def __str__(self) -> str:
        if self.runs is None:
            return f"refused: {self.refused}"
        return f"{'release' if self.release else 'workspace'} {self.runs}"


def requirements_met(member: Member) -> dict[str, RequirementMet]:
    """Internal package -> what a member requires of it and would run.

    Raises RequirementError for a requirement that can't be read.
    """
    internal = internal_packages(member.workspace)
    wanted = {
        name: requirement
        for requirement in required_by(member)
        if (name := canonicalize_name(requirement.name)) in internal
    }
    try:
        chosen = choose_versions(member)
    except RequirementError as error:
        if not wanted:  # of what it reaches through others, which nothing here would tell
            raise
        refused = str(error)
        return {name: RequirementMet(each, refused=refused) for name, each in wanted.items()}
    return {
        name: RequirementMet(each, chosen[name].version, chosen[name].release is not None)
        for name, each in wanted.items()
    }
