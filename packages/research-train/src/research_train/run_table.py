"""The recorded runs as a table: list, find, compare, follow, label and remove them.

    from research_train import runs
    for run in runs("mnist1d", where=["learning_rate>1e-3"], sort="test/accuracy", limit=10):
        print(run.id, run.metrics)

All of it is read from the run folders, each time anew; nothing else keeps state.
"""

import fcntl
import hashlib
import json
import math
import operator
import re
import shutil
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from research_data import StorageError, get_outputs_dir
from research_data.catalog import disk_size
from research_data.durable import write_json
from research_data.errors import UsageError

from research_train.config import read_yaml
from research_train.errors import ConfigError, RunError
from research_train.members import did_you_mean, find_member, installed_members
from research_train.record import (
    RecordedMetrics,
    RunRecord,
    Status,
    compute_seal,
    read_record,
)
from research_train.run_files import CONFIG, METRICS, RECORD, SOURCES
from research_train.run_folders import LOCK, lock_run, run_folders, run_label, run_status

POLL = 0.5  # seconds between two looks at a run that is followed

Shown = Literal[Status, "unreadable"]
Point = dict[str, float | None]  # a line of metrics.jsonl

_CONDITION = re.compile(r"\s*([^\s<>=!]+)\s*(<=|>=|!=|==|=|<|>)\s*(.*?)\s*")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_BEST_IS_SMALL = re.compile(r"loss|error|perplexity|nll")


@dataclass(frozen=True)
class RunSummary:
    """A run as it stands on the disk.

    status: the real one: a run whose process died without a word is interrupted.
    record: None for an unreadable one, whose `problem` says why. remarks: what is odd about the
    folder, that it is a copy say.
    """

    folder: Path
    record: RunRecord | None
    status: Shown
    problem: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """What to call it in any command: the folder's name."""
        return self.folder.name

    @property
    def paper(self) -> str:
        """The paper it is a run of."""
        return self.record.paper if self.record else self.folder.parent.name

    @property
    def metrics(self) -> RecordedMetrics:
        """The final metrics; None says that there was no number."""
        return self.record.metrics if self.record else {}

    @property
    def started(self) -> str:
        """UTC in ISO 8601; of an unreadable one, when its record was last written."""
        if self.record:
            return self.record.started
        written = (self.folder / RECORD).stat().st_mtime
        return datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds")

    @property
    def seconds(self) -> float | None:
        """How long its attempts took together, those apart that died without saying when."""
        if self.record is None:
            return None
        spans = [
            (_moment(attempt.end) - _moment(attempt.time)).total_seconds()
            for attempt in self.record.attempts
            if attempt.end
        ]
        if self.status == "running":
            began = _moment(self.record.attempts[-1].time)
            spans.append((datetime.now(UTC) - began).total_seconds())
        return sum(spans) if spans else None

    @cached_property
    def config(self) -> dict[str, object]:
        """The resolved config under dotted keys; empty where config.yaml can't be read."""
        try:
            return read_flat_config(self.folder)
        except ConfigError:
            return {}

    @property
    def values(self) -> dict[str, object]:
        """What `where` and `sort` look at: config keys, and final metrics before them."""
        return {**self.config, **self.metrics}


def runs(
    paper: str | None = None,
    experiment: str | None = None,
    status: str | None = None,
    tag: str | None = None,
    where: Sequence[str] = (),
    sort: str | None = None,
    limit: int | None = None,
    reverse: bool = False,
) -> list[RunSummary]:
    """The recorded runs, the newest first.

    experiment: its name, with or without the paper's in front. where: conditions that all hold,
    as "lr>1e-3", "optimizer.lr<=0.1", "model=cnn", "test/accuracy>0.9"; a key is a config key or
    a final metric, its last part is enough where that is clear. sort: by such a key, the best
    first: losses, errors and config keys smallest first, other metrics largest first; runs without
    it come last. reverse turns the order over. Records that can't be read are listed unless
    something is asked that only a record answers.

    Raises UsageError: no such paper, status or key, or a condition that can't be understood.
    """
    if status is not None and status not in (known := [*get_args(Status), "unreadable"]):
        raise UsageError(f"no status {status!r}: it is one of {', '.join(known)}")
    conditions = [_parse_condition(text) for text in where]
    found = [summarise(folder) for folder in _folders()]
    if paper is not None:
        name = _paper_name(paper, {n for run in found for n in (run.paper, run.folder.parent.name)})
        found = [run for run in found if name in (run.paper, run.folder.parent.name)]
    if experiment is not None:
        found = [run for run in found if run.record and _is_of(run.record, experiment)]
    keys = {key for run in found for key in run.values} if where or sort else set()
    if status is not None:
        found = [run for run in found if run.status == status]
    if tag is not None:
        found = [run for run in found if run.record and tag in run.record.tags]
    if keys:
        for condition in conditions:
            key = _resolve_key(condition.key, keys)
            found = [run for run in found if condition.holds(run.values.get(key))]
    elif where:
        found = []
    found.sort(key=lambda run: run.started, reverse=True)
    if sort is not None and keys:
        found = _sorted(found, _resolve_key(sort, keys), reverse)
    elif reverse:
        found.reverse()
    return found[:limit]


