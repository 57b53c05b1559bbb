"""Compare runs: what differs between them."""

import hashlib
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from research_data.errors import UsageError

from research_train.code.archive import archived_files, shown_name
from research_train.code.fingerprint import NEUTRAL_KEYS
from research_train.errors import RunError
from research_train.experiment.config import TrainConfig
from research_train.history.html_table import html_table, html_text
from research_train.record.folders import code_archive
from research_train.record.record import RunRecord
from research_train.record.summary import RunSummary, record_of


class OfExperiment(Protocol):
    """A record, in full or in part."""

    @property
    def experiment(self) -> str: ...  # noqa: D102


class Configured(Protocol):
    """A run, in full or in part."""

    @property
    def paper(self) -> str: ...  # noqa: D102

    @property
    def record(self) -> OfExperiment | None: ...  # noqa: D102

    @property
    def config(self) -> dict[str, object]: ...  # noqa: D102


@dataclass(frozen=True)
class RunComparison:
    """What differs between runs; lists of values have one value per run, in the order of `runs`.

    differences: section (config, code, packages, data, environment) -> key -> values; None where a
    run lacks the key. changed_files: files of the source archives that aren't the same in all runs.
    missing_archives: runs whose source archive isn't here. metrics: all final metrics, equal or
    not. same_experiment: whether all fingerprints are equal, so that only seeds may differ.
    """

    runs: list[RunSummary]
    differences: dict[str, dict[str, list[object]]]
    changed_files: list[str]
    missing_archives: list[str]
    metrics: dict[str, list[float | None]]
    same_experiment: bool

    def _repr_html_(self) -> str:
        """What a notebook shows: a column a run, a row for each difference and final metric."""
        rows: list[list[object]] = [
            [f"{section}: {key}", *values]
            for section, keys in self.differences.items()
            for key, values in keys.items()
        ]
        rows += [[name, *values] for name, values in self.metrics.items()]
        same = "the same experiment" if self.same_experiment else "not the same experiment"
        files = ", ".join(self.changed_files)
        lines = [same, f"changed files: {files}"] if files else [same]
        if self.missing_archives:
            lines.append(f"the code isn't here of: {', '.join(self.missing_archives)}")
        said = "<br>".join(map(html_text, lines))
        return f"<p>{said}</p>{html_table(['', *labels(self.runs)], rows)}"


def compare_runs(runs: Sequence[RunSummary], any_paper: bool = False) -> RunComparison:
    """Compare two or more runs: what differs, and their final metrics side by side.

    Raises UsageError for fewer than two runs, and for runs of different papers unless any_paper;
    RunError if a record can't be read.
    """
    records = [record_of(run) for run in runs]
    if len({run.folder for run in runs}) < max(2, len(runs)):
        raise UsageError("name two or more different runs to compare")
    papers = {run.paper: run.id for run in runs}
    if len(papers) > 1 and not any_paper:
        listed = ", ".join(f"{id_} is of {paper}" for paper, id_ in papers.items())
        raise UsageError(
            f"runs of different papers: {listed}. Their keys and metrics may have different "
            "meanings; use --any-paper (any_paper=True) to compare them anyway"
        )
    archives = {record.source: code_archive(record.source) for record in records}
    changed = _changed_files([path for path in archives.values() if path.is_file()])
    sections: dict[str, list[Mapping[str, object]]] = {
        "config": [run.config for run in runs],
        "code": [_code_of(record) for record in records],
        "packages": [record.packages for record in records],
        "data": [record.assets for record in records],
        "environment": [
            {**record.environment.model_dump(), "host": record.attempts[-1].host}
            for record in records
        ],
    }
    fingerprints = {record.fingerprint for record in records}
    return RunComparison(
        runs=list(runs),
        differences={name: differing(values) for name, values in sections.items()},
        changed_files=changed,
        missing_archives=[
            run.id
            for run, record in zip(runs, records, strict=True)
            if len(archives) > 1 and not archives[record.source].is_file()
        ],
        metrics={
            name: [run.metrics.get(name) for run in runs]
            for name in dict.fromkeys(name for run in runs for name in run.metrics)
        },
        same_experiment=len(fingerprints) == 1 and None not in fingerprints,
    )


def labels(runs: Sequence[RunSummary]) -> list[str]:
    """The shortest labels that distinguish the runs: their names, their ids, or paper and id."""
    names = [(run.record.name if run.record else None) or "" for run in runs]
    for candidates in (names, [run.id for run in runs]):
        if all(candidates) and len(set(candidates)) == len(runs):
            return candidates
    return [f"{run.folder.parent.name}/{run.id}" for run in runs]


def differing(values: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    """The keys whose values aren't all the same -> the values; None where a key is missing."""
    keys = dict.fromkeys(key for each in values for key in each)
    rows = {key: [each.get(key) for each in values] for key in keys}
    return {key: row for key, row in rows.items() if any(_differ(value, row[0]) for value in row)}


def varying_keys(runs: Sequence[Configured]) -> list[str]:
    """The config keys in which runs of one experiment differ, its own keys before the common ones.

    Left out are the seed and other keys that change no number, and a key that some of the runs
    lack and that is the same in all others: it is newer than they are.
    """
    seen: dict[tuple[str, str], dict[str, object]] = {}
    varying: dict[str, None] = {}
    for run in runs:
        of_experiment = seen.setdefault(
            (run.paper, run.record.experiment if run.record else ""), {}
        )
        for key, value in run.config.items():
            first = of_experiment.setdefault(key, value)
            # Most are the same, and a call for each takes longer than the comparison.
            same = first is value or (first == value and type(first) is type(value))
            if not same and key not in varying and _differ(value, first):
                varying[key] = None
    common = list(TrainConfig.model_fields)
    own = [key for key in varying if key not in common]
    return own + [key for key in common if key in varying and key not in NEUTRAL_KEYS]


def _differ(one: object, other: object) -> bool:
    """Whether two values differ: two NaNs don't, and 1 and true do."""
    if one != one and other != other:
        return False
    return one != other or isinstance(one, bool) != isinstance(other, bool)


def _code_of(record: RunRecord) -> dict[str, object]:
    return {
        "source": record.source,
        "git.commit": record.git.commit,
        "git.dirty": record.git.dirty,
        "lock_sha256": record.lock_sha256,
    }


def _changed_files(archives: Sequence[Path]) -> list[str]:
    """The files that aren't the same in all archives; Markdown files and tests come last."""
    if len(archives) < 2:
        return []
    names = map(shown_name, differing([_digests(path) for path in archives]))
    return sorted(names, key=lambda name: (name.endswith(".md") or "/tests/" in name, name))


def _digests(archive: Path) -> dict[str, str]:
    try:
        return {
            name: hashlib.sha256(content).hexdigest() for name, content in archived_files(archive)
        }
    except (OSError, tarfile.TarError, EOFError, ValueError, zlib.error) as error:
        raise RunError(f"{archive}: damaged ({error})") from error
