"""`research-cli package ...`: the internal packages listed, checked, released."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from research_data.shown import counted

from research_cli.printing import Json, examples, new_app, output, print_json, print_table

if TYPE_CHECKING:
    from research_cli.package.state import PackageState

# Imports of a command's own are made inside it, as everywhere in this package.


def package_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli package`. rich: help is for a terminal."""
    app = new_app(group, rich, "Our own packages: listed, checked, released.")

    @app.command(
        name="list",
        epilog=examples("research-cli package list", "research-cli package list --json"),
    )
    def list_(json: Json = False) -> None:
        """List the packages: version, releases, what is unreleased, who requires and runs what."""
        from research_train.experiment.workspace_members import workspace_here

        from research_cli.package.state import packages

        found = packages(workspace_here())
        if json:
            print_json({"packages": [_as_json(each) for each in found]})
        else:
            _print_states(found)

    @app.command(
        epilog=examples("research-cli package check", "research-cli package check --json | jq")
    )
    def check(json: Json = False) -> None:
        """Check requirements, releases, versions and imports; a finding makes the exit code 1.

        Every internal requirement against what would really run; releases against their hash and
        the commit that added them; code against its release; imports against what is declared.
        """
        from dataclasses import asdict

        from research_train.experiment.workspace_members import workspace_here

        from research_cli.package.check import check_packages

        checked = check_packages(workspace_here())
        history = "as in git's history" if checked.history else "no git here to compare them with"
        summary = (
            f"{checked.packages} packages: {checked.requirements} requirements of them, all met; "
            f"releases as they were made: {checked.releases} ({history})"
        )
        output(asdict(checked), json, checked.findings or [summary])
        if checked.findings:
            raise typer.Exit(1)

    @app.command(
        epilog=examples(
            "research-cli package impact research-train",
            "research-cli package impact research-models --steps 200 --json",
        )
    )
    def impact(
        name: Annotated[str, typer.Argument(metavar="NAME", help="The package.")],
        steps: Annotated[
            int, typer.Option(min=1, metavar="N", help="How long each paper is trained.")
        ] = 20,
        json: Json = False,
    ) -> None:
        """Say which papers would feel the unreleased changes of a package, and how.

        Each paper that runs the workspace's own code is trained for some steps under the newest
        release and under the working tree: is it bit-identical, are there other numbers and by how
        much, does it crash? A crash makes the exit code 1.
        """
        from dataclasses import asdict

        from research_data.shown import say
        from research_train.experiment.workspace_members import workspace_here

        from research_cli.package.impact import measure_impact

        impacts = measure_impact(workspace_here(), name, steps, say)
        if json:
            print_json({"impacts": [asdict(each) for each in impacts]})
        else:
            print_table(
                ["paper", "verdict", "most in", "by", ""],
                [
                    [
                        each.paper,
                        each.verdict,
                        each.metric or "",
                        "" if each.largest is None else f"{each.largest:.2g}",
                        each.message or "",
                    ]
                    for each in impacts
                ],
            )
        if any(each.verdict == "crashes" for each in impacts):
            raise typer.Exit(1)

    @app.command(
        epilog=examples(
            "research-cli package release research-train --dry-run",
            "research-cli package release research-train                0.1.0.dev0 -> 0.1.0",
            "research-cli package release research-train --bump patch   0.1.0 is out: 0.1.1",
            "research-cli package release research-train --version 1.0.0",
        )
    )
    def release(
        name: Annotated[str, typer.Argument(metavar="NAME", help="The package.")],
        bump: Annotated[
            str,
            typer.Option(
                metavar="PART",
                help="major, minor, patch: the newest release's next. stable: what it is now.",
            ),
        ] = "stable",
        version: Annotated[
            str | None, typer.Option(metavar="X.Y.Z", help="This version, whatever it is now.")
        ] = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")
        ] = False,
        publish: Annotated[
            bool, typer.Option("--publish", help="Then hand it over to `uv publish`.")
        ] = False,
        json: Json = False,
    ) -> None:
        """Release a package: test its wheel, keep it in git, commit, tag, go on as the next .dev0.

        Done in a work tree of its own: stopped or failing anywhere, nothing has changed.
        """
        from research_data.errors import UsageError
        from research_train.errors import Interrupted
        from research_train.experiment.workspace_members import workspace_here

        from research_cli.package.plan import Bump, plan_release
        from research_cli.package.release import release_package

        if bump not in list(Bump):
            raise UsageError(f"--bump {bump}: one of {', '.join(Bump)}")
        plan = plan_release(workspace_here(), name, Bump(bump), version)
        value = {
            "package": plan.name,
            "version": str(plan.version),
            "next": str(plan.following),
            "tag": plan.tag,
            "wheel": str(plan.wheel),
            "released": False,
        }
        wheel = plan.wheel.relative_to(plan.workspace)
        if dry_run:
            lines = [
                f"would release {plan.name} {plan.version} (it is {plan.current} now):",
                f"  changelog  {len(plan.entries)} entries under Unreleased",
                f"  tests      {plan.folder.relative_to(plan.workspace) / 'tests'}, "
                "against the wheel",
                f"  wheel      {wheel}",
                f"  tag        {plan.tag}",
                f"  then       {plan.following}",
                "nothing is done yet: leave out --dry-run",
            ]
            output({**value, "entries": plan.entries}, json, lines)
            return
        try:
            done = release_package(plan, publish)
        except Interrupted as stop:
            print("interrupted: nothing is released, nothing has changed", file=sys.stderr)
            raise typer.Exit(128 + stop.signal) from None
        value |= {"released": True, "commit": done.commit, "sha256": done.sha256}
        lines = [
            f"released {plan.name} {plan.version} in {done.seconds:.0f} s: {wheel}",
            f"tag {plan.tag} on {done.commit[:12]}; the workspace goes on as {plan.following}. "
            "`uv sync` here; `git push --follow-tags` gives it to others",
        ]
        output({**value, "seconds": round(done.seconds, 1)}, json, lines)

    return app


def _as_json(state: "PackageState") -> dict[str, Any]:
    return {
        "name": state.name,
        "version": str(state.version),
        "releases": [str(release.version) for release in state.releases],
        "unreleased": {"entries": state.entries, "changed": state.changed},
        "dependents": [
            {
                "by": each.by,
                "requirement": str(each.requirement),
                "runs": str(each.runs.version) if each.runs else None,
                "release": bool(each.runs and each.runs.release),
                "refused": each.refused or None,
            }
            for each in state.dependents
        ],
    }


def _print_states(found: "list[PackageState]") -> None:
    """One table of the packages, one of who depends on them."""
    print_table(
        ["package", "version", "releases", "unreleased"],
        [
            [
                state.name,
                str(state.version),
                ", ".join(str(release.version) for release in state.releases) or "none",
                _unreleased(state),
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


def _unreleased(state: "PackageState") -> str:
    counts = [
        counted(len(state.entries), "entry", "entries") if state.entries else "",
        counted(len(state.changed), "file") if state.changed else "",
    ]
    return ", ".join(filter(None, counts)) or "nothing"