def summarise(folder: Path) -> RunSummary:
    """What a run folder holds; never raises for a record that can't be read."""
    try:
        record = read_record(folder)
    except RunError as error:
        reason = str(error).removeprefix(f"{folder / RECORD}: ")
        return RunSummary(folder, None, "unreadable", reason)
    try:
        status = run_status(folder, record)
    except OSError:  # a lock that isn't ours to look at
        status = record.status
    remarks = []
    if record.id != folder.name:
        remarks.append(f"copied by hand: its record is of {record.id}")
    if folder.parent.parent == get_outputs_dir() and record.paper != folder.parent.name:
        remarks.append(f"lies among the runs of {folder.parent.name}")
    if not (folder / LOCK).is_file():
        remarks.append("copied by hand: no lock file")
    return RunSummary(folder, record, status, remarks=tuple(remarks))


def find_any_run(text: str) -> RunSummary:
    """A run of any paper: its id, how that begins, its name, `paper/id`, or its folder.

    Raises RunError when there is none, or several; a whole id comes before a beginning.
    """
    if (Path(text).expanduser() / RECORD).is_file():
        return summarise(Path(text).expanduser().resolve())
    paper, _, words = text.rstrip("/").rpartition("/")
    folders = [folder for folder in _folders() if not paper or folder.parent.name == paper]
    named = f"-{run_label(words)}-seed"
    tests: list[Callable[[Path], bool]] = [
        lambda folder: folder.name == words,
        lambda folder: folder.name.startswith(words) or named in folder.name,
        lambda folder: words in _names_in_record(folder),
    ]
    for test in tests if words else []:
        matching = [folder for folder in folders if test(folder)]
        if len(matching) == 1:
            return summarise(matching[0])
        if matching:
            shown = ", ".join(f"{run.parent.name}/{run.name}" for run in matching[:5])
            raise RunError(
                f"{text!r} could be any of {len(matching)} runs: {shown}"
                + (", ..." if len(matching) > 5 else "")
            )
    known = [folder.name for folder in folders]
    newest = f" The newest is {max(known)}." if known else " There is none yet."
    raise RunError(f"no run {text!r} in {get_outputs_dir()}.{did_you_mean(words, known) or newest}")


def newest_run() -> RunSummary:
    """The newest run at work, else the newest of all. Raises RunError when there is none."""
    every = [run for run in runs() if run.record]
    if not every:
        raise RunError(f"there is no run yet in {get_outputs_dir()}")
    return next((run for run in every if run.status == "running"), every[0])


def seal_state(run: RunSummary) -> Literal["none", "fits", "broken"]:
    """Whether the evidence is as it was when the run ended: record, config, metrics, weights."""
    if run.record is None or run.record.seal is None:
        return "none"
    try:
        return "fits" if compute_seal(run.folder, run.record) == run.record.seal else "broken"
    except RunError:
        return "broken"


def read_flat_config(folder: Path) -> dict[str, object]:
    """The config of a run folder under dotted keys, `optimizer.lr`. Raises ConfigError."""
    path = folder / CONFIG
    try:
        plain = _read_plain_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        plain = None
    return plain if plain is not None else dict(_flattened(read_yaml(path), ""))


# Comparing


