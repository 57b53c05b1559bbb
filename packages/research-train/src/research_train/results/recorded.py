"""The format of results.json, a paper's evidence with every seed's value: read it, make it."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from research_data.errors import ResearchError

from research_train.claims.claim import Censored, Finding, Number, SeedValue, Verdict
from research_train.claims.file import RESULTS, refuse_same_names
from research_train.experiment.members import Member
from research_train.record.record import utc_now
from research_train.results.costs import Cost, cost_of

if TYPE_CHECKING:  # a reader of the file needs nothing of what makes evidence
    from research_train.evidence.reproduce import Reproduction


class RecordedEnds(BaseModel):
    """A number that is only known to lie between two ends; None for an unknown end."""

    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None


class RecordedSet(BaseModel):
    """When a claim was set, against its runs."""

    model_config = ConfigDict(extra="allow")

    after_runs: int = 0


RecordedNumber = FiniteFloat | RecordedEnds


class RecordedClaim(BaseModel):
    """A claim in results.json; old files lack the fields that have a default.

    values: one per seed; none of a claim that awaits hardware. steps: for an ordering, the values
    of every step. interval: its two ends, None for an infinite one. n: how many seeds. scale: what
    was made smaller than published. kept: date and hardware of an entry that was made where the
    hardware is, and kept where it isn't.
    """

    model_config = ConfigDict(extra="allow")

    name: str
    published: FiniteFloat
    mean: FiniteFloat | None
    interval: tuple[FiniteFloat | None, FiniteFloat | None]
    n: int
    verdict: Verdict
    notes: list[str] = []
    runs: list[str]
    values: list[RecordedNumber]
    steps: dict[str, list[RecordedNumber]] = {}
    set_at: RecordedSet | None = Field(None, alias="set")
    scale: str | None = None
    cost: Cost | None = None
    kept: str | None = None

    @property
    def seed_values(self) -> list[SeedValue]:
        """The numbers of each seed, as `judge` takes them."""
        if self.steps:
            return list(zip(*(map(_number, step) for step in self.steps.values()), strict=True))
        return list(map(_number, self.values))


class RecordedResults(BaseModel):
    """The content of results.json; fields that another version adds are ignored."""

    source: str
    date: str
    hardware: str
    packages: str
    claims: list[RecordedClaim]

    @property
    def costs(self) -> dict[str, Cost]:
        """Claim -> what its evidence cost, where the results say."""
        return {each.name: each.cost for each in self.claims if each.cost}

    @property
    def together(self) -> tuple[int, float | None]:
        """How many runs the claims rest on, and the seconds they took, one after another.

        A run counts once, however many claims rest on it. None where the results don't say.
        """
        took: dict[str, float] = {}
        every = dict.fromkeys(run for each in self.claims for run in each.runs)
        # A claim says how long its runs took together, so those of the fewest runs say most.
        for each in sorted(self.claims, key=lambda claim: len(claim.runs)):
            runs = dict.fromkeys(each.runs)
            new = [run for run in runs if run not in took]
            if new and each.cost and each.cost.seconds is not None:
                rest = each.cost.seconds - sum(took.get(run, 0.0) for run in runs)
                took |= dict.fromkeys(new, max(0.0, rest) / len(new))
        return len(every), sum(took.values()) if len(took) == len(every) else None

    @model_validator(mode="after")
    def _names_differ(self) -> "RecordedResults":
        refuse_same_names([claim.name for claim in self.claims])
        return self


def read_results(member: Member) -> RecordedResults | None:
    """A paper's results.json; None where nothing was reproduced. Raises ResearchError."""
    file = member.folder / RESULTS
    try:
        return RecordedResults.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc'])) or 'the whole file'}: {first['msg']}"
    except OSError as error:
        reason = str(error.strerror)
    raise ResearchError(
        f"{file}: can't be read ({reason}). `git checkout` brings it back, and `reproduce` writes "
        "it again."
    )


def _number(recorded: RecordedNumber) -> Number:
    if not isinstance(recorded, RecordedEnds):
        return recorded
    low, high = recorded.at_least, recorded.at_most
    return Censored(-math.inf if low is None else low, math.inf if high is None else high)


