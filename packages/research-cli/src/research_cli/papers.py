"""`research-cli paper ...`: what versions a paper runs under."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from research_cli.printing import Json, examples, new_app, output

if TYPE_CHECKING:
    from research_train.members import Member

    from research_cli.paper_pins import Pin

# Imports of a command's own are made inside it, as everywhere in this package.

Paper = Annotated[str, typer.Argument(metavar="NAME", help="A paper or project, `mnist1d`.")]


def paper_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli paper`. rich: help is for a terminal."""
    app = new_app(group, rich, "Papers: which versions of our packages they run under.")

    @app.command(
        epilog=examples(
            "research-cli paper pin old research-train            # its newest release",
            "research-cli paper pin old 'research-train>=0.1,<0.2'",
        )
    )
    def pin(
        name: Paper,
        package: Annotated[
            str, typer.Argument(metavar="PACKAGE[==VERSION]", help="One of our packages.")
        ],
        json: Json = False,
    ) -> None:
        """Have a paper run a released version of one of our packages.

        Its pyproject.toml is edited, the lock renewed, and the paper's config loaded under the
        pin; when that fails, nothing is changed.
        """
        from research_cli.paper_pins import pin as pin_paper

        member = _member(name)
        _print(member, pin_paper(member, package), json)

    @app.command(epilog=examples("research-cli paper unpin old research-train"))
    def unpin(
        name: Paper,
        package: Annotated[str, typer.Argument(metavar="PACKAGE", help="One of our packages.")],
        json: Json = False,
    ) -> None:
        """Have a paper run the workspace's own version of a package again."""
        from research_cli.paper_pins import unpin as unpin_paper

        member = _member(name)
        _print(member, unpin_paper(member, package), json)

    @app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        epilog=examples(
            "research-cli paper exec old -- pytest papers/old",
            "research-cli paper exec old -- python -c 'import research_train as r; print(r)'",
        ),
    )
    def exec(name: Paper, context: typer.Context) -> None:
        """Run any command under a paper's requirements: pytest, python, a notebook."""
        from research_data.errors import UsageError

        from research_cli.paper_pins import run_under_pins

        if not context.args:
            raise UsageError(f"no command to run: research-cli paper exec {name} -- pytest")
        run_under_pins(_member(name), context.args)

    return app


def _member(name: str) -> "Member":
    from research_train.members import find_member, installed_members

    return find_member(name, installed_members())


def _print(member: "Member", pin: "Pin", json: bool) -> None:
    runs = "the workspace's" if pin.runs.release is None else "the release"
    value = {
        "paper": member.name,
        "requirement": pin.requirement,
        "before": pin.before,
        "runs": str(pin.runs.version),
        "release": pin.runs.release is not None,
    }
    lines = [
        f"{member.folder / 'pyproject.toml'}: {pin.before or 'nothing'} -> {pin.requirement}",
        f"{member.distribution} runs {pin.runs.name} {pin.runs.version}, {runs}",
    ]
    output(value, json, lines)
