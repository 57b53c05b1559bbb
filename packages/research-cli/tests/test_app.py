import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

HEAVY = "{'torch', 'numpy', 'pandas', 'datasets', 'transformers', 'pydantic', 'research_train'}"


def test_help_shows_the_commands_and_examples(research_cli: Run) -> None:
    shown = research_cli("--help")
    assert shown.returncode == 0
    commands, examples = shown.stdout.split("Examples:")
    for name in ("dataset", "env", "model", "package", "paper", "project", "report", "run"):
        assert f"\n  {name} " in commands
    assert "  research-cli env --json " in examples


def test_help_is_plain_in_a_pipe_and_rich_at_a_terminal(
    research_cli: Run, at_a_terminal: Callable[..., str]
) -> None:
    in_a_pipe = research_cli("--help").stdout
    assert in_a_pipe.isascii()
    assert "\x1b" not in in_a_pipe
    assert "\b" not in in_a_pipe
    shown = at_a_terminal(Path(sys.executable).with_name("research-cli"), "--help")
    assert "╭─" in shown
    assert "\b" not in shown
    assert "run the workspace" in shown


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from research_cli.app import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        f"print(sorted({HEAVY} & set(sys.modules)), 'typer' in sys.modules, file=sys.stderr)"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert child.stderr == "[] True\n"


def test_version(research_cli: Run) -> None:
    shown = research_cli("--version")
    assert (shown.returncode, shown.stdout) == (0, f"research-cli {version('research-cli')}\n")


def test_no_command_shows_the_help(research_cli: Run) -> None:
    shown = research_cli()
    assert shown.returncode == 2
    assert "Commands:\n  env" in shown.stderr


def test_an_unknown_command_names_the_nearest(research_cli: Run) -> None:
    shown = research_cli("evn")
    assert shown.returncode == 2
    assert "Did you mean 'env'?" in shown.stderr


def test_a_natural_guess_is_told_the_right_command() -> None:
    guesses = {
        "train": "uv run --package paper-NAME train",
        "train mnist1d model=cnn": "uv run train --paper mnist1d model=cnn",
        "paper evaluate mnist1d": "uv run evaluate --paper mnist1d",
        "reproduce --dry-run": "uv run --package paper-NAME reproduce --dry-run",
        "list": "research-cli run list",
        "datasets ls": "research-cli dataset list",
        "run delete x": "research-cli run remove x",
        "run resume": "train --resume",
        "paper create x": "research-cli paper new x",
        "project list": "research-cli paper list",
    }
    program = (
        "import sys; from research_cli.app import app\n"
        "for line in sys.argv[1:]:\n"
        "    try: app(line.split(), prog_name='research-cli')\n"
        "    except SystemExit as end: assert end.code == 2, line"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, *guesses], capture_output=True, text=True, check=True
    )
    for (typed, right), said in zip(guesses.items(), child.stderr.splitlines(), strict=True):
        assert said.startswith("error: ") and right in said, typed


@pytest.mark.parametrize(("error", "exit_code"), [("ResearchError", 1), ("UsageError", 2)])
def test_an_error_of_ours_is_one_line_on_stderr(error: str, exit_code: int) -> None:
    program = (
        f"from research_data import {error}\n"
        "from research_cli.app import app\n"
        "@app.command()\n"
        f"def lose(): raise {error}('the key [seed] is lost. Look for it.')\n"
        "app(['lose'])"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert child.stderr == "error: the key [seed] is lost. Look for it.\n"
    assert child.stdout == ""
    assert child.returncode == exit_code
