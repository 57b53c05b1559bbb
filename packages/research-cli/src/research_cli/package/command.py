"""`research-cli package ...`: list, check and release the internal packages."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from research_data.shown import counted

from research_cli.printing import Json, examples, new_app, output, print_json, print_table

if TYPE_CHECKING:
    from research_cli.package.impact import Impact
    from research_cli.package.plan import Plan
    from research_cli.package.release import Released
    from research_cli.package.state import PackageState, Unreleased

# Modules that only one command needs are imported inside it, so that `--help` answers at once.

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the package.")]


def package_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli package`. rich: help is for a terminal."""
    app = new_app(group, rich, "List, check and release the internal packages.")
    app.command(
        name="list",
        epilog=examples("research-cli package list", "research-cli package list --json"),
    )(list_packages)
    app.command(
        epilog=examples("research-cli package check", "research-cli package check --json | jq")
    )(check)
    app.command(
        epilog=examples(
            "research-cli package impact research-train",
            "research-cli package impact research-models --steps 200 --json",
        )
    )(impact)
    app.command(
        epilog=examples(
            "research-cli package release research-train --dry-run",
            "research-cli package release research-train                0.1.0.dev0 -> 0.1.0",
            "research-cli package release research-train --bump patch   0.1.0 is out: 0.1.1",
            "research-cli package release research-train --version 1.0.0",
        )
    )(release)
    return app


def list_packages(json: Json = False) -> None:
    """List the packages: version, releases, unreleased changes, and who depends on each."""
    from research_train.experiment.workspace_members import workspace_here

    from research_cli.package.state import packages

    found = packages(workspace_here())
    if json:
        print_json({"packages": list(map(asdict, found))})
    else:
        _print_states(found)


def check(json: Json = False) -> None:
    """Check requirements, releases, imports and public names; exit with 1 if one is wrong.

    Compares every internal requirement with the version that would run, every release with its hash
    and the commit that added it, code with the release of its version, and imports with the
    declared dependencies. Each public name of a package needs a test and a row in its README.
    """
    from research_train.experiment.workspace_members import workspace_here

    from research_cli.package.check import check_packages

    checked = check_packages(workspace_here())
    history = "git's history" if checked.history else "their hashes only, as there is no git here"
    summary = (
        f"{counted(checked.packages, 'package')}, "
        f"{counted(checked.requirements, 'requirement')} on them: all met; "
        f"{counted(checked.releases, 'release')}: unchanged, compared with {history}"
    )
    output(asdict(checked), json, checked.findings or [summary])
    if checked.findings:
        raise typer.Exit(1)


def impact(
    name: Name,
    steps: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of steps to train each paper for.")
    ] = 20,
    json: Json = False,
) -> None:
    """Show which papers a package's unreleased changes would affect.

    Trains each paper that runs the workspace's own code for some steps, once under the newest
    release and once under the working tree, and compares: identical bits, different numbers (and by
    how much), or a crash. Exits with 1 if a paper crashes.
    """
    from research_data.shown import say
    from research_train.experiment.workspace_members import workspace_here

    from research_cli.package.impact import measure_impact

    impacts = measure_impact(workspace_here(), name, steps, say)
    if json:
        print_json({"impacts": list(map(asdict, impacts))})
    else:
        columns = ["paper", "verdict", "largest change", "by", "message"]
        print_table(columns, list(map(_impact_row, impacts)))
    if any(each.verdict == "crashes" for each in impacts):
        raise typer.Exit(1)


def release(
    name: Name,
    bump: Annotated[
        str,
        typer.Option(
            metavar="PART",
            help="Part of the newest release's version to raise: major, minor or patch. "
            "stable: the current version without its .dev0.",
        ),
    ] = "stable",
    version: Annotated[
        str | None, typer.Option(metavar="X.Y.Z", help="Version to release, instead of a bump.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Publish the release with `uv publish` as well.")
    ] = False,
    json: Json = False,
) -> None:
    """Release a package: build and test a wheel, commit and tag it, move on to the next .dev0.

    Works in a temporary git work tree: a release that fails or is interrupted changes nothing.
    """
    from research_data.errors import UsageError
    from research_train.errors import Interrupted
    from research_train.experiment.workspace_members import workspace_here

    from research_cli.package.plan import Bump, plan_release
    from research_cli.package.release import release_package

    if bump not in list(Bump):
        raise UsageError(f"--bump {bump}: must be one of {', '.join(Bump)}")
    plan = plan_release(workspace_here(), name, Bump(bump), version)
    if dry_run:
        output({**_as_json(plan), "entries": plan.entries}, json, _plan_lines(plan))
        return
    try:
        done = release_package(plan, publish)
    except Interrupted as stop:
        print("interrupted: nothing was released or changed", file=sys.stderr)
        raise typer.Exit(128 + stop.signal) from None
    output(_as_json(plan, done), json, _released_lines(done))


def _print_states(found: "list[PackageState]") -> None:
    """Print a table of the packages and one of their dependents."""
    print_table(
        ["package", "version", "releases", "unreleased"],
        [
            [
                state.name,
                str(state.version),
                ", ".join(map(str, state.releases)) or "none",
                _counts(state.unreleased),
            ]
            for state in found
        ],
    )
    print()
    print_table(
        ["package", "required by", "as", "runs"],
        [
            [state.name, each.by, str(each.requirement), str(each)]
            for state in found
            for each in state.dependents
        ],
    )


def _counts(unreleased: "Unreleased") -> str:
    entries, files = len(unreleased.entries), len(unreleased.changed)
    counts = [
        counted(entries, "entry", "entries") if entries else "",
        counted(files, "file") if files else "",
    ]
    return ", ".join(filter(None, counts)) or "nothing"


def _impact_row(each: "Impact") -> list[str]:
    by = "" if each.largest is None else f"{each.largest:.2g}"
    return [each.paper, each.verdict, each.metric or "", by, each.message or ""]


def _as_json(plan: "Plan", done: "Released | None" = None) -> dict[str, Any]:
    value = {
        "package": plan.name,
        "version": plan.version,
        "next": plan.following,
        "tag": plan.tag,
        "wheel": plan.wheel,
        "released": done is not None,
    }
    if done:
        value |= {"commit": done.commit, "sha256": done.sha256, "seconds": round(done.seconds, 1)}
    return value


def _plan_lines(plan: "Plan") -> list[str]:
    return [
        f"would release {plan.name} {plan.version} (it is {plan.current} now):",
        f"  changelog  {len(plan.entries)} entries under Unreleased",
        f"  tests      {plan.folder.relative_to(plan.workspace) / 'tests'}, against the wheel",
        f"  wheel      {plan.wheel.relative_to(plan.workspace)}",
        f"  tag        {plan.tag}",
        f"  then       {plan.following}",
        "nothing was done: leave out --dry-run to release it",
    ]


def _released_lines(done: "Released") -> list[str]:
    plan = done.plan
    wheel = plan.wheel.relative_to(plan.workspace)
    return [
        f"released {plan.name} {plan.version} in {done.seconds:.0f} s: {wheel}",
        f"tag {plan.tag} on {done.commit[:12]}; the workspace's version is now {plan.following}. "
        "`uv sync` installs it here; `git push --follow-tags` publishes commits and tag",
    ]
