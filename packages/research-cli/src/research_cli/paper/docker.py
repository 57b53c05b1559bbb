"""The Dockerfile of a paper or project, whose image holds only what that member needs.

Two files, from templates/docker: `Dockerfile`, and `Dockerfile.dockerignore`, which BuildKit reads
in place of a .dockerignore. They follow from the member's pyproject.toml, those of our packages and
the releases that it runs.
"""

from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import NamedTuple

from research_train.experiment.members import Member
from research_train.versions.choice import choose_versions
from research_train.versions.releases import hash_file
from research_train.versions.requirements import internal_packages, workspace_packages

from research_cli.paper.templates import SUFFIX, TEMPLATES

DOCKER = "docker"  # the folder in the member's, and in templates/


def docker_files(member: Member, place: str | None = None) -> dict[Path, str]:
    """The files for a member's docker/ folder, and their contents.

    place: where the member will lie from the workspace's root, `papers/mnist1d`; by default where
    it does. Raises RequirementError if no version of our packages satisfies what it requires.
    """
    place = place or member.folder.relative_to(member.workspace).as_posix()
    sources = list(_sources(member))
    title = member.pyproject.title or member.pyproject.description
    releases = [release for source in sources for release in source.releases]
    kept = [f"!packages/{each.name}/{file}" for each in sources for file in each.kept]
    folders = [*(f"packages/{source.name}" for source in sources), place]
    values = {
        "title": " ".join(title.split()) or member.name,
        "name": member.name,
        "kind": place.partition("/")[0].removesuffix("s"),
        "place": place,
        "distribution": member.distribution,
        "ours": f"Our code, and releases that it runs: {', '.join(releases)}"
        if releases
        else "Our code",
        "sources": " \\\n    ".join(folders),
        "editable": " \\\n        ".join(f"-e {folder}" for folder in folders),
        "kept": "\n".join([*kept, f"!{place}"]),
    }
    return {
        member.folder / DOCKER / file.name.removesuffix(SUFFIX): _Template(
            file.read_text(encoding="utf-8")
        ).substitute(values)
        for file in sorted((TEMPLATES / DOCKER).glob(f"*{SUFFIX}"))
    }


class _Template(Template):
    """`%{name}` is filled in: a Dockerfile is full of `$`."""

    delimiter = "%"


class _Source(NamedTuple):
    """What the image gets of one of our packages.

    kept: files and folders, from the package's own. releases: such as `research-train 0.1.0`.
    """

    name: str
    kept: list[str]
    releases: list[str]


def _sources(member: Member) -> Iterator[_Source]:
    """The internal packages that the lock installs for a member, or that it runs a release of."""
    folders = internal_packages(member.workspace)
    chosen = choose_versions(member)
    for name in sorted({*workspace_packages(member), *chosen}):
        kept, releases = ["README.md", "src"], []
        choice = chosen.get(name)
        if choice is not None and choice.release is not None:
            wheel = choice.release.wheel
            kept += [
                file.relative_to(folders[name]).as_posix() for file in (wheel, hash_file(wheel))
            ]
            releases = [f"{name} {choice.version}"]
        yield _Source(name, kept, releases)
