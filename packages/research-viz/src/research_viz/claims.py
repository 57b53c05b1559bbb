"""Draw a paper's claims against what was measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from research_viz.canvas import MARGIN, NAME_WIDTH, fit_canvas, text_height, text_width, wrapped
from research_viz.inputs import finite, half_width, number, numbers
from research_viz.notebook import ShownFigure
from research_viz.style import COLOURS, FAINT, FONT_SIZE, INK, SMALL, house_style
from research_viz.tables import with_ends, with_interval

Side = Literal["at_least", "at_most", "above", "below"]
Verdict = Literal["reproduced", "better", "not reproduced", "undecided", "known gap", "awaiting"]

# Marker and colour, drawn beside the word. The markers differ in greyscale too.
VERDICTS: dict[Verdict, tuple[str, str]] = {
    "reproduced": ("o", COLOURS[0]),
    "better": ("^", COLOURS[0]),
    "not reproduced": ("X", COLOURS[3]),
    "undecided": ("$?$", INK),
    "known gap": ("D", COLOURS[1]),
    "awaiting": ("s", "white"),
}
BAND = "#D5D9E0"
KNOWN_GAP: dict[str, Any] = {
    "marker": VERDICTS["known gap"][0],
    "color": VERDICTS["known gap"][1],
    "markeredgecolor": INK,
    "markersize": 9,
}
STRIP_WIDTH = 2.6  # inches
ROW_HEIGHT = 0.42
COLUMN_GAP = 0.22
TOLERANCES = 3.0  # shown to either side of the published value at least, so the bands line up
ROOM = 1.12  # the strip's reach relative to the furthest mark


@dataclass(frozen=True)
class ClaimRow:
    """A published value and its reproduction; all numbers are in the claim's own unit.

    tolerance: half-width of the band around published in which a mean counts as reproduced.
    mean: the mean over seeds; None if unknown. interval: its 95 % interval, as a half-width or as
    both ends, of which one may be infinite; None for one run.
    values: (seeds,), the value of every seed; may be empty.
    known_gap: the value that a known difference from the paper gives, if there is one.
    side: given when published is a bound; the band then covers that whole side of it.
    note: text below the verdict. A claim that is `awaiting` hardware has no mean and no values.
    """

    name: str
    published: float
    tolerance: float
    mean: float | None
    interval: float | tuple[float, float] | None
    values: Sequence[float]
    verdict: Verdict
    unit: str = ""
    known_gap: float | None = None
    side: Side | None = None
    note: str = ""

    @property
    def ends(self) -> tuple[float, float] | None:
        """Both ends of the interval."""
        if self.interval is None or isinstance(self.interval, tuple):
            return self.interval
        middle = self.published if self.mean is None else self.mean
        return middle - self.interval, middle + self.interval

    def __post_init__(self) -> None:
        what = f"claim {self.name!r}"
        number(self.published, f"{what}, published")
        if self.mean is not None:
            number(self.mean, f"{what}, mean")
        half_width(self.tolerance, f"{what}, tolerance")
        if isinstance(self.interval, tuple):
            low, high = numbers(self.interval, f"{what}, interval")
            if not low <= high:
                raise ValueError(
                    f"{what}, interval: the lower end {low:g} is above the upper end {high:g}"
                )
        else:
            half_width(self.interval, f"{what}, interval")
        if self.side not in (None, *get_args(Side)):
            raise ValueError(
                f"{what}: side {self.side!r} is not one of {', '.join(get_args(Side))}"
            )
        if self.known_gap is not None:
            number(self.known_gap, f"{what}, known gap")
        if finite(self.values, f"{what}, values").ndim != 1:
            raise ValueError(f"{what}: values must be (seeds,), got {self.values}")
        if self.verdict not in VERDICTS:
            known = ", ".join(get_args(Verdict))
            raise ValueError(f"{what}: verdict {self.verdict!r} is not one of {known}")


@house_style()
def claim_plot(rows: Sequence[ClaimRow], title: str = "") -> Figure:
    """Draw each claim in a row: the reproduced mean and every seed relative to the published value.

    Each row has its own scale, with the published value in the middle and its tolerance as a grey
    band; the bands are equally wide unless a value is more than three tolerances away. A dot in
    the band is a reproduced mean; the numbers are written beside it. Each row is an axes in the
    claim's own unit; figure.axes has them from top to bottom.
    """
    if not rows:
        raise ValueError("there is no claim to draw")
    cells = [_cells(row) for row in rows]
    heads = ("claim", "", "published", "reproduced", "verdict")
    widths = [
        max(text_width(head), *(text_width(line[column]) for line in cells))
        for column, head in enumerate(heads)
    ]
    widths[1] = STRIP_WIDTH
    widths[4] += 0.2  # for the marker before the verdict
    lefts = [sum(widths[:column]) + column * COLUMN_GAP for column in range(len(heads))]
    heights = [max(ROW_HEIGHT, max(map(text_height, line)) + 0.14) for line in cells]
    width, height = lefts[-1] + widths[-1], sum(heights)
    figure = ShownFigure(figsize=(width, height))
    tops = [height - sum(heights[:index]) for index in range(len(rows))]
    for row, line, top, row_height in zip(rows, cells, tops, heights, strict=True):
        axes = figure.add_axes(
            (lefts[1] / width, (top - row_height) / height, widths[1] / width, row_height / height)
        )
        _draw_row(axes, row)
        for column in (0, 2, 3):
            _write(axes, lefts[column] - lefts[1], line[column])
        _draw_verdict(axes, lefts[4] - lefts[1], row.verdict, line[4])
        _rule(axes, -lefts[1], width - lefts[1])
    for left, head in zip(lefts, heads, strict=True):
        _write(figure.axes[0], left - lefts[1], head, above=True)
    if title:
        figure.axes[0].annotate(
            wrapped(title, width, FONT_SIZE + 1),
            (0, 1),
            xycoords="axes fraction",
            xytext=(-lefts[1] * 72, 26),
            textcoords="offset points",
            fontsize=FONT_SIZE + 1,
            va="bottom",
        )
    _draw_key(figure, rows, lefts[1], width)
    fit_canvas(figure)
    return figure


def _cells(row: ClaimRow) -> tuple[str, str, str, str, str]:
    unit = f" {row.unit}" if row.unit else ""
    seeds = f"\n{len(row.values)} seeds" if len(row.values) > 1 else ""
    published = f"{with_interval(row.published, None)} ± {row.tolerance:.4g}{unit}"
    if row.side:
        published = f"{row.side.replace('_', ' ')} {with_interval(row.published, None)}{unit}"
    return (
        wrapped(row.name, NAME_WIDTH),
        "",
        wrapped(published, NAME_WIDTH),
        wrapped(_shown_mean(row) + (unit if row.verdict != "awaiting" else ""), NAME_WIDTH) + seeds,
        row.verdict + (f"\n{wrapped(row.note, NAME_WIDTH)}" if row.note else ""),
    )


def _shown_mean(row: ClaimRow) -> str:
    if row.verdict == "awaiting":
        return "—"
    if isinstance(row.interval, tuple):
        return with_ends(row.mean, *row.interval)
    return "not known" if row.mean is None else with_interval(row.mean, row.interval)


def _draw_row(axes: Axes, row: ClaimRow) -> None:
    reach = _reach(row)
    axes.set_xlim(row.published - reach, row.published + reach)
    axes.set_ylim(0, 1)
    axes.set_axis_off()
    low, high = row.published - row.tolerance, row.published + row.tolerance
    if row.side:
        upwards = row.side in ("at_least", "above")
        low, high = (low, low + reach) if upwards else (high - reach, high)
    axes.axvspan(low, high, ymin=0.06, ymax=0.94, color=BAND, linewidth=0)
    axes.plot([row.published] * 2, [0.06, 0.94], color=FAINT, linewidth=1)
    if row.known_gap is not None:
        axes.plot([row.known_gap], [0.6], **KNOWN_GAP)
    if row.ends is not None:
        left, right = axes.get_xlim()
        beyond_left, beyond_right = row.ends[0] < left, row.ends[1] > right
        shown = [max(left, row.ends[0]), min(right, row.ends[1])]
        axes.plot(shown, [0.6, 0.6], color=INK, linewidth=1.6)
        for end, beyond, arrow in ((left, beyond_left, "<"), (right, beyond_right, ">")):
            if beyond:
                axes.plot([end], [0.6], arrow, color=INK, markersize=5, clip_on=False)
    if row.mean is not None:
        axes.plot([row.mean], [0.6], "o", color=INK, markersize=5.5, markeredgecolor="white")
    if len(row.values):
        below = [0.24] * len(row.values)
        axes.plot(row.values, below, "|", color=INK, markersize=6, markeredgewidth=0.9)


def _reach(row: ClaimRow) -> float:
    """The distance from the published value to either end of a row's scale."""
    means = [] if row.mean is None else [row.mean]
    marks = [*means, *row.values, *([] if row.known_gap is None else [row.known_gap])]
    furthest = max((abs(mark - row.published) for mark in marks), default=0.0)
    # The interval of two seeds can be twenty times as wide as their distance: it may be cut off.
    ends = [end for end in row.ends or () if math.isfinite(end)]
    end = max((abs(end - row.published) for end in ends), default=0.0)
    needed = max(furthest, min(end, max(3 * furthest, 2 * TOLERANCES * row.tolerance)))
    least = 1e-9 * abs(row.published) or 1e-12  # a scale of zero width can't be drawn
    return max(TOLERANCES * row.tolerance, ROOM * needed, least)


