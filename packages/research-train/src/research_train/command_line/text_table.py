"""Tables as lines of text, for a terminal or a pipe."""

from collections.abc import Iterator, Sequence

from research_data.shown import printable


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table as lines of text: columns as wide as they need, the first to the left."""
    lines = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        first, *others = row
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()


def shown_metric(value: float | None) -> str:
    """A metric to four decimals, or to four digits where these would hide it."""
    if value is None:
        return "none: it was no finite number"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e9 else f"{value:.4g}"
