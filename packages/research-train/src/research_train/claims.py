"""What a paper published, as data that can be tested: claims.yaml, and a verdict for each claim.

    source: Greydanus and Kobak, arXiv 2011.14439, Table 1
    claims:
      - name: cnn
        what: Test accuracy of the CNN.
        kind: value
        metric: test/accuracy
        published: 0.94
        direction: higher
        tolerance: 0.02
        reason: the published standard deviation
        overrides: {cnn: [model=cnn]}

Each kind makes one number of a seed's runs, one run a group of `overrides`:

| kind | the number of a seed |
|---|---|
| value | the metric of the one group |
| ratio | the metric of the first group over that of the second |
| ordering | the smallest step from a group's metric to the next one's: all are in order above 0 |
| feature | the position (a group's name, a number) where the metric is largest or smallest |
| fit | the slope of the metric over the positions, where `logarithmic` of both logarithms |

**Statistics.** The mean over the seeds, and the 95 % interval of Student's t for it: with n seeds
mean +- t(0.975, n - 1) s / sqrt(n), s the standard deviation with n - 1 in it. A claim of one seed
is deterministic: its interval is the number itself.

**Verdicts.** `reproduced`: the whole interval lies within the tolerance of what was published, or
past it on the good side of a directed claim; `better`: wholly past it there; `not reproduced`:
wholly outside; `undecided`: it straddles the tolerance; `known gap`: not reproduced, and the
interval holds, within the tolerance, what the authors' own code gives. Of an ordering the sign
alone counts.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from research_train.config import read_yaml
from research_train.errors import ClaimsError
from research_train.members import did_you_mean

CLAIMS = "claims.yaml"

Kind = Literal["value", "ordering", "ratio", "feature", "fit"]
Verdict = Literal["reproduced", "better", "not reproduced", "undecided", "known gap"]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class KnownGap(BaseModel):
    """What the authors' own code gives where it is not what they published."""

    model_config = ConfigDict(extra="forbid")

    value: Finite
    evidence: str = Field(min_length=1)


class Claim(BaseModel):
    """One published number."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    what: str = Field(min_length=1)
    kind: Kind
    published: Finite
    unit: str = ""
    direction: Literal["higher", "lower", "equal"] = "equal"
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    reason: str = Field(min_length=1)
    metric: str
    experiment: str | None = None
    overrides: dict[str, list[str]] = Field({"all": []}, min_length=1)
    seeds: PositiveInt = 5
    at: Literal["largest", "smallest"] = "largest"
    logarithmic: bool = False
    known_gap: KnownGap | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Claim":
        groups = len(self.overrides)
        needed = {"value": (1, 1), "ratio": (2, 2)}.get(self.kind, (2, 1000))
        if not needed[0] <= groups <= needed[1]:
            raise ValueError(
                f"a {self.kind} is of {needed[0]} groups of runs, overrides has {groups}"
            )
        if self.kind in ("feature", "fit"):
            for group in self.overrides:
                try:
                    position = float(group)
                except ValueError:
                    raise ValueError(
                        f"the groups of a {self.kind} are positions, and {group!r} is no number"
                    ) from None
                if self.logarithmic and position <= 0:
                    raise ValueError(f"position {group} has no logarithm")
        if self.seeds > 1 and self.tolerance == 0:
            raise ValueError("tolerance must be above 0 where numbers spread over seeds")
        return self


class Claims(BaseModel):
    """The content of claims.yaml."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(min_length=1)
    claims: list[Claim] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "Claims":
        names = [claim.name for claim in self.claims]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two claims are named {twice[0]!r}")
        return self


@dataclass(frozen=True)
class Finding:
    """What was found for a claim. values: of each seed; interval: of the mean, both ends.

    seeds_needed: how many it would take to decide an undecided one, about.
    """

    claim: Claim
    values: list[float]
    mean: float
    interval: tuple[float, float]
    verdict: Verdict
    seeds_needed: int | None = None

    @property
    def half_width(self) -> float | None:
        """Half of the interval; None where there is none, of a deterministic claim."""
        return (self.interval[1] - self.interval[0]) / 2 if len(self.values) > 1 else None


def read_claims(folder: Path) -> Claims:
    """The claims of a paper in its folder. Raises ClaimsError with file, line, claim and key."""
    path = folder / CLAIMS
    if not path.is_file():
        raise ClaimsError(f"{path}: there is none. It holds the paper's published numbers.")
    content = read_yaml(path)
    try:
        return Claims.model_validate(content)
    except ValidationError as error:
        raise ClaimsError("\n".join(_explained(path, content, error))) from error


