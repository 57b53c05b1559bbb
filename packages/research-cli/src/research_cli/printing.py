"""What the commands share: examples in their help; lines and tables, or one JSON object."""

import json
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from shutil import get_terminal_size
from typing import Annotated, Any

import typer
from research_data.shown import print_line, printable

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


def new_app(group: type[Any], rich: bool, help: str) -> typer.Typer:
    """A group of commands. rich: help is for a terminal."""
    return typer.Typer(
        cls=group,
        help=help,
        no_args_is_help=True,
        rich_markup_mode="rich" if rich else None,
    )


def examples(*lines: str) -> str:
    """Examples for the end of a command's help, line by line."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)])


def say_unless(as_json: bool, line: str) -> None:
    """Print a line, unless the output is JSON."""
    if not as_json:
        print_line(line)


def output(value: dict[str, Any], as_json: bool, lines: Iterable[str]) -> None:
    """Print the value as JSON, or else the lines."""
    if as_json:
        print_json(value)
    else:
        for line in lines:
            print_line(line)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object."""
    print(json.dumps(value, indent=2))


def print_rows(columns: list[str], rows: list[list[str]]) -> None:
    """A table; rich lays it out only where it must fold, which takes 0.3 s for 1,000 rows."""
    lines = [[printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if sys.stdout.isatty() and sum(widths) + 2 * len(widths) > get_terminal_size().columns:
        print_table(columns, rows)
        return
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in lines
    ]
    if sys.stdout.isatty():
        shown[0] = f"\033[1m{shown[0]}\033[0m"
    print("\n".join(shown))


def print_table(
    columns: list[str], rows: list[list[str]], styles: Mapping[str, str] | None = None
) -> None:
    """Print a table for a person, or, in a pipe, one whose rows are never cut.

    styles: of the cells that hold one of these words, at a terminal.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=10_000)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(printable(cell), (styles or {}).get(cell, "")) for cell in row))
    with suppress(BrokenPipeError):
        console.print(table)
