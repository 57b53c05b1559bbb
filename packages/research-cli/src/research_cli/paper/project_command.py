"""`research-cli project ...`: research of one's own, beside the papers."""

from typing import Annotated, Any

import typer

from research_cli.paper.command import Uses, make
from research_cli.printing import Json, examples, new_app

# Imports of a command's own are made inside it, as everywhere in this package.


def project_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli project`. rich: help is for a terminal."""
    app = new_app(group, rich, "Create projects: research of your own. `paper list` lists them.")

    @app.callback()
    def project() -> None:  # makes typer keep `project` a group although it has a single command
        pass

    @app.command(
        epilog=examples(
            "research-cli project new pruning",
            "research-cli project new pruning --notebook --uses models",
        )
    )
    def new(
        name: Annotated[
            str, typer.Argument(metavar="NAME", help="Short name: a-z, 0-9 and hyphens.")
        ],
        notebook: Annotated[
            bool,
            typer.Option("--notebook", help="Add a notebook over the project's runs (uses viz)."),
        ] = False,
        uses: Uses = "data,train",
        json: Json = False,
    ) -> None:
        """Create a project from a template that trains and passes its test.

        Creates projects/NAME, renews the lock and installs the project. When a step fails, nothing
        is changed.
        """
        from research_cli.paper.templates import NewMember, read_uses

        asked = read_uses(f"{uses},viz" if notebook else uses)
        title = name.replace("-", " ").capitalize()
        make(NewMember(name, "project", title, asked, notebook=notebook), json)

    return app
