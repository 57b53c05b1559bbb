"""Read and check claims.yaml, which holds what a paper published.

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
        seeds: 5
        extend_to: 15

What its numbers become is claim.py's.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from research_data.shown import did_you_mean
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from research_train.errors import ClaimsError
from research_train.experiment.yaml_file import read_yaml

CLAIMS = "claims.yaml"

Kind = Literal["value", "ordering", "ratio", "feature", "fit", "bound"]
Side = Literal["at_least", "at_most", "above", "below"]
Finite = Annotated[float, Field(allow_inf_nan=False)]

OPERATOR = re.compile(r" ([/-]) ")  # with spaces around: test/accuracy and top-5 are names
SIDES: tuple[Side, ...] = ("at_least", "at_most", "above", "below")
WITH_TOLERANCE: tuple[Kind, ...] = ("value", "ratio", "feature", "fit")
# Keys that only some kinds have a use for: elsewhere they would say something that nothing obeys.
USED_BY: dict[str, tuple[Kind, ...]] = {
    "at": ("feature",),
    "logarithmic": ("fit",),
    "direction": WITH_TOLERANCE,
    "known_gap": (*WITH_TOLERANCE, "bound"),
    "tolerance": (*WITH_TOLERANCE, "ordering"),
    **dict.fromkeys(SIDES, ("bound",)),
}


class KnownGap(BaseModel):
    """What the authors' own code gives where it is not what they published."""

    model_config = ConfigDict(extra="forbid")

    value: Finite
    evidence: str = Field(min_length=1)


