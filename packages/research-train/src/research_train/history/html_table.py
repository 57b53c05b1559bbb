"""Write small tables as HTML, which a notebook shows in place of a value's `repr`."""

from collections.abc import Mapping, Sequence
from html import escape

from research_data.shown import printable, shown_number


def html_table(columns: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A `<table>`: numbers short, None as -, all text escaped. Every row is as long as columns."""
    head = "".join(f"<th>{html_text(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html_text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_pairs(title: str, values: Mapping[str, object]) -> str:
    """Names and values below a title that opens them; empty for no values."""
    if not values:
        return ""
    table = html_table(["", title], list(values.items()))
    return f"<details><summary>{html_text(title)} ({len(values)})</summary>{table}</details>"


def html_text(value: object) -> str:
    """A value as text that no browser takes for a tag."""
    return escape(printable(shown_number(value)))
