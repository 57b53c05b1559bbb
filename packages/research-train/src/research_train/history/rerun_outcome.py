"""Compare a rerun with the original run: weights, metrics, environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from research_data.durable import sha256_file

from research_train.errors import RunError
from research_train.history.comparison import compare_runs
from research_train.record.folders import CHECKPOINTS
from research_train.record.metrics_file import Point, read_metrics, repeatable_part
from research_train.record.record import (
    checkpoint_digests,
    was_lengthened,
)
from research_train.record.summary import RunSummary

LINES_KEPT = 5  # the number of differing lines of metrics to report


@dataclass(frozen=True)
class LineDifference:
    """A line of metrics.jsonl that differs: its number, counted from 1, and both lines.

    The lines are without machine-dependent numbers; None if that file has fewer lines.
    """

    line: int
    then: Point | None
    now: Point | None

    @property
    def numbers(self) -> dict[str, tuple[float | None, float | None]]:
        """Metric -> its number then and now, where they differ; None where a line has none."""
        then, now = self.then or {}, self.now or {}
        pairs = {name: (then.get(name), now.get(name)) for name in dict.fromkeys([*then, *now])}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@dataclass(frozen=True)
class Rerun:
    """A run, its rerun, and the differences between them.

    weights: `step-00000200/model.safetensors` -> whether its bytes are the same. lines: number of
    compared lines of metrics; different_lines: how many of them differ; first_differences: the
    first few. metrics: the final metrics that differ, then and now. environment: section (packages,
    data, environment) -> key that changed -> its values then and now. remarks: further notes.
    """

    parent: RunSummary
    run: RunSummary
    weights: dict[str, bool]
    lines: int
    different_lines: int
    first_differences: list[LineDifference]
    metrics: dict[str, tuple[float | None, float | None]]
    environment: dict[str, dict[str, list[object]]]
    remarks: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether weights, lines and final metrics are all the same."""
        return all(self.weights.values()) and not self.different_lines and not self.metrics

    @property
    def reasons(self) -> list[str]:
        """Possible reasons for a difference, likely ones first; empty if there is none."""
        if self.equal:
            return []
        found = [
            f"{section}: {key} was {then}, is {now}"
            for section, keys in self.environment.items()
            for key, (then, now) in keys.items()
        ]
        record = self.parent.record
        if record and record.environment.gpu and self.parent.config.get("deterministic") is False:
            found.append("deterministic = false: on a GPU, equal runs may differ in the last bits")
        if record and was_lengthened(record):
            found.append("the run was made longer by a resume, which changes a schedule over steps")
        return found or [
            "no known reason: code, config, versions, data and machine are the same, so something "
            "in the training itself isn't repeatable"
        ]


def weight_digests(folder: Path) -> dict[str, str]:
    """The sha256 of every file of weights in a run's checkpoints. Raises RunError: one is damaged.

    For weights that weren't exported with the run, it is taken from their manifest, which the seal
    covers.
    """
    digests = checkpoint_digests(folder)
    weights = {name: digest for name, digest in digests.items() if name.endswith(".safetensors")}
    for name, digest in weights.items():
        file = folder / CHECKPOINTS / name
        if file.exists() and sha256_file(file) != digest:
            raise RunError(f"{file}: damaged, its sha256 isn't the one in its manifest.json")
    return weights


def differing_lines(then: Path, now: Path) -> tuple[int, list[LineDifference]]:
    """The number of lines of metrics in the longer of two runs, and the lines that differ."""
    lines = [[repeatable_part(point) for point in read_metrics(run)] for run in (then, now)]
    pairs = enumerate(zip_longest(*lines), start=1)
    different = [LineDifference(number, old, new) for number, (old, new) in pairs if old != new]
    return max(map(len, lines)), different


def compared(then: RunSummary, now: RunSummary, weights: Mapping[str, str]) -> Rerun:
    """How a run differs from its rerun. weights: the result of `weight_digests` for the run."""
    new_weights = weight_digests(now.folder)
    count, different = differing_lines(then.folder, now.folder)
    names = dict.fromkeys([*then.metrics, *now.metrics])
    finals = {name: (then.metrics.get(name), now.metrics.get(name)) for name in names}
    differences = compare_runs([then, now]).differences
    differences["environment"].pop("host", None)  # the name of the machine changes no number
    environment = {k: differences[k] for k in ("packages", "data", "environment")}
    if then.record and now.record and then.record.fingerprint != now.record.fingerprint:
        environment["code"] = {"fingerprint": [then.record.fingerprint, now.record.fingerprint]}
    none = () if weights else (f"{then.id} has no checkpoint, so only metrics are compared",)
    return Rerun(
        parent=then,
        run=now,
        weights={name: new_weights.get(name) == digest for name, digest in weights.items()},
        lines=count,
        different_lines=len(different),
        first_differences=different[:LINES_KEPT],
        metrics={name: pair for name, pair in finals.items() if pair[0] != pair[1]},
        environment={section: keys for section, keys in environment.items() if keys},
        remarks=none,
    )
