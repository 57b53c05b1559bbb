"""Format tables as Markdown or LaTeX, and numbers with their intervals."""

import math
import re
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from research_viz.inputs import half_width, number

Cell = str | int | float | None

LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # otherwise read as an optional argument after \\ or \midrule
    "*": "{*}",  # otherwise read as the starred form after \\
    "±": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
}
NUMBER = re.compile(r"\(?[-+\u2212]?\.?\d[\d.,e+-]*( ± |\)|%|$)")  # \u2212: a printed minus
LARGEST_PLAIN = 6  # digits before the point; larger numbers are written with a power of ten
SMALLEST_PLAIN = -6  # power of ten of the last decimal place written out
FLOAT_DIGITS = 15  # significant digits of a float


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A Markdown table, padded to be readable as text; columns of numbers are right-aligned.

    columns: the headings. rows: one cell for each column; None is an empty cell, and a number is
    written as Python prints it (round it first, with `with_interval` or a format).
    """
    cells = [[_markdown(cell) for cell in row] for row in [columns, *_checked(columns, rows)]]
    right = _numeric(columns, rows)
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    rule = [
        "-" * (width - 1) + ":" if is_right else "-" * width
        for width, is_right in zip(widths, right, strict=True)
    ]
    lines = [
        [
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        ]
        for row in cells
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in [lines[0], rule, *lines[1:]])


def latex_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A LaTeX `tabular` with booktabs rules; columns of numbers are right-aligned.

    Arguments as for `markdown_table`. Characters that LaTeX would read as commands are escaped. The
    `table` environment, caption and label are left to the paper.
    """
    heading, *body = (
        " & ".join(_latex(cell) for cell in row) + r" \\"
        for row in [columns, *_checked(columns, rows)]
    )
    sides = "".join("r" if is_right else "l" for is_right in _numeric(columns, rows))
    lines = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", heading, r"\midrule", *body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def with_interval(mean: float, interval: float | None) -> str:
    """`93.62 ± 0.68`: the interval to two significant digits, the mean to the same decimals.

    interval: half-width. With None (one run) or 0 the mean has six significant digits, or all if it
    is a count: a whole number, as `108,893,186`. Very large and very small values share a power of
    ten: `(1.234 ± 0.012)e-07`.
    """
    mean, half = number(mean, "mean"), half_width(interval, "interval")
    if half is None:
        return _six_digits(mean)
    if half == 0:
        return f"{_six_digits(mean)} ± 0"
    last = _exponent(half) - 1
    first = max(_exponent(mean), _exponent(half)) if mean else _exponent(half)
    if first - last >= FLOAT_DIGITS:
        return f"{mean:.6g} ± {half:.1e}"
    if last >= SMALLEST_PLAIN and first < LARGEST_PLAIN:
        return f"{_rounded(mean, last)} ± {_rounded(half, last)}"
    scaled = (Decimal(repr(value)).scaleb(-first) for value in (mean, half))
    written = " ± ".join(_rounded(value, last - first) for value in scaled)
    return f"({written})e{first:+03d}"


def with_ends(mean: float | None, low: float, high: float) -> str:
    """`93.6 (92.9 to 95.1)` for an interval that isn't symmetric, else like `with_interval`.

    low, high: ends of the interval. All three numbers have the decimals that give the half-width
    two significant digits. With one infinite end only the other is shown, `≥ 92.9`, and with two,
    or where the mean is None, `not known`: of a censored metric one knows only a bound.
    """
    if mean is None or (math.isinf(low) and math.isinf(high)):
        return "not known"
    if math.isinf(low) or math.isinf(high):
        return f"≥ {low:.6g}" if math.isinf(high) else f"≤ {high:.6g}"
    half = half_width((high - low) / 2, "interval") or 0.0
    if abs(high + low - 2 * mean) <= 1e-6 * half or half == 0:
        return with_interval(mean, half)
    ends = [number(end, name) for end, name in ((low, "low"), (mean, "mean"), (high, "high"))]
    last = _exponent(half) - 1
    first = max(_exponent(end) for end in ends)
    if last >= SMALLEST_PLAIN and first < LARGEST_PLAIN:
        low_, mean_, high_ = (_rounded(end, last) for end in ends)
    else:
        low_, mean_, high_ = (f"{end:.{min(FLOAT_DIGITS, max(1, first - last))}e}" for end in ends)
    return f"{mean_} ({low_} to {high_})"


def _six_digits(value: float) -> str:
    """Six significant digits; a whole number that has more, and all of them in a float, in full."""
    if value == int(value) and 1e6 <= abs(value) < 10**FLOAT_DIGITS:
        return f"{value:,.0f}"
    return f"{value:.6g}"


def _rounded(value: float | Decimal, last: int) -> str:
    """value to the decimal place 10**last, without an exponent and without a minus before 0."""
    rounded = Decimal(str(value)).quantize(Decimal(1).scaleb(last), ROUND_HALF_EVEN)
    return f"{abs(rounded) if rounded == 0 else rounded:f}"


def _exponent(value: float) -> int:
    """The power of ten of value's first digit once it is rounded to two: 1 for 9.96."""
    return int(f"{value:.1e}".partition("e")[2])


def _checked(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Sequence[Sequence[Cell]]:
    if not columns:
        raise ValueError("a table needs at least one column")
    for index, row in enumerate(rows):
        if len(row) != len(columns):
            raise ValueError(
                f"row {index} has {len(row)} cells, but there are {len(columns)} columns: {row}"
            )
    return rows


def _numeric(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[bool]:
    """For each column, whether all its cells are numbers or text that starts with a number."""
    return [
        any(row[index] is not None for row in rows)
        and all(row[index] is None or _is_number(row[index]) for row in rows)
        for index in range(len(columns))
    ]


def _is_number(cell: Cell) -> bool:
    return not isinstance(cell, str) or NUMBER.match(cell) is not None


def _text(cell: Cell) -> str:
    """A cell's text in one line, with unprintable characters replaced by their escapes."""
    text = "" if cell is None else " ".join(str(cell).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _markdown(cell: Cell) -> str:
    return _text(cell).replace("\\", "\\\\").replace("|", "\\|")


def _latex(cell: Cell) -> str:
    text = "".join(LATEX.get(character, character) for character in _text(cell))
    return re.sub(r"(?<![\w-])-(?=\.?\d)", "$-$", text)  # a hyphen is no minus
