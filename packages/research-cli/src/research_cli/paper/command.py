"""`research-cli paper ...`: create, list, check and pin papers."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from research_data.shown import say

from research_cli.completion import member_names
from research_cli.printing import Json, examples, new_app, output, print_json, print_rows

if TYPE_CHECKING:
    from research_train.experiment.members import Member

    from research_cli.paper.pins import Pin
    from research_cli.paper.templates import NewMember

# Modules that only one command needs are imported inside it, so that `--help` answers at once.

Paper = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of a paper or project: `mnist1d`.",
        autocompletion=member_names,
    ),
]
Uses = Annotated[
    str,
    typer.Option(
        metavar="WORDS",
        help="Internal packages to use besides data and train: models, viz, or both.",
    ),
]
Docker = Annotated[
    bool, typer.Option("--docker", help="Add docker/Dockerfile, as `paper docker` writes it.")
]


def paper_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli paper`. rich: help is for a terminal."""
    app = new_app(group, rich, "Make, list, check, pin and reproduce papers.")
    app.command(
        name="new",
        epilog=examples(
            "research-cli paper new grokking",
            "research-cli paper new grokking --arxiv 2201.02177 --year 2022 --uses models,viz",
        ),
    )(new_paper)
    app.command(
        name="list", epilog=examples("research-cli paper list", "research-cli paper list --json")
    )(list_papers)
    app.command(
        name="check",
        epilog=examples(
            "research-cli paper check",
            "research-cli paper check mnist1d --json",
            ".venv/bin/research-cli paper check --mend   # when `uv run` itself stops",
        ),
    )(check)
    app.command(
        name="remove",
        epilog=examples(
            "research-cli paper remove first-try         # what would happen",
            "research-cli paper remove first-try --yes",
        ),
    )(remove)
    app.command(
        name="pin",
        epilog=examples(
            "research-cli paper pin old research-train            # its newest release",
            "research-cli paper pin old 'research-train>=0.1,<0.2'",
        ),
    )(pin_package)
    app.command(name="unpin", epilog=examples("research-cli paper unpin old research-train"))(
        unpin_package
    )
    app.command(
        name="exec",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        epilog=examples(
            "research-cli paper exec old -- pytest papers/old",
            "research-cli paper exec old -- python -c 'import research_train as r; print(r)'",
        ),
    )(run_command)
    return app


def new_paper(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Short name: a-z, 0-9 and hyphens.")],
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Title of the paper.")] = None,
    arxiv: Annotated[
        str | None, typer.Option(metavar="ID", help="arXiv identifier: 2011.14439.")
    ] = None,
    year: Annotated[int | None, typer.Option(metavar="YEAR", help="Year of publication.")] = None,
    authors: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Authors, separated by commas.")
    ] = None,
    uses: Uses = "data,train",
    docker: Docker = False,
    json: Json = False,
) -> None:
    """Create a paper from a template that trains, evaluates and passes its test.

    Creates papers/NAME, renews the lock and installs the paper. When a step fails, nothing is
    changed.
    """
    from research_cli.paper.templates import NewMember, read_uses

    asked = read_uses(uses)
    words = title if title is not None else name.replace("-", " ").capitalize()
    make(NewMember(name, "paper", words, asked, arxiv, year, authors, docker=docker), json)


def list_papers(json: Json = False) -> None:
    """List papers and projects: title, year, verdicts, pins, last run."""

    from research_train.experiment.workspace_members import workspace_here

    from research_cli.paper.half_deleted import find_leftovers
    from research_cli.paper.screens import list_rows
    from research_cli.paper.state import papers

    workspace = workspace_here()
    found = papers(workspace)
    for leftover in find_leftovers(workspace):
        say(f"warning: {leftover}")
    if json:
        print_json({"papers": list(map(asdict, found))})
    elif found:
        print_rows(list_rows(found))
    else:
        print("no papers yet; `research-cli paper new NAME` creates one")


