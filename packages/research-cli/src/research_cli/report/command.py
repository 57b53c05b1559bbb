"""`research-cli report`: the whole workspace as one HTML page that opens anywhere, offline."""

from pathlib import Path
from typing import Annotated

import typer
from research_data.shown import counted, first_few, say, shown_size

from research_cli.printing import Json, examples, output

# Modules that only one command needs are imported inside it, so that `--help` answers at once.


def with_report(app: typer.Typer) -> typer.Typer:
    """Add the command to `research-cli`; returns it."""

    @app.command(
        epilog=examples(
            "research-cli report --open",
            "research-cli report mnist1d amsgrad --out for-anna.html",
        )
    )
    def report(
        papers: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="[PAPER...]", help="Papers to report; by default all.", show_default=False
            ),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(
                metavar="FILE",
                help="HTML file to write; by default report.html among the outputs.",
                show_default=False,
            ),
        ] = None,
        open: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
        json: Json = False,
    ) -> None:
        """Write papers, claims, learning curves and runs as one HTML page.

        The page needs no network and no other file. It names what could not be read.
        """
        from dataclasses import asdict

        from research_data import get_outputs_dir
        from research_train.experiment.workspace_members import workspace_here

        from research_cli.report.page import write_report

        file = (out or get_outputs_dir() / "report.html").expanduser().absolute()
        written = write_report(workspace_here(), file, papers or [])
        for problem in written.problems:
            say(f"warning: {problem}")
        if written.elsewhere:
            say(f"evidence from runs made elsewhere: {first_few(written.elsewhere, 20)}")
        if open:
            import webbrowser

            if not webbrowser.open(file.as_uri()):
                say(f"no browser was found: open {file} in one")
        value = {"file": str(file), **asdict(written)}
        counts = (
            f"{counted(written.papers, 'paper')}, {counted(written.projects, 'project')}, "
            f"{counted(written.runs, 'run')}; {shown_size(written.bytes)}"
        )
        output(value, json, [counts, str(file)])

    return app