@dataclass(frozen=True)
class RunComparison:
    """What differs between runs, a value a run in the order of `runs`.

    differences: config, code, packages, data, environment -> key -> values; None where a run has
    none. changed_files: files of the source archives that are not the same in all runs.
    missing_archives: runs whose source archive isn't here. metrics: the final ones, equal or not.
    same_experiment: whether the fingerprints say so: they may differ in their seeds alone.
    """

    runs: list[RunSummary]
    differences: dict[str, dict[str, list[object]]]
    changed_files: list[str]
    missing_archives: list[str]
    metrics: dict[str, list[float | None]]
    same_experiment: bool


def compare_runs(runs: Sequence[RunSummary], any_paper: bool = False) -> RunComparison:
    """Only what differs between two or more runs, and their final metrics side by side.

    Raises UsageError for fewer than two runs, or of different papers unless any_paper; RunError
    for one whose record can't be read.
    """
    records = [_readable(run) for run in runs]
    if len({run.folder for run in runs}) < max(2, len(runs)):
        raise UsageError("name two or more different runs to compare")
    papers = {run.paper: run.id for run in runs}
    if len(papers) > 1 and not any_paper:
        listed = ", ".join(f"{id_} is of {paper}" for paper, id_ in papers.items())
        raise UsageError(
            f"runs of different papers: {listed}. Their keys and metrics need not mean the same; "
            "--any-paper (any_paper=True) compares them all the same"
        )
    archives = {record.source: _archive(record.source) for record in records}
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
        differences={name: _differing(values) for name, values in sections.items()},
        changed_files=changed,
        missing_archives=[
            run.id
            for run, record in zip(runs, records, strict=True)
            if len(archives) > 1 and not archives[record.source].is_file()
        ],
        metrics={
            name: [record.metrics.get(name) for record in records]
            for name in dict.fromkeys(name for record in records for name in record.metrics)
        },
        same_experiment=len(fingerprints) == 1 and None not in fingerprints,
    )


def labels(runs: Sequence[RunSummary]) -> list[str]:
    """The shortest that tells them apart: their names, their ids, or paper and id."""
    names = [(run.record.name if run.record else None) or "" for run in runs]
    for candidates in (names, [run.id for run in runs]):
        if all(candidates) and len(set(candidates)) == len(runs):
            return candidates
    return [f"{run.folder.parent.name}/{run.id}" for run in runs]


def draw_curves(runs: Sequence[RunSummary], stem: Path, metric: str | None = None) -> list[Path]:
    """Draw a metric of several runs over their steps into stem.png and stem.svg.

    metric: by default the first loss or accuracy that all of them have. Raises UsageError when
    not all of them have it.
    """
    from research_viz import learning_curves, save_figure  # slow, and only needed here

    histories = {
        label: read_metrics(run.folder) for label, run in zip(labels(runs), runs, strict=True)
    }
    name = metric or common_metric(histories.values())
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for run, points in histories.items():
        steps, values = [], []
        for point in points:
            step, value = point["step"], point.get(name)
            if step is not None and value is not None:
                steps.append(step)
                values.append(value)
        if not values:
            known = {key for point in points for key in point} - {"step", "time"}
            raise UsageError(f"{run} has no metric {name!r}.{did_you_mean(name, known)}")
        curves[run] = (steps, values)
    positive = all(value > 0 for _, values in curves.values() for value in values)
    logarithmic = bool(_BEST_IS_SMALL.search(name)) and positive
    figure = learning_curves(curves, ylabel=name, logarithmic=logarithmic)
    try:
        return save_figure(figure, stem)
    except OSError as error:
        raise StorageError(stem, error) from error


def common_metric(histories: Iterable[Sequence[Point]]) -> str:
    """The first loss or accuracy that occurs in all of them. Raises UsageError."""
    names = [dict.fromkeys(name for point in points for name in point) for points in histories]
    common = [name for name in names[0] if all(name in others for others in names)]
    for name in common:
        if "loss" in name or "accuracy" in name:
            return name
    listed = ", ".join(name for name in common if name not in ("step", "time")) or "nothing"
    raise UsageError(
        f"these runs log no loss or accuracy that all have; name what to draw: {listed}"
    )


