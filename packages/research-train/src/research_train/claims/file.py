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

claim.py computes the verdict from these.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from research_train.claims.awaiting import Awaiting
from research_train.claims.mistakes import explained
from research_train.errors import ClaimsError
from research_train.experiment.yaml_file import read_yaml

CLAIMS = "claims.yaml"
RESULTS = "results.json"  # beside it: what its last reproduction found

Kind = Literal["value", "ordering", "ratio", "feature", "fit", "bound"]
Side = Literal["at_least", "at_most", "above", "below"]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Words = Annotated[str, Field(min_length=1)]

OPERATOR = re.compile(r" ([/-]) ")  # with spaces around: test/accuracy and top-5 are names
SIDES: tuple[Side, ...] = ("at_least", "at_most", "above", "below")
WITH_TOLERANCE: tuple[Kind, ...] = ("value", "ratio", "feature", "fit")
# Keys that only some kinds use; in any other kind they would have no effect, so they are refused.
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

    published: the published number; for a bound, by default the bound itself. tolerance: half of
    the band around it; None for a bound, and without effect for an ordering. metric: a final metric
    of a run, or a quotient or difference of two: `test/steps_to_99 / train/steps_to_99`.
    censored_at: a lower bound for a metric that a run never reached: a number, or `steps` for the
    run's own number of steps. seeds: number of planned seeds; extend_to: number of seeds if those
    leave the claim undecided. awaiting: the hardware that its runs need, if not every machine has
    it. scale: what was made smaller than published, from what to what; such a claim never counts
    among the reproduced. page, quote: where the number stands, and the words around it.
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
    awaiting: Awaiting | None = None
    scale: Words | None = None
    page: Words | PositiveInt | None = None
    quote: Words | None = None

    @property
    def side(self) -> Side | None:
        """The claimed side of a bound; None for other kinds."""
        return next((side for side in SIDES if getattr(self, side) is not None), None)

    @property
    def bound(self) -> float | None:
        """The number that bounds a claim of the kind `bound`; None for other kinds."""
        value: float | None = getattr(self, self.side) if self.side else None
        return value

    @property
    def side_words(self) -> str:
        """The claimed side of a bound in words: `at least`; empty for other kinds."""
        return (self.side or "").replace("_", " ")

    @property
    def metrics(self) -> list[str]:
        """The one or two final metrics that its number is computed from."""
        return OPERATOR.split(self.metric)[::2]

    @property
    def operator(self) -> Literal["/", "-"] | None:
        """How two metrics are combined; None where there is one metric."""
        found = OPERATOR.search(self.metric)
        return None if found is None else "/" if found[1] == "/" else "-"

    @property
    def looks(self) -> int:
        """How often its plan looks at the numbers; the looks share the error."""
        return 2 if self.extend_to else 1

    @property
    def planned(self) -> tuple[int, ...]:
        """The numbers of seeds that it may be judged by."""
        return (self.seeds, self.extend_to) if self.extend_to else (self.seeds,)

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, values: object) -> object:
        """Fill in the keys that an ordering and a bound may leave out."""
        if not isinstance(values, dict) or values.get("kind") not in ("ordering", "bound"):
            return values
        filled = {"tolerance": None, "reason": "", **values}
        sides = [side for side in SIDES if values.get(side) is not None]
        if values["kind"] == "bound":  # `_needs_its_numbers` refuses none or several sides
            filled.setdefault("published", values[sides[0]] if sides else 0.0)
        return filled

    @model_validator(mode="after")
    def _consistent(self) -> "Claim":
        for key, kinds in USED_BY.items():
            default = None if key == "tolerance" else type(self).model_fields[key].default
            if getattr(self, key) != default and self.kind not in kinds:
                having = f"{', '.join(kinds[:-1])} and {kinds[-1]}".removeprefix(" and ")
                raise ValueError(f"a claim of the kind {self.kind} has no {key}; only {having} has")
        self._needs_its_numbers()
        self._metric_makes_sense()
        groups = len(self.overrides)
        needed = {"value": (1, 1), "bound": (1, 1), "ratio": (2, 2)}.get(self.kind, (2, 1000))
        if not needed[0] <= groups <= needed[1]:
            raise ValueError(
                f"a claim of the kind {self.kind} needs {needed[0]} groups of runs; overrides has "
                f"{groups}"
            )
        if self.kind in ("feature", "fit"):
            self._groups_are_positions()
        self._overrides_are_obeyed()
        if self.extend_to is not None and (self.seeds == 1 or self.extend_to <= self.seeds):
            raise ValueError(
                f"extend_to is {self.extend_to} and seeds is {self.seeds}: extend_to must be "
                "larger than seeds, and seeds larger than 1"
            )
        if self.seeds > 1 and self.tolerance == 0 and self.kind != "ordering":
            raise ValueError("tolerance must be above 0 where `seeds` is more than 1")
        return self

    def _needs_its_numbers(self) -> None:
        sides = [side for side in SIDES if getattr(self, side) is not None]
        if self.kind == "bound" and len(sides) != 1:
            raise ValueError(
                f"a bound needs exactly one of {', '.join(SIDES)}; it has "
                f"{' and '.join(sides) or 'none'}"
            )
        if self.kind in WITH_TOLERANCE:
            if self.tolerance is None:
                raise ValueError(f"tolerance: a claim of the kind {self.kind} needs one")
            if not self.reason:
                raise ValueError("reason: write why the tolerance has this value")

        if self.bound is not None and self.published != self.bound:
            upwards = self.side in ("at_least", "above")
            if (self.published < self.bound) == upwards:
                raise ValueError(
                    f"the published {self.published:g} itself is not {self.side_words} "
                    f"{self.bound:g}: correct either, or leave `published` out"
                )

    def _metric_makes_sense(self) -> None:
        strange = re.search(r" [*+^%] ", self.metric)
        if strange or len(self.metrics) > 2 or not all(map(str.strip, self.metrics)):
            raise ValueError(
                f"metric {self.metric!r} must be one metric, or `one / other` or `one - other`"
            )
        if len(self.metrics) == 2 and self.metrics[0] == self.metrics[1]:
            always = 1 if self.operator == "/" else 0
            raise ValueError(f"metric {self.metric!r} is always {always}: name two metrics")

    def _groups_are_positions(self) -> None:
        for group in self.overrides:
            try:
                position = float(group)
            except ValueError:
                raise ValueError(
                    f"the groups of a {self.kind} are positions: {group!r} is not a number"
                ) from None
            if not abs(position) < float("inf"):
                raise ValueError(f"the groups of a {self.kind} are positions: {group} isn't finite")
            if self.logarithmic and position <= 0:
                raise ValueError(f"position {group} has no logarithm, as it is not above 0")
        positions = [float(group) for group in self.overrides]
        if len(set(positions)) < len(positions):
            raise ValueError(f"two groups of this {self.kind} have the same position")

    def _overrides_are_obeyed(self) -> None:
        for group, words in self.overrides.items():
            keys = [word.partition("=")[0].strip() for word in words]
            for word, key in zip(words, keys, strict=True):
                if "=" not in word or not key:
                    raise ValueError(f"overrides of {group}: {word!r} is not of the form key=value")
                if key == "seed":
                    raise ValueError(
                        f"overrides of {group}: {word!r} has no effect, since a claim's runs "
                        f"have the seeds 0 to {self.planned[-1] - 1}. Remove it; `seeds` sets the "
                        "number of seeds"
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
        refuse_same_names([claim.name for claim in self.claims])
        return self


def refuse_same_names(names: Sequence[str]) -> None:
    """Raise ValueError if two claims have the same name."""
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two claims are named {twice[0]!r}")


def read_claims(folder: Path) -> Claims:
    """The claims of a paper in its folder. Raises ClaimsError with file, line, claim and key."""
    path = folder / CLAIMS
    if not path.is_file():
        raise ClaimsError(f"{path} doesn't exist. It must hold the paper's published numbers.")
    content = read_yaml(path)
    try:
        return Claims.model_validate(content)
    except ValidationError as error:
        keys = (Claims.model_fields, Claim.model_fields)
        raise ClaimsError("\n".join(explained(path, content, error, *keys))) from error
