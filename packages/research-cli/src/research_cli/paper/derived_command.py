"""`research-cli paper docker` and `cite`: files that follow from a member's pyproject.toml."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from research_cli.printing import Json, examples, output

if TYPE_CHECKING:
    from research_train.experiment.members import Member

# Modules that only one command needs are imported inside it, so that `--help` answers at once.

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a paper or project: `mnist1d`.")]
Print = Annotated[
    bool, typer.Option("--print", help="Print what would be written, and write nothing.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that differs.")]


def with_docker(app: typer.Typer, kind: str) -> typer.Typer:
    """The commands of `research-cli paper` or `project`, with `docker` among them."""
    example = f"research-cli {kind} docker {'mnist1d' if kind == 'paper' else 'exploratory'}"

    @app.command(epilog=examples(example, f"{example} --print"))
    def docker(name: Name, print: Print = False, force: Force = False, json: Json = False) -> None:
        """Write docker/Dockerfile: an image with this paper or project and what it needs, no more.

        Beside it lies its Dockerfile.dockerignore. Build it from the workspace's root; the first
        lines say how. A file that differs is left as it is, unless --force is given.
        """
        from research_cli.paper.docker import docker_files

        _write(docker_files, name, f"{kind} docker", print, force, json)

    return app


def with_cite(app: typer.Typer) -> typer.Typer:
    """The commands of `research-cli paper`, with `cite` among them."""

    @app.command(
        epilog=examples(
            "research-cli paper cite mnist1d", "research-cli paper cite mnist1d --print"
        )
    )
    def cite(name: Name, print: Print = False, force: Force = False, json: Json = False) -> None:
        """Write CITATION.cff from the title, authors, year and arXiv identifier in [tool.research].

        A file that differs is left as it is, unless --force is given.
        """
        from research_cli.paper.citation import citation_file

        _write(citation_file, name, "paper cite", print, force, json)

    return app


def _write(
    contents: "Callable[[Member], Mapping[Path, str]]",
    name: str,
    command: str,
    show: bool,
    force: bool,
    json: bool,
) -> None:
    """Write the files of a member, or show them as `head` shows several."""
    from research_train.experiment.members import find_member, installed_members

    from research_cli.paper.derived_files import write_derived

    member = find_member(name, installed_members())
    files = contents(member)
    if show:
        value = {str(file): content for file, content in files.items()}
        shown = [f"==> {file} <==\n{content}" for file, content in value.items()]
        output(value, json, "\n".join(shown).splitlines())
        return
    written = write_derived(files, f"research-cli {command} {member.name}", force)
    lines = [f"{file}: {'written' if file in written else 'up to date'}" for file in files]
    output({"files": list(files), "written": written}, json, lines)