def _write(axes: Axes, left: float, text: str, above: bool = False) -> None:
    """Write text `left` inches right of the axes' left side, at half its height or above it."""
    axes.annotate(
        text,
        (0, 1 if above else 0.5),
        xycoords="axes fraction",
        xytext=(left * 72, 6 if above else 0),
        textcoords="offset points",
        va="bottom" if above else "center",
        color=FAINT if above else INK,
    )


def _draw_verdict(axes: Axes, left: float, verdict: Verdict, words: str) -> None:
    marker, colour = VERDICTS[verdict]
    inches = axes.bbox.width / axes.figure.dpi
    axes.plot(
        [(left + 0.06) / inches],
        [0.5],
        marker=marker,
        color=colour,
        markersize=7,
        markeredgewidth=0.6,
        markeredgecolor=INK,
        transform=axes.transAxes,
        clip_on=False,
    )
    _write(axes, left + 0.2, words)


def _rule(axes: Axes, left: float, right: float) -> None:
    """Draw a thin line above the row, across all columns."""
    inches = axes.bbox.width / axes.figure.dpi
    axes.plot(
        [left / inches, right / inches],
        [1, 1],
        color="#CCCCCC",
        linewidth=0.6,
        transform=axes.transAxes,
        clip_on=False,
    )


