"""`research-cli project ...`: research of one's own, beside the papers."""

from typing import Annotated, Any

import typer

from research_cli.paper.command import Uses, make
from research_cli.printing import Json, examples, new_app

# Imports of a command's own are made inside it, as everywhere in this package.


def project_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli project`. rich: help is for a terminal."""
    app = new_app(group, rich, "Projects: research of one's own. `paper list` has them as well.")

    @app.callback()
    def project() -> None:  # a group, though it has a single command by now
        pass

    @app.command(
        epilog=examples(
            "research-cli project new pruning",
            "research-cli project new pruning --notebook --uses models",
        )
    )
    def new(
        name: Annotated[str, typer.Argument(metavar="NAME", help="a-z, 0-9 and hyphens.")],
        notebook: Annotated[
            bool, typer.Option("--notebook", help="With a notebook over its runs (uses viz).")
        ] = False,
        uses: Uses = "data,train",
        json: Json = False,
    ) -> None:
        """Make a project that trains and passes its test at once, to be rewritten.

        projects/NAME, with the lock renewed and the project installed; all of it, or nothing.
        """
        from research_cli.paper.templates import NewMember, read_uses

        asked = read_uses(f"{uses},viz" if notebook else uses)
        title = name.replace("-", " ").capitalize()
        make(NewMember(name, "project", title, asked, notebook=notebook), json)

    return app