def seed_value(claim: Claim, metrics: Mapping[str, float]) -> float:
    """The number of one seed. metrics: group -> the claim's metric in its run."""
    values = [metrics[group] for group in claim.overrides]
    if claim.kind == "value":
        return values[0]
    if claim.kind == "ratio":
        return values[0] / values[1] if values[1] else math.nan
    if claim.kind == "ordering":
        return min(after - before for before, after in pairwise(values))
    positions = [float(group) for group in claim.overrides]
    if claim.kind == "feature":
        best = max if claim.at == "largest" else min
        return positions[values.index(best(values))]
    if claim.logarithmic and min(values) <= 0:
        return math.nan
    if claim.logarithmic:
        positions, values = [math.log(x) for x in positions], [math.log(y) for y in values]
    return statistics.linear_regression(positions, values).slope


def judge(claim: Claim, values: Sequence[float]) -> Finding:
    """The verdict on a claim from the numbers of its seeds.

    Raises ClaimsError for a single seed where the claim is not deterministic, or for no number.
    """
    if not values or not all(math.isfinite(value) for value in values):
        raise ClaimsError(f"claim {claim.name}: {list(values)} are no numbers to judge by")
    if len(values) == 1 and claim.seeds > 1:
        raise ClaimsError(
            f"claim {claim.name}: one seed gives no interval. Run two or more, or say `seeds: 1` "
            f"in {CLAIMS} where nothing is random."
        )
    mean = statistics.fmean(values)
    half = _half_width(values)
    low, high = mean - half, mean + half
    verdict = _verdict(claim, low, high)
    needed = _seeds_needed(claim, values, mean) if verdict == "undecided" else None
    return Finding(claim, list(values), mean, (low, high), verdict, needed)


def _verdict(claim: Claim, low: float, high: float) -> Verdict:
    if claim.kind == "ordering":
        return "reproduced" if low > 0 else "not reproduced" if high < 0 else "undecided"
    lower, upper = claim.published - claim.tolerance, claim.published + claim.tolerance
    if (claim.direction == "higher" and low > upper) or (
        claim.direction == "lower" and high < lower
    ):
        return "better"
    # Past the good bound of a directed claim lies no doubt, only more of what was claimed.
    if (lower <= low or claim.direction == "lower") and (
        high <= upper or claim.direction == "higher"
    ):
        return "reproduced"
    if lower <= high and low <= upper:
        return "undecided"
    gap = claim.known_gap
    if gap and low - claim.tolerance <= gap.value <= high + claim.tolerance:
        return "known gap"
    return "not reproduced"


def _half_width(values: Sequence[float], count: int | None = None) -> float:
    """Half of the 95 % interval of the mean, of as many values with the spread of these."""
    if len(values) == 1:
        return 0.0
    from scipy.special import stdtrit  # slow to import, and only needed here

    count = count or len(values)
    return float(stdtrit(count - 1, 0.975)) * statistics.stdev(values) / math.sqrt(count)


def _seeds_needed(claim: Claim, values: Sequence[float], mean: float) -> int | None:
    """With how many seeds of this mean and spread the interval would fall on one side."""
    few, many = len(values), 1000
    if _with_seeds(claim, values, mean, many) == "undecided":
        return None
    while many - few > 1:  # the interval only narrows
        middle = (few + many) // 2
        if _with_seeds(claim, values, mean, middle) == "undecided":
            few = middle
        else:
            many = middle
    return many


def _with_seeds(claim: Claim, values: Sequence[float], mean: float, count: int) -> Verdict:
    half = _half_width(values, count)
    return _verdict(claim, mean - half, mean + half)


def _explained(path: Path, content: Mapping[str, object], error: ValidationError) -> list[str]:
    lines = []
    marked = YAML(typ="rt", pure=True).load(path)  # with the line of every key
    claims = content.get("claims")
    for problem in error.errors():
        where = list(problem["loc"])
        line = _line_of(marked, where)
        named, fields = "", Claims.model_fields
        if where[:1] == ["claims"] and len(where) > 1 and isinstance(claims, list):
            claim = claims[int(where[1])]
            name = claim.get("name") if isinstance(claim, dict) else None
            named, fields = f"claim {name or int(where[1]) + 1}: ", Claim.model_fields
            where = where[2:]
        key = ".".join(map(str, where))
        seen = "" if problem["type"] == "missing" else f" (it is {problem['input']!r})"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "string_pattern_mismatch":
            message = "a name has lower case letters, digits, dots and hyphens"
        if problem["type"] == "extra_forbidden":
            message = f"there is no such key.{did_you_mean(str(where[-1]), fields)}"
            seen = ""
        place = f"{path}, line {line}: {named}"
        lines.append(f"{place}{key + ': ' if key else ''}{message}{seen if key else ''}")
    return lines


def _line_of(marked: CommentedMap, where: Sequence[str | int]) -> int:
    """The line of a key, or of the nearest one around it that is there."""
    node: Any = marked
    line = 1
    for part in where:
        if isinstance(node, CommentedMap) and part in node:
            line = node.lc.key(part)[0] + 1
        elif isinstance(node, CommentedSeq) and isinstance(part, int):
            line = node.lc.item(part)[0] + 1
        else:
            break
        node = node[part]
    return line