def _draw_key(figure: Figure, rows: Sequence[ClaimRow], left: float, width: float) -> None:
    line = Line2D([], [], color=INK, linewidth=1.6)
    dot = Line2D([], [], color=INK, marker="o", linestyle="", markersize=5.5)
    seed = Line2D([], [], color=INK, marker="|", linestyle="", markersize=6)
    published = Line2D([], [], color=FAINT, marker="|", linestyle="", markersize=10)
    entries: list[tuple[object, str]] = [
        ((Patch(facecolor=BAND), published), "published, tolerance"),
        ((line, dot), "mean, 95 % interval") if _any_interval(rows) else (dot, "mean"),
    ]
    if any(len(row.values) for row in rows):
        entries.append((seed, "a seed"))
    if any(row.known_gap is not None for row in rows):
        gap = Line2D([], [], linestyle="", **KNOWN_GAP)
        entries.append((gap, "value of the known gap"))
    axes = figure.axes[-1]
    inches, height = (size / figure.dpi for size in axes.bbox.size)
    axes.legend(
        handles=[handle for handle, _ in entries],
        labels=[label for _, label in entries],
        title="Each row on its own scale, the published value in the middle",
        title_fontsize=SMALL,
        fontsize=SMALL,
        alignment="left",
        loc="upper left",
        bbox_to_anchor=(-left / inches, -MARGIN / height),
        borderaxespad=0.0,
        borderpad=0.0,
        ncols=len(entries) if width > 6 else 2,
        columnspacing=1.6,
        handler_map={tuple: HandlerTuple(ndivide=1)},
    )


def _any_interval(rows: Sequence[ClaimRow]) -> bool:
    return any(row.interval is not None for row in rows)