def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Papers or projects to check; by default all.",
            autocompletion=member_names,
        ),
    ] = None,
    mend: Annotated[
        bool, typer.Option("--mend", help="Move half-deleted papers to assets/leftovers.")
    ] = False,
    json: Json = False,
) -> None:
    """Check papers and projects; exit with 1 if anything is wrong.

    Checks files, configs, datasets, claims, imports, and the README's table against the results.
    A half-deleted paper stops every uv command: --mend moves it to assets/leftovers.
    """
    from research_train.experiment.workspace_members import workspace_here

    from research_cli.paper.check import check_papers
    from research_cli.paper.half_deleted import find_leftovers
    from research_cli.paper.half_deleted import mend as mend_leftover
    from research_cli.paper.screens import check_lines

    workspace = workspace_here()
    asked = names or []
    found = [
        each for each in find_leftovers(workspace) if not asked or any(map(each.is_called, asked))
    ]
    mended = [mend_leftover(each) for each in found] if mend else []
    leftovers = [] if mend else list(map(str, found))
    gone = [each for each in found if not (workspace / each.place / "pyproject.toml").is_file()]
    left = [name for name in asked if not any(each.is_called(name) for each in gone)]
    checked = check_papers(workspace, left) if left or not asked else []
    value = {"leftovers": leftovers, "mended": mended, "papers": list(map(asdict, checked))}
    output(value, json, [*mended, *leftovers, *check_lines(checked)])
    if leftovers or any(each.problems for each in checked):
        raise typer.Exit(1)


def remove(
    name: Paper,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Remove even if it has evidence or others depend on it.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what removing a paper or project would do; do it with --yes.

    The folder is moved to assets/leftovers, the lock renewed, the paper uninstalled; runs and data
    stay. Refused if it is pinned or has evidence, or if other files or runs depend on it.
    """
    from research_data.errors import ResearchError
    from research_train.experiment.workspace_members import workspace_here

    from research_cli.paper.removal import plan_removal, refusal, remove_member
    from research_cli.paper.screens import paper_removal_lines

    workspace = workspace_here()
    plan = remove_member(name, workspace, force) if yes else plan_removal(name, workspace)
    if plan.dependents and not force:
        raise ResearchError(refusal(plan))
    output({"removed": yes, **asdict(plan)}, json, paper_removal_lines(plan, yes))


def pin_package(
    name: Paper,
    package: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE[==VERSION]",
            help="Internal package, and the version to run; by default the newest release.",
        ),
    ],
    json: Json = False,
) -> None:
    """Pin a paper to a released version of an internal package.

    Edits its pyproject.toml, renews the lock and loads the paper's config under the pin. When a
    step fails, nothing is changed.
    """
    from research_cli.paper.pins import pin

    member = _member(name)
    _print(member, pin(member, package), json)


def unpin_package(
    name: Paper,
    package: Annotated[str, typer.Argument(metavar="PACKAGE", help="Internal package.")],
    json: Json = False,
) -> None:
    """Remove a pin: the paper runs the workspace's own version again."""
    from research_cli.paper.pins import unpin

    member = _member(name)
    _print(member, unpin(member, package), json)


def run_command(name: Paper, context: typer.Context) -> None:
    """Run a command under the versions that a paper requires: pytest, python, a notebook."""
    from research_data.errors import UsageError

    from research_cli.paper.pins import run_under_pins

    if not context.args:
        raise UsageError(f"no command to run: research-cli paper exec {name} -- pytest")
    run_under_pins(_member(name), context.args)


def make(member: "NewMember", json: bool) -> None:
    """Create a paper or project, and print the commands to run next."""
    from research_train.experiment.workspace_members import workspace_here

    from research_cli.paper.new import create_member

    workspace = workspace_here()
    folder = create_member(member, workspace)
    place = folder.relative_to(workspace).as_posix()
    commands = [
        f"uv run pytest {place}",
        f"uv run --package {member.distribution} train",
        f"uv run --package {member.distribution} "
        + ("reproduce" if member.kind == "paper" else "evaluate"),
    ]
    value = {
        "name": member.name,
        "distribution": member.distribution,
        "folder": str(folder),
        "next": commands,
    }
    lines = [
        f"{place}: created; it trains and passes its test on a placeholder task, to be replaced",
        *(f"  {command}" for command in commands),
    ]
    output(value, json, lines)


def _member(name: str) -> "Member":
    from research_train.experiment.members import find_member, installed_members

    return find_member(name, installed_members())


def _print(member: "Member", pin: "Pin", json: bool) -> None:
    runs = "a release" if pin.release else "the workspace's own code"
    lines = [
        f"{member.folder / 'pyproject.toml'}: {pin.before or 'nothing'} -> {pin.requirement}",
        f"{member.distribution} runs {pin.requirement.name} {pin.runs}, {runs}",
    ]
    output(asdict(pin), json, lines)