def read_metrics(folder: Path) -> list[Point]:
    """The lines of metrics.jsonl; what can't be read in them is left out."""
    return list(_points((folder / METRICS).read_bytes())) if (folder / METRICS).is_file() else []


# Following


def follow_run(folder: Path, poll: float = POLL) -> Iterator[Point]:
    """The lines of metrics.jsonl as they are written, from the first on, until the run has ended.

    poll: seconds between two looks. Raises RunError when the run's record is gone.
    """
    path, read = folder / METRICS, 0
    last = skip = -math.inf
    while True:
        ended = run_status(folder, read_record(folder)) != "running"  # before what it wrote last
        size = path.stat().st_size if path.is_file() else 0
        if size < read:  # cut back by a resume, which logs the same once more
            read, skip = 0, last
        if size > read:
            with path.open("rb") as file:
                file.seek(read)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            read += len(whole)
            for point in _points(whole):
                step = point["step"]
                if step is not None and step > skip:
                    last = step
                    yield point
        if ended:
            return
        time.sleep(poll)


# Changing


def tag_run(run: RunSummary, tags: Sequence[str], remove: bool = False) -> list[str]:
    """Add tags to a run, or remove them; returns the tags it has now.

    Raises RunError when the run is at work or can't be read, UsageError for a tag it hasn't.
    """
    if not tags or not all(tag.strip() for tag in tags):
        raise UsageError("a tag is a word")
    with _held(run, "tagged"):
        now = list(_readable(summarise(run.folder)).tags)
        for tag in dict.fromkeys(tag.strip() for tag in tags):
            if remove and tag not in now:
                has = ", ".join(now) or "none"
                raise UsageError(f"{run.id} has no tag {tag!r}. It has: {has}")
            if remove:
                now.remove(tag)
            elif tag not in now:
                now.append(tag)
        _rewrite(run.folder, {"tags": now})
    return now


def note_run(run: RunSummary, text: str) -> None:
    """Give a run a note in place of the one it has; an empty text removes it. Raises RunError."""
    with _held(run, "noted on"):
        _readable(summarise(run.folder))
        _rewrite(run.folder, {"note": text.strip() or None})


@dataclass(frozen=True)
class Removal:
    """What removing runs frees.

    runs: each with its bytes. archives: source archives that no other run uses, with theirs.
    kept: why no archive goes though one might, else None.
    """

    runs: dict[Path, int]
    archives: dict[Path, int]
    kept: str | None

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(self.runs.values()) + sum(self.archives.values())


def plan_removal(runs: Sequence[RunSummary]) -> Removal:
    """What `remove_runs` would remove. Raises RunError when one of them is at work."""
    runs = _distinct(runs)
    for run in runs:
        with _held(run, "removed"):
            pass
    going = {run.folder: disk_size(run.folder) for run in runs}
    archives, kept = _unused_archives(runs)
    return Removal(going, {path: path.stat().st_size for path in archives}, kept)


def remove_runs(runs: Sequence[RunSummary]) -> Removal:
    """Remove run folders, and with the last run of a code its source archive; says what went.

    Raises RunError, before anything goes, when one of them is at work; StorageError.
    """
    plan = plan_removal(runs)
    for run in _distinct(runs):
        # Renamed first: whatever happens on the way, nobody sees half a run.
        aside = run.folder.with_name(f".{run.folder.name}.removed")
        shutil.rmtree(aside, ignore_errors=True)  # of a removal that was killed
        try:
            with _held(run, "removed"):
                if run.folder.is_symlink():
                    run.folder.unlink()
                    continue
                run.folder.rename(aside)
            shutil.rmtree(aside)
        except OSError as error:
            raise StorageError(run.folder, error) from error
    # Looked at again: a run of the same code may have begun meanwhile.
    unused, _ = _unused_archives(runs)
    archives = {path: size for path, size in plan.archives.items() if path in unused}
    for path in archives:
        path.unlink(missing_ok=True)
    return Removal(plan.runs, archives, plan.kept)


# Conditions


@dataclass(frozen=True)
class _Condition:
    key: str
    sign: str
    wanted: object
    text: str

    def holds(self, value: object) -> bool:
        if value is None and self.wanted is not None:
            return False  # a run that lacks the key, or a metric that was no number
        if self.sign in _ORDERS:
            return _is_number(value) and _ORDERS[self.sign](value, self.wanted)
        if isinstance(value, str):
            equal = value in (self.text, self.wanted)
        else:  # Python takes True for 1
            equal = value == self.wanted and isinstance(value, bool) == isinstance(
                self.wanted, bool
            )
        return equal is (self.sign != "!=")


