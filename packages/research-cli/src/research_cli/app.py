"""The command `research-cli`: reads the words typed, calls one function, prints what it returns.

Modules that only one command needs are imported inside that command, so that `research-cli --help`
answers at once.
"""

import os
import sys
from typing import Annotated, Any

import typer
from research_data.shown import prepare_output
from typer.core import TyperGroup

from research_cli.assets.command import dataset_app, model_app
from research_cli.bench.command import with_bench
from research_cli.package.command import package_app
from research_cli.paper.command import paper_app
from research_cli.paper.derived_command import with_cite, with_docker
from research_cli.paper.project_command import project_app
from research_cli.paper.reproduce_all import with_reproduce
from research_cli.report.command import with_report
from research_cli.run.command import run_app
from research_cli.run.elsewhere import with_elsewhere
from research_cli.run.exchange import with_exchange
from research_cli.run.plot import with_plot
from research_cli.sweep.command import with_sweep

# Frames and colours only at a terminal: in a pipe they are noise, and cost half of --help's time.
RICH = sys.stdout.isatty()

EXAMPLES = """\
Examples:
  research-cli env                  can this machine run the workspace?
  research-cli env --json           the same for a script
  research-cli dataset pull squad   from the hub into assets, verified
  research-cli dataset list         what is here, how large, used by whom
  research-cli model pull bert-base-uncased
  research-cli paper new grokking   a paper that trains at once, to be rewritten
  research-cli paper check          are all papers in order?
  research-cli paper pin old research-train==0.1.0
  research-cli run list --sort test/accuracy
  research-cli run compare FIRST SECOND --plot
  research-cli run rerun RUN        again, from its own code: the same bytes?
  research-cli sweep mnist1d learning_rate=1e-3,1e-2 seed=0..4 --metric test/accuracy --max
  research-cli bench mnist1d model=cnn    what does a step cost, and where does it go?
  research-cli report --open        papers, claims, curves, runs as one page
  research-cli package check        does every paper run what it requires?
"""


class Commands(TyperGroup):
    """A group whose commands end at research-train's edge: a sentence and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command that the words name, as the process."""
        prepare_output(sys.stdout, sys.stderr)
        if not kwargs.get("standalone_mode", True):  # called from Python: the caller gets the error
            return super().main(*args, **kwargs)
        try:
            try:
                super().main(*args, **kwargs)
            finally:
                sys.stdout.flush()  # here, where a full disk or a closed pipe can still be reported
        except SystemExit:
            raise
        except BaseException as error:
            sys.exit(_ended_by(error))
        sys.exit(0)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first word names; a natural guess is told the right one."""
        if args and not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            from research_data.errors import UsageError

            from research_cli.guesses import right_command

            path = ctx.command_path.split()[1:]
            groups = {
                name: list(getattr(command, "commands", ()))
                for name, command in ctx.find_root().command.commands.items()
            }
            if better := right_command(path, args, groups):
                typed = " ".join(["research-cli", *path, args[0]])
                raise UsageError(f"there is no `{typed}`. Type `{better}`")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer's is private
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print(
                "interrupted: finished work is kept; run the command again to continue",
                file=sys.stderr,
            )
            raise typer.Exit(130) from None
        except OSError as error:  # a closed pipe, say, which typer would end silently
            raise typer.Exit(_ended_by(error)) from None


def _ended_by(error: BaseException) -> int:
    # Imported only here: help is shown without research-train, which is slow to import.
    from research_train.command_line.edge import ended_by

    return ended_by(error)


app = typer.Typer(
    cls=Commands,
    epilog=EXAMPLES if RICH else f"\b\n{EXAMPLES}",  # \b: plain help keeps the lines as they are
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a bug in the code: the plain traceback, complete
    rich_markup_mode="rich" if RICH else None,
)


app.add_typer(dataset_app(Commands, RICH), name="dataset")
app.add_typer(model_app(Commands, RICH), name="model")
app.add_typer(package_app(Commands, RICH), name="package")
papers = with_docker(with_cite(with_reproduce(paper_app(Commands, RICH))), "paper")
app.add_typer(papers, name="paper")
app.add_typer(with_docker(project_app(Commands, RICH), "project"), name="project")
app.add_typer(with_plot(with_elsewhere(with_exchange(run_app(Commands, RICH)))), name="run")


def _print_version(wanted: bool) -> None:
    if wanted:
        from research_cli import __version__

        print(f"research-cli {__version__}")
        raise typer.Exit


@app.callback()
def research_cli(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Commands over the research workspace."""
    if (
        "RESEARCH_RELEASES" in os.environ
    ):  # started by `paper exec`; this command itself runs the workspace's code
        from research_train.versions.hand_over import leave_releases

        leave_releases()


@app.command()
def env(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Check this machine: tools, packages, GPU and disk.

    Every package is really imported, and a GPU computes something. What is wrong is listed with
    its fix; a check that fails makes the exit code 1.
    """
    from research_cli.environment.command import (
        check_environment,
        overall_status,
        print_json,
        print_table,
    )

    if sys.stderr.isatty():
        print("importing every package; this takes some seconds", file=sys.stderr)
    checks = check_environment()
    if json:
        print_json(checks)
    else:
        print_table(checks)
    if overall_status(checks) == "fail":
        raise typer.Exit(1)


with_report(with_bench(with_sweep(app)))
