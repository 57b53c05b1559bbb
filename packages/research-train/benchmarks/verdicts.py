"""How often verdicts are right, by simulation: the tables of the package's README.

    uv run python packages/research-train/benchmarks/verdicts.py [--draws 20000]

Seeds are drawn from four distributions: normal; two skewed ones, exponential and lognormal
(sigma = 1); and a collapse, normal seeds of which one in seven ends twenty standard deviations
lower. Every share stands with its own binomial standard error, where that is above 0.001.
"""

import argparse
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from research_train.claims.claim import Claim, judge
from research_train.claims.statistics import mean_interval, oddity
from scipy import stats

Floats = NDArray[np.float64]
Intervals = tuple[Floats, Floats]
SIZES = (5, 10, 20)
BOOTSTRAP = 999
BOOTSTRAP_DRAWS = 2000  # of a method that takes a thousand times as long


def draw(name: str, count: int, seeds: int, generator: np.random.Generator) -> Floats:
    """(count, seeds) numbers of mean 0."""
    if name == "normal":
        return generator.normal(size=(count, seeds))
    if name == "exponential":
        return generator.exponential(size=(count, seeds)) - 1
    if name == "lognormal":
        return generator.lognormal(size=(count, seeds)) - math.exp(0.5)
    collapsed = generator.random((count, seeds)) < 1 / 7
    return generator.normal(size=(count, seeds)) - 20.0 * collapsed + 20 / 7


NAMES = ("normal", "exponential", "lognormal", "collapse")


def ours(values: Floats) -> Intervals:
    """What verdicts rest on."""
    ends = np.array([mean_interval(row) for row in values.tolist()])
    return ends[:, 0], ends[:, 1]


def student(values: Floats, factor: float = 1.0) -> Intervals:
    """mean +- t s / sqrt(n)."""
    mean, half = values.mean(axis=1), factor * _quantile(values) * _error(values)
    return mean - half, mean + half


def johnson(values: Floats) -> Intervals:
    """Johnson 1978: Student's, moved by the skewness."""
    low, high = student(values)
    move = stats.skew(values, axis=1, bias=False) * values.std(axis=1, ddof=1)
    return low + move / (6 * values.shape[1]), high + move / (6 * values.shape[1])


def hall(values: Floats) -> Intervals:
    """Hall 1992, with Student's quantile, alone and at its nominal level."""
    g = stats.skew(values, axis=1, bias=False) / math.sqrt(values.shape[1])
    quantile, mean, error = _quantile(values), values.mean(axis=1), _error(values)

    def inverse(transformed: float) -> Floats:
        return np.asarray(3 / g * (np.cbrt(1 + g * (transformed - g / 6)) - 1))

    return mean - inverse(quantile) * error, mean - inverse(-quantile) * error


def bootstrap_t(values: Floats) -> Intervals:
    """Efron 1981, studentised."""
    generator, lows, highs = np.random.default_rng(1), [], []
    for row in values:
        again = row[generator.integers(len(row), size=(BOOTSTRAP, len(row)))]
        spread = again.std(axis=1, ddof=1)
        mean, error = row.mean(), row.std(ddof=1) / math.sqrt(len(row))
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (again.mean(axis=1) - mean) / (spread / math.sqrt(len(row)))
        t = t[spread > 0]
        low, high = np.quantile(t, [0.975, 0.025])
        lows.append(mean - low * error)
        highs.append(mean - high * error)
    return np.array(lows), np.array(highs)


def bca(values: Floats) -> Intervals:
    """Efron 1987, bias-corrected and accelerated."""
    ends = [
        stats.bootstrap(
            (row,), np.mean, n_resamples=BOOTSTRAP, method="BCa", rng=np.random.default_rng(1)
        ).confidence_interval
        for row in values
    ]
    return np.array([each.low for each in ends]), np.array([each.high for each in ends])


METHODS: dict[str, Callable[[Floats], Intervals]] = {
    "what verdicts use": ours,
    "Student's t": student,
    "Johnson 1978": johnson,
    "Hall 1992": hall,
    "bootstrap-t": bootstrap_t,
    "BCa": bca,
}


def _quantile(values: Floats) -> float:
    return float(stats.t.ppf(0.975, values.shape[1] - 1))


def _error(values: Floats) -> Floats:
    return np.asarray(values.std(axis=1, ddof=1) / math.sqrt(values.shape[1]))