def results_of(reproduction: "Reproduction", costs: Mapping[str, Cost]) -> dict[str, object]:
    """The content of results.json: what `RecordedResults` reads, and what it ignores.

    costs: those of `costs_of`.
    """
    results: dict[str, object] = {
        "schema": 1,
        "source": reproduction.claims.source,
        "date": _date(reproduction),
        "hardware": _hardware(reproduction),
        "packages": _packages(reproduction),
        "claims": [_entry(reproduction, each, costs) for each in reproduction.findings],
    }
    if reproduction.carried:
        results["carried"] = [
            {
                "setting": " ".join([each.experiment, *each.overrides]),
                "from": each.origin,
                "to": each.fingerprint,
                "run": each.run,
                "replayed": each.replayed,
            }
            for each in reproduction.carried
        ]
    return results


def evidence_of(reproduction: "Reproduction") -> list[dict[str, object]]:
    """What was found for each claim, without the values of the seeds."""
    return [_evidence(reproduction, finding) for finding in reproduction.findings]


def costs_of(reproduction: "Reproduction") -> dict[str, Cost]:
    """Claim -> what its evidence cost; a claim without evidence has no entry."""
    costs = {
        name: cost_of(runs, reproduction.tried.get(name))
        for name, runs in reproduction.runs.items()
        if runs
    }
    kept = {name: each.get("cost") for name, each in reproduction.kept.items()}
    return costs | {name: Cost.model_validate(cost) for name, cost in kept.items() if cost}


def _entry(
    reproduction: "Reproduction", finding: Finding, costs: Mapping[str, Cost]
) -> Mapping[str, object]:
    """The entry of a claim in results.json."""
    name = finding.claim.name
    if name in reproduction.kept:
        return reproduction.kept[name]
    entry = {**_evidence(reproduction, finding), **_seeds_values(finding)}
    if cost := costs.get(name):
        entry["cost"] = cost.model_dump(mode="json")
    at = reproduction.set_at.get(name)
    return {**entry, "set": vars(at).copy() if at else None}


def _evidence(reproduction: "Reproduction", finding: Finding) -> dict[str, object]:
    claim = finding.claim
    runs = reproduction.kept.get(claim.name, {}).get("runs")
    evidence: dict[str, object] = {
        "name": claim.name,
        "published": claim.published,
        "mean": finding.mean,
        "interval": [end if math.isfinite(end) else None for end in finding.interval],
        "n": finding.n,
        "verdict": finding.verdict,
        "notes": list(finding.notes),
        "runs": runs or [run.id for run in reproduction.runs.get(claim.name, [])],
    }
    if claim.scale is not None:
        evidence["scale"] = claim.scale
    if claim.awaiting is not None:
        evidence["awaiting"] = claim.awaiting.model_dump(mode="json")
    return evidence


def _seeds_values(finding: Finding) -> dict[str, object]:
    """Every seed's number; of an ordering those of the weakest step, and then all steps."""
    values: dict[str, object] = {"values": list(map(_as_json, finding.values))}
    if finding.steps:
        values["steps"] = {name: list(map(_as_json, each)) for name, each in finding.steps.items()}
    return values


def _as_json(number: Number) -> object:
    """A number; of a censored one the ends that are known, as {"at_least": 10000.0}."""
    if not isinstance(number, Censored):
        return number
    ends = {"at_least": number.low, "at_most": number.high}
    return {name: end for name, end in ends.items() if math.isfinite(end)}


def _date(reproduction: "Reproduction") -> str:
    """The day on which the newest of the runs ended: the same evidence gives the same files."""
    ends = [
        run.record.ended or run.record.started
        for found in reproduction.runs.values()
        for run in found
        if run.record
    ]
    return max(ends)[:10] if ends else utc_now()[:10]


def _hardware(reproduction: "Reproduction") -> str:
    names = dict.fromkeys(
        run.record.environment.gpu or run.record.environment.cpu
        for found in reproduction.runs.values()
        for run in found
        if run.record
    )
    return ", ".join(str(name) for name in names)


def _packages(reproduction: "Reproduction") -> str:
    shown = dict.fromkeys(
        f"{name} {version}"
        for found in reproduction.runs.values()
        for run in found
        if run.record
        for name, version in run.record.packages.items()
        if name == "torch" or name.startswith("research-")
    )
    return ", ".join(shown)