def _parse_condition(text: str) -> _Condition:
    match = _CONDITION.fullmatch(text)
    if not match or not match[3]:
        raise UsageError(
            f"{text!r} is no condition: write KEY>VALUE with one of < <= > >= = !=, "
            "as 'optimizer.lr<=0.1' or 'model=cnn'"
        )
    key, sign, wanted = match[1], match[2], _value(match[3])
    if sign in _ORDERS and not _is_number(wanted):
        raise UsageError(f"{text!r}: only numbers have an order, {match[3]!r} is none")
    return _Condition(key, sign, wanted, match[3])


def _value(text: str) -> object:
    """A number, true, false, null or a list, as in JSON; else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _resolve_key(name: str, known: set[str]) -> str:
    """The key that is meant: itself, or the only one whose last part it is. Raises UsageError."""
    if name in known:
        return name
    ending = sorted(key for key in known if key.endswith((f".{name}", f"/{name}")))
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise UsageError(f"{name!r} could be any of {', '.join(ending)}")
    raise UsageError(
        f"no run here has a config key or final metric {name!r}."
        f"{did_you_mean(name, known) or ' It has: ' + ', '.join(sorted(known))}"
    )


def _sorted(found: list[RunSummary], key: str, reverse: bool) -> list[RunSummary]:
    having = [run for run in found if run.values.get(key) is not None]
    missing = [run for run in found if run.values.get(key) is None]
    metric = any(key in run.metrics for run in having)
    largest_first = metric and not _BEST_IS_SMALL.search(key)

    def rank(run: RunSummary) -> tuple[bool, float, str]:
        value = run.values[key]
        if isinstance(value, int | float):
            return False, value, ""
        return True, 0.0, str(value)

    return sorted(having, key=rank, reverse=largest_first is not reverse) + missing


# Reading


def _folders() -> list[Path]:
    """Every run folder of every paper, oldest first in each."""
    outputs = get_outputs_dir()
    papers = sorted(path for path in outputs.glob("[!.]*") if path.is_dir())
    return [folder for paper in papers for folder in run_folders(paper.name)]


def _paper_name(text: str, recorded: set[str]) -> str:
    """The name of a paper that has runs, whether or not it is installed, or is installed."""
    return text if text in recorded else find_member(text, installed_members()).name


def _is_of(record: RunRecord, experiment: str) -> bool:
    return record.experiment in (experiment, f"{record.paper}.{experiment}")


def _names_in_record(folder: Path) -> tuple[str | None, ...]:
    record = summarise(folder).record
    return (record.id, record.name) if record else ()


def _readable(run: RunSummary) -> RunRecord:
    if run.record is None:
        raise RunError(f"{run.folder / RECORD}: {run.problem}")
    return run.record


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _points(content: bytes) -> Iterator[Point]:
    for line in content.splitlines():
        try:
            point = json.loads(line)
        except ValueError:  # the last line of a killed run
            continue
        if isinstance(point, dict) and isinstance(point.get("step"), int):
            yield point


_LINE = re.compile(r"( *)(?:([A-Za-z_]\w*):|-)(?: (\S.*))?")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?(e[-+]\d+)?")
_WORD = re.compile(r"(?!(?:null|true|false)$)[a-z/][\w./@-]*")
_QUOTED = re.compile(r"'([^']*)'")
_CONSTANTS: dict[str, object] = {"true": True, "false": False, "[]": [], "{}": {}}


def _read_plain_yaml(text: str) -> dict[str, object] | None:
    """A config as `dump_yaml` writes nearly all, under dotted keys; None: not so plain.

    A YAML parser takes 1 ms for each, a hundred times as long, which 1,000 runs would show.
    """
    flat: dict[str, object] = {}
    sections = [(0, "")]  # indentation and prefix of those that we are in
    opened: tuple[int, str] | None = None  # a key whose list or section may follow
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        indent, key, written = len(match[1]), match[2], match[3]
        known, value = _scalar(written) if written else (True, None)
        if not known:
            return None
        if key is None:  # an element
            if opened is None or indent < opened[0] or written is None:
                return None
            elements = flat[opened[1]] = flat[opened[1]] or []
            assert isinstance(elements, list)
            elements.append(value)
            continue
        if opened is not None and indent > opened[0]:
            if flat.pop(opened[1]) is not None:  # keys inside of a list
                return None
            sections.append((indent, f"{opened[1]}."))
        while indent < sections[-1][0]:
            sections.pop()
        if indent != sections[-1][0]:
            return None
        name = sections[-1][1] + key
        flat[name] = value
        opened = (indent, name) if written is None else None
    return flat


def _scalar(text: str) -> tuple[bool, object]:
    """Whether it is plain enough to be known, and what it is."""
    if number := _NUMBER.fullmatch(text):
        return True, float(text) if number[1] or number[2] else int(text)
    if quoted := _QUOTED.fullmatch(text):
        return True, quoted[1]
    if text in _CONSTANTS:
        return True, _CONSTANTS[text]
    return _WORD.fullmatch(text) is not None, text


def _flattened(values: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _differing(values: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    keys = dict.fromkeys(key for each in values for key in each)
    rows = {key: [each.get(key) for each in values] for key in keys}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def _code_of(record: RunRecord) -> dict[str, object]:
    return {
        "source": record.source,
        "git.commit": record.git.commit,
        "git.dirty": record.git.dirty,
        "lock_sha256": record.lock_sha256,
    }


def _archive(source: str) -> Path:
    return get_outputs_dir() / SOURCES / f"{source}.tar.gz"


def _changed_files(archives: Sequence[Path]) -> list[str]:
    """The files that are not the same in all of the archives; texts and tests come last."""
    if len(archives) < 2:
        return []
    names = _differing([_digests(path) for path in archives])
    return sorted(names, key=lambda name: (name.endswith(".md") or "/tests/" in name, name))


def _digests(archive: Path) -> dict[str, str]:
    digests = {}
    try:
        with tarfile.open(archive) as stored:
            for entry in stored:
                if (content := stored.extractfile(entry)) is not None:
                    digests[entry.name] = hashlib.sha256(content.read()).hexdigest()
    except (OSError, tarfile.TarError, EOFError) as error:
        raise RunError(f"{archive}: damaged ({error})") from error
    return digests


# Writing


@contextmanager
def _held(run: RunSummary, verb: str) -> Iterator[None]:
    """Nobody begins to work on the run in this block. Raises RunError when somebody is at work.

    A run's own process writes its record from memory: what others wrote meanwhile would be lost.
    """
    lock = None
    if (run.folder / LOCK).is_file():  # a copy may have none, and nobody at work either
        try:
            lock = lock_run(run.folder, "a+", fcntl.LOCK_EX)
        except OSError as error:
            raise StorageError(run.folder / LOCK, error) from error
        if lock is None:
            holder = (run.folder / LOCK).read_text(encoding="utf-8").strip()
            raise RunError(
                f"{run.id} is running ({holder}): it can't be {verb} before it has ended"
            )
    try:
        yield
    finally:
        if lock is not None:
            lock.close()


def _distinct(runs: Sequence[RunSummary]) -> list[RunSummary]:
    return list({run.folder: run for run in runs}.values())


def _rewrite(folder: Path, changes: Mapping[str, object]) -> None:
    """Change fields of run.json outside the seal; all else stays as it was written."""
    content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    write_json(folder / RECORD, {**content, **changes})


def _unused_archives(going: Sequence[RunSummary]) -> tuple[set[Path], str | None]:
    """The archives of these runs that no other run names, and why none is told unused, if so."""
    wanted = {run.record.source for run in going if run.record}
    folders = {run.folder for run in going}
    # Hidden ones too: a run that is being born lies in one.
    for path in get_outputs_dir().glob("*/*/" + RECORD):
        if path.parent in folders or path.parent.name.endswith(".removed"):
            continue
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
            json.loads(text)
        except OSError:
            continue  # gone meanwhile
        except ValueError:
            return set(), f"{path} is damaged, so what code it needs can't be told"
        wanted = {source for source in wanted if source not in text}
    return {path for source in wanted if (path := _archive(source)).is_file()}, None
