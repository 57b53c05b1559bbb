"""`research-cli project ...`: create projects, your own research beside the papers."""

from typing import Annotated, Any

import typer

from research_cli.paper.command import Docker, Uses, make
from research_cli.printing import Json, examples, new_app, output

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
    app.command(
        epilog=examples(
            "research-cli project note label-noise",
            "research-cli project note warm-up --question 'Does Adam need warm-up here?'",
        )
    )(note)
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


def note(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="a-z, 0-9 and hyphens.")],
    question: Annotated[
        str, typer.Option(metavar="TEXT", help="The question, in a sentence, for the README.")
    ] = "The question, in a sentence.",
    project: Annotated[
        str, typer.Option(metavar="NAME", help="The project that it becomes part of.")
    ] = "exploratory",
    json: Json = False,
) -> None:
    """Add a dated one-off experiment to a project; it trains at once.

    Makes a folder under experiments/ with its own Config and values, an entry point and a row of
    the project's README; if anything fails, nothing changes.
    """
    from research_train.experiment.workspace_members import workspace_here

    from research_cli.paper.note import add_note

    made = add_note(topic, question, project, workspace_here())
    value = {"name": made.name, "folder": str(made.folder), "next": [made.train]}
    lines = [
        f"{made.folder}: created; it trains on a placeholder, to be replaced",
        f"  {made.train}",
    ]
    output(value, json, lines)