class Claim(BaseModel):
    """One published number.

    published: of a bound the bound itself, where nothing else is said. tolerance: half of the band
    around it; None for a bound, and of no meaning for an ordering. metric: a final metric of a run,
    or a quotient or difference of two: `test/steps_to_99 / train/steps_to_99`. censored_at: what a
    metric that a run never reached is known to be at least: a number, or `steps`, the run's own.
    seeds: how many are planned; extend_to: how many where those leave it undecided.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    what: str = Field(min_length=1)
    kind: Kind
    published: Finite
    unit: str = ""
    direction: Literal["higher", "lower", "equal"] = "equal"
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    reason: str
    metric: str
    experiment: str | None = None
    overrides: dict[str, list[str]] = Field({"all": []}, min_length=1)
    seeds: PositiveInt = 5
    extend_to: PositiveInt | None = None
    at: Literal["largest", "smallest"] = "largest"
    logarithmic: bool = False
    at_least: Finite | None = None
    at_most: Finite | None = None
    above: Finite | None = None
    below: Finite | None = None
    censored_at: Annotated[PositiveFloat, Field(allow_inf_nan=False)] | Literal["steps"] | None = (
        None
    )
    known_gap: KnownGap | None = None

    @property
    def side(self) -> Side | None:
        """Of a bound, which side of it is claimed."""
        return next((side for side in SIDES if getattr(self, side) is not None), None)

    @property
    def bound(self) -> float | None:
        """The bound of a bound."""
        value: float | None = getattr(self, self.side) if self.side else None
        return value

    @property
    def metrics(self) -> list[str]:
        """The final metrics that its number is made of: one, or two."""
        return OPERATOR.split(self.metric)[::2]

    @property
    def operator(self) -> Literal["/", "-"] | None:
        """What is done with two metrics."""
        found = OPERATOR.search(self.metric)
        return None if found is None else "/" if found[1] == "/" else "-"

    @property
    def looks(self) -> int:
        """How often its plan looks at the numbers: each look has its part of the error."""
        return 2 if self.extend_to else 1

    @property
    def planned(self) -> tuple[int, ...]:
        """The numbers of seeds that it may be judged by."""
        return (self.seeds, self.extend_to) if self.extend_to else (self.seeds,)

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, values: object) -> object:
        """What an ordering and a bound need not say."""
        if not isinstance(values, dict) or values.get("kind") not in ("ordering", "bound"):
            return values
        filled = {"tolerance": None, "reason": "", **values}
        sides = [side for side in SIDES if values.get(side) is not None]
        if values["kind"] == "bound":  # of none or of several sides the check below speaks
            filled.setdefault("published", values[sides[0]] if sides else 0.0)
        return filled

    @model_validator(mode="after")
    def _consistent(self) -> "Claim":
        for key, kinds in USED_BY.items():
            default = None if key == "tolerance" else type(self).model_fields[key].default
            if getattr(self, key) != default and self.kind not in kinds:
                having = f"{', '.join(kinds[:-1])} and {kinds[-1]}".removeprefix(" and ")
                raise ValueError(f"a {self.kind} has no {key}; only {having} has one")
        self._needs_its_numbers()
        if len(self.metrics) > 2 or not all(map(str.strip, self.metrics)):
            raise ValueError(
                f"metric {self.metric!r} is neither a metric nor `one / other` or `one - other`"
            )
        groups = len(self.overrides)
        needed = {"value": (1, 1), "bound": (1, 1), "ratio": (2, 2)}.get(self.kind, (2, 1000))
        if not needed[0] <= groups <= needed[1]:
            raise ValueError(
                f"a {self.kind} is of {needed[0]} groups of runs, overrides has {groups}"
            )
        if self.kind in ("feature", "fit"):
            self._groups_are_positions()
        self._overrides_are_obeyed()
        if self.extend_to is not None and (self.seeds == 1 or self.extend_to <= self.seeds):
            raise ValueError(
                f"extend_to: {self.extend_to} extends no plan of {self.seeds} seeds: it is a "
                "larger number, for a claim of several seeds"
            )
        if self.seeds > 1 and self.tolerance == 0 and self.kind != "ordering":
            raise ValueError("tolerance must be above 0 where numbers spread over seeds")
        return self

    def _needs_its_numbers(self) -> None:
        sides = [side for side in SIDES if getattr(self, side) is not None]
        if self.kind == "bound" and len(sides) != 1:
            raise ValueError(
                f"a bound says one of {', '.join(SIDES)}; here are {' and '.join(sides) or 'none'}"
            )
        if self.kind in WITH_TOLERANCE:
            if self.tolerance is None:
                raise ValueError(f"tolerance: a {self.kind} needs one")
            if not self.reason:
                raise ValueError("reason: say why the tolerance is what it is")

    def _groups_are_positions(self) -> None:
        for group in self.overrides:
            try:
                position = float(group)
            except ValueError:
                raise ValueError(
                    f"the groups of a {self.kind} are positions, and {group!r} is no number"
                ) from None
            if not abs(position) < float("inf"):
                raise ValueError(f"the groups of a {self.kind} are positions, and {group} is none")
            if self.logarithmic and position <= 0:
                raise ValueError(f"position {group} has no logarithm")
        positions = [float(group) for group in self.overrides]
        if len(set(positions)) < len(positions):
            raise ValueError(f"two groups of this {self.kind} have one position")

    def _overrides_are_obeyed(self) -> None:
        for group, words in self.overrides.items():
            keys = [word.partition("=")[0].strip() for word in words]
            for word, key in zip(words, keys, strict=True):
                if "=" not in word or not key:
                    raise ValueError(f"overrides of {group}: {word!r} is not of the form key=value")
                if key == "seed":
                    raise ValueError(
                        f"overrides of {group}: {word!r} would be outvoted, as a claim's runs "
                        f"have the seeds 0 to {self.planned[-1] - 1}. Take it out: "
                        "`seeds` says how many there are"
                    )
            if twice := [key for key, times in Counter(keys).items() if times > 1]:
                raise ValueError(f"overrides of {group}: {twice[0]!r} is set twice")
            for one in keys:
                if inside := [key for key in keys if key.startswith(f"{one}.")]:
                    raise ValueError(f"overrides of {group}: {one!r} and {inside[0]!r} overlap")


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