def share(hits: int, draws: int) -> str:
    """A share, with its standard error where that can be seen."""
    p = hits / draws
    error = math.sqrt(p * (1 - p) / draws)
    return f"{p:.3f}" + (f" ± {error:.3f}" if error > 0.001 else "")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def coverage(draws: int) -> None:
    """How often the interval holds the mean, and how wide it is for normal seeds."""
    rows = []
    for method, intervals in METHODS.items():
        for seeds in SIZES:
            count = min(draws, BOOTSTRAP_DRAWS) if method in ("bootstrap-t", "BCa") else draws
            cells, width = [], 0.0
            for name in NAMES:
                low, high = intervals(draw(name, count, seeds, np.random.default_rng(seeds)))
                cells.append(share(int(np.sum((low <= 0) & (high >= 0))), count))
                if name == "normal":
                    width = float(np.median(high - low)) / 2
            rows.append([method, str(seeds), *cells, f"{width:.2f}"])
    table(["interval", "seeds", *NAMES, "half-width / sd, normal"], rows)


def words(draws: int) -> None:
    """How often a word stands beside the verdict, and how often none warns of a wrong interval."""
    rows = []
    for seeds in SIZES:
        for name in NAMES:
            values = draw(name, draws, seeds, np.random.default_rng(seeds))
            said = np.array([oddity(row) for row in values.tolist()])
            low, high = ours(values)
            silent = (said == "") & ((low > 0) | (high < 0))
            apart, skewed = (int(np.sum(said == word)) for word in ("one seed apart", "skewed"))
            cells = (apart, skewed, int(silent.sum()))
            rows.append([str(seeds), name, *(share(each, draws) for each in cells)])
    table(["seeds", "distribution", "one seed apart", "skewed", "off without a word"], rows)


def claim(**changes: object) -> Claim:
    values = {"name": "it", "what": "x", "kind": "value", "metric": "m", "published": -10.0}
    return Claim.model_validate(
        {**values, "tolerance": 10.0, "reason": "its upper edge is the mean", **changes}
    )


def edges(draws: int) -> None:
    """A value whose mean lies on the edge: how often is it called reproduced?"""
    rows = []
    for name in NAMES:
        values = draw(name, draws, 20, np.random.default_rng(7)).tolist()
        values = [[-value for value in row] for row in values] if name == "collapse" else values
        once = [judge(claim(), row[:5]).verdict for row in values]
        twice = [_extended(row) for row in values]
        added = [_added(row) for row in values]
        counts = (each.count("reproduced") for each in (once, twice, added))
        rows.append([name, *(share(count, draws) for count in counts)])
    table(["seeds", "5 planned", "5, extended to 10", "before: t, 5 to 20, until decided"], rows)


def _extended(row: Sequence[float]) -> str:
    planned = claim(extend_to=10)
    first = judge(planned, row[:5]).verdict
    return first if first != "undecided" else judge(planned, row[:10]).verdict


def _added(row: Sequence[float]) -> str:
    for seeds in range(5, 21):
        low, high = (float(end[0]) for end in student(np.array([row[:seeds]])))
        if not low <= 0 <= high:
            return "reproduced" if high < 0 else "not reproduced"
    return "undecided"


def orderings(draws: int) -> None:
    """Three groups 0.01 apart, the seeds' standard deviation 0.02; and three that are one."""
    order = claim(kind="ordering", published=0.01, overrides={"a": ["k=1"], "b": ["k=2"], "c": []})
    rows = []
    for apart in (0.01, 0.0, -0.01):
        for seeds in (5, 10, 20, 50):
            generator = np.random.default_rng(seeds)
            groups = generator.normal([0.0, apart, 2 * apart], 0.02, (draws, seeds, 3))
            steps = np.diff(groups, axis=2)
            found = [judge(order, list(map(tuple, rows_))).verdict for rows_ in steps.tolist()]
            low, high = student(steps.min(axis=2))
            before = (int(np.sum(low > 0)), int(np.sum(high < 0)))
            ours_ = (found.count("reproduced"), found.count("not reproduced"))
            cells = [share(count, draws) for count in (*ours_, *before)]
            rows.append([f"{apart:g}", str(seeds), *cells])
    head = ["apart by", "seeds", "reproduced", "not reproduced"]
    table([*head, "before: reproduced", "before: not reproduced"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20_000)
    draws = parser.parse_args().draws
    coverage(draws)
    words(draws)
    edges(min(draws, 5000))
    orderings(min(draws, 2000))
