"""A claim in the width of a word: the published value with its tolerance, and ours over it."""

import math

from research_viz import ClaimRow

WIDTH, HEIGHT = 52, 16  # of the drawing; the page scales it
MIDDLE = WIDTH / 2
MIDDLE_HEIGHT = HEIGHT / 2
TOLERANCES = 2.0  # shown to either side of the published value at least, so that bands line up
SPREAD = 0.45 * WIDTH  # from the published value, in the middle, to what lies farthest from it


def strip(row: ClaimRow) -> str:
    """An `<svg>` of numbers alone: a band, the published value, our interval and its mean.

    Each strip has a scale of its own. Its colours are those of the figures of the page.
    """
    numbers = [each for each in (row.mean, *(row.ends or ())) if each is not None]
    finite = [abs(each - row.published) for each in numbers if math.isfinite(each)]
    farthest = max([TOLERANCES * row.tolerance, *finite])

    def place(value: float) -> float:
        """Where a value stands; an infinite one at the edge."""
        if math.isinf(value):
            return math.copysign(MIDDLE, value) + MIDDLE
        return MIDDLE + (SPREAD * (value - row.published) / farthest if farthest else 0.0)

    left, right = place(row.published - row.tolerance), place(row.published + row.tolerance)
    if row.side is not None:
        upwards = row.side in ("above", "at_least")
        left, right = (MIDDLE, WIDTH) if upwards else (0, MIDDLE)
    parts = [
        f'<rect class="band" x="{left:.1f}" width="{right - left:.1f}" height="{HEIGHT}"/>',
        f'<path class="rule" d="M{MIDDLE:.1f} 0V{HEIGHT}"/>',
    ]
    if row.ends is not None:
        low, high = map(place, row.ends)
        parts.append(f'<path class="ours" d="M{low:.1f} {MIDDLE_HEIGHT}H{high:.1f}"/>')
    if row.mean is not None:
        parts.append(f'<circle cx="{place(row.mean):.1f}" cy="{MIDDLE_HEIGHT}" r="2.8"/>')
    return (
        f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'aria-hidden="true">{"".join(parts)}</svg>'
    )
