"""What all commands share: examples in their help, tables, and one JSON object for `--json`."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from shutil import get_terminal_size
from typing import Annotated, Any

import typer
from research_data.shown import print_line, printable, table_lines

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
    """Print one JSON object; what JSON has no form for, a version or a path, as text."""
    print(json.dumps(value, indent=2, default=str))


def print_json_rows(value: dict[str, Any], name: str, rows: Iterable[dict[str, Any]]) -> None:
    """Print one JSON object whose last key is a list, each of its items on a line of its own.

    Thousands of items indented take seconds, and nobody reads them.
    """
    print(json.dumps({**value, name: []}, indent=2, default=str).removesuffix("]\n}"))
    print(",\n".join(json.dumps(row, default=str) for row in rows))
    print("]\n}")


def print_table(
    columns: list[str], rows: list[list[str]], styles: Mapping[str, str] | None = None
) -> None:
    """Print a table; at a terminal too narrow for it, with its cells folded.

    styles: text of a cell -> its rich style, used at a terminal only. rich lays the table out only
    if styles or folding need it, since it takes 0.3 s for 1,000 rows.
    """
    lines = list(table_lines(columns, rows))
    terminal = sys.stdout.isatty()
    if terminal and (styles or max(map(len, lines)) > get_terminal_size().columns):
        _print_laid_out(columns, rows, styles or {})
        return
    head, *others = lines
    print("\n".join([f"\033[1m{head}\033[0m" if terminal else head, *others]))


def print_rows(rows: Sequence[Mapping[str, str]]) -> None:
    """Print a table of one row or more, their cells by the same columns."""
    print_table(list(rows[0]), [list(row.values()) for row in rows])


def _print_laid_out(columns: list[str], rows: list[list[str]], styles: Mapping[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(printable(cell), styles.get(cell, "")) for cell in row))
    with suppress(BrokenPipeError):
        Console().print(table)
