"""`research-cli project ...`: create projects, your own research beside the papers."""

from typing import Annotated, Any

import typer

from research_cli.paper.command import Docker, Uses, make
from research_cli.printing import Json, examples, new_app

# Modules that only one command needs are imported inside it, so that `--help` answers at once.


def project_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli project`. rich: help is for a terminal."""
    app = new_app(group, rich, "Create projects: your own research. `paper list` lists them too.")
    app.command(
        epilog=examples(
            "research-cli project new pruning",
            "research-cli project new pruning --notebook --uses models",
            "research-cli project new pruning --docker",
        )
    )(new)
    return app


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a-z, 0-9 and hyphens.")],
    notebook: Annotated[
        bool, typer.Option("--notebook", help="Add a notebook over the project's runs (uses viz).")
    ] = False,
    uses: Uses = "data,train",
    docker: Docker = False,
    json: Json = False,
) -> None:
    """Create a project that trains and passes its test at once, to be rewritten.

    Makes projects/NAME, renews the lock and installs the project; if anything fails, nothing
    changes.
    """
    from research_cli.paper.templates import NewMember, read_uses

    asked = read_uses(f"{uses},viz" if notebook else uses)
    title = name.replace("-", " ").capitalize()
    make(NewMember(name, "project", title, asked, notebook=notebook, docker=docker), json)
