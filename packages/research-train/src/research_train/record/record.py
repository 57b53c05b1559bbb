"""The content of run.json, and the seal that shows whether files were changed afterwards."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, SupportsFloat

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from research_data.durable import sha256_file
from research_data.errors import UnreadableError
from research_data.plain_files import read_json_object
from research_data.shown import brief

from research_train.errors import MetricError, RunError
from research_train.record.environment import Environment, GitState
from research_train.record.folders import CHECKPOINTS, CONFIG, METRICS, RECORD

SCHEMA = 1
_STEP = re.compile(r"step-[0-9]{8,18}")  # eight digits, and more from step 100,000,000 on
PARENT = "RESEARCH_PARENT"  # in a re-run's environment: the id of the run that is repeated

Status = Literal["running", "completed", "failed", "interrupted"]
OWN_NAMES = frozenset({"step", "time"})  # of every line of metrics.jsonl
Metrics = dict[str, float]  # name -> number: what a paper's `train` and `evaluate` return
RecordedMetrics = dict[str, float | None]  # JSON has no NaN: None is for a number that isn't finite

# The fields that make a run evidence; name, note, tags and group may be changed afterwards.
SEALED_FIELDS = frozenset(
    {
        "schema",
        "id",
        "paper",
        "experiment",
        "status",
        "started",
        "seed",
        "git",
        "source",
        "fingerprint",
        "lock_sha256",
        "packages",
        "releases",
        "assets",
        "parent",
        "metrics",
    }
)


def _moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("must be a time in UTC, ISO 8601")
    return text


Moment = Annotated[str, AfterValidator(_moment)]


class Attempt(BaseModel):
    """One start or resume of a run. packages: the internal ones that ran, and their versions.

    changed: config keys that a resume has changed -> [old value, new value]; None for a start, and
    in older records.
    """

    model_config = ConfigDict(extra="allow")

    time: Moment
    end: Moment | None = None
    status: Status = "running"
    command: list[str]
    host: str
    environment: Environment
    packages: dict[str, str] = {}
    changed: dict[str, list[Any]] | None = None


class Failure(BaseModel):
    """What ended a failed run; the traceback is None for an error that the message explains."""

    model_config = ConfigDict(extra="allow")

    type: str
    message: str
    traceback: str | None = None


class RunRecord(BaseModel):
    """The content of run.json. Times are UTC in ISO 8601, hashes sha256 in hex.

    config, config_sha256: see resolved_config.py; None in records of research-train 0.1.0.
    source: the archive in outputs/.sources. fingerprint: equal for runs of the same experiment,
    None for one resumed with other code.
    packages: versions of the internal packages and the main external ones. releases: the internal
    packages that ran as releases -> sha256 of the wheel. assets: name -> revision. parent: the run
    that this one repeats or starts from. metrics: the final ones. seal: see `compute_seal`.
    """

    # Fields that a newer version adds are kept when this one rewrites the record.
    model_config = ConfigDict(extra="allow", validate_by_name=True, validate_by_alias=True)

    schema_version: int = Field(SCHEMA, alias="schema")
    id: str
    paper: str
    experiment: str
    name: str | None = None
    status: Status = "running"
    started: Moment
    ended: Moment | None = None
    command: list[str]
    seed: int
    config: dict[str, Any] | None = None
    config_sha256: str | None = None
    git: GitState
    source: str
    fingerprint: str | None
    lock_sha256: str | None
    packages: dict[str, str]
    releases: dict[str, str] = {}
    assets: dict[str, str]
    environment: Environment
    attempts: list[Attempt] = Field(min_length=1)
    parent: str | None = None
    group: str | None = None
    tags: list[str] = []
    note: str | None = None
    metrics: RecordedMetrics = {}
    error: Failure | None = None
    seal: str | None = None


def recorded_metrics(metrics: object) -> RecordedMetrics:
    """Metrics as they are recorded: plain floats, None for a value that is None or not finite.

    Accepts any single number: Python's and NumPy's, Decimal, a tensor of one element, a bool (1 or
    0); one too large for a float counts as infinite. Raises MetricError for anything else, and for
    a name that is empty or can't be printed.
    """
    if not isinstance(metrics, Mapping):
        raise MetricError(f"metrics must map names to numbers, got a {type(metrics).__name__}")
    numbers: RecordedMetrics = {}
    for name, value in metrics.items():
        if not isinstance(name, str) or not name or not name.isprintable():
            raise MetricError(f"metric {name!r}: its name must be text that can be printed")
        numbers[name] = _number(name, value)
    return numbers


def line_metrics(metrics: object) -> RecordedMetrics:
    """`recorded_metrics` for a line of metrics.jsonl, where the names `step` and `time` are taken.

    Raises MetricError for these two as well.
    """
    numbers = recorded_metrics(metrics)
    if own := OWN_NAMES & numbers.keys():
        name = min(own)
        raise MetricError(
            f"metric {name!r}: the names `step` and `time` are reserved. Give it a prefix, such as "
            f"test/{name}."
        )
    return numbers


def finite_metrics(metrics: RecordedMetrics) -> RecordedMetrics:
    """The metrics of a record, by whatever version it was written: None for what isn't finite."""
    return {k: v if v is not None and math.isfinite(v) else None for k, v in metrics.items()}


def _number(name: str, value: object) -> float | None:
    if value is None:
        return None
    try:
        # float() would parse text, and drop the imaginary part of a complex number.
        if isinstance(value, str | bytes | complex) or not isinstance(value, SupportsFloat):
            raise TypeError
        number = float(getattr(value, "detach", lambda: value)())  # a tensor, without its graph
    except OverflowError:  # an integer of 400 digits
        return None
    except (TypeError, ValueError, RuntimeError):  # tensors of several elements; complex ones
        shape = getattr(value, "shape", None)
        kinds = f"of shape {tuple(shape or ())}, {getattr(value, 'dtype', '')}"
        shown = repr(value)[:60] if shape is None else kinds
        kind = type(value).__name__
        raise MetricError(f"metric {name!r}: one number is needed, got {kind} {shown}") from None
    return number if math.isfinite(number) else None


def read_record(folder: Path) -> RunRecord:
    """The record of a run folder. Raises RunError if missing, damaged or of a newer schema."""
    path = folder / RECORD
    try:
        content = read_json_object(path)
        schema = content.get("schema", SCHEMA)
        if isinstance(schema, int) and schema > SCHEMA:
            raise RunError(
                f"{path}: schema {brief(schema)}, this version reads up to {SCHEMA}. "
                "Use the research-train that wrote it, or a newer one."
            )
        return RunRecord.model_validate(content)
    except UnreadableError as error:
        if error.missing:
            raise RunError(f"{folder}: not a run's folder, there is no {RECORD}") from error
        raise RunError(f"{path}: damaged ({error.reason})") from error
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        where = ".".join(map(str, wrong["loc"]))
        raise RunError(
            f"{path}: damaged ({where} = {brief(wrong['input'])}: {wrong['msg']})"
        ) from error


def checkpoint_folders(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder, oldest first."""
    found = [path for path in (folder / CHECKPOINTS).glob("step-*") if _STEP.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def checkpoint_digests(folder: Path) -> dict[str, str]:
    """`step-00000200/model.safetensors` -> its sha256, from the checkpoints' manifests.

    Raises RunError for a manifest that can't be read.
    """
    digests: dict[str, str] = {}
    for checkpoint in checkpoint_folders(folder):
        path = checkpoint / "manifest.json"
        try:
            files = read_json_object(path)["files"]
            digests |= {f"{checkpoint.name}/{k}": str(v["sha256"]) for k, v in files.items()}
        except UnreadableError as error:
            raise RunError(f"{path}: cannot be read ({error.reason})") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{path}: doesn't say the sha256 of each file") from error
    return digests


def record_as_json(record: RunRecord) -> dict[str, object]:
    """The record as the mapping that run.json holds."""
    return record.model_dump(mode="json", by_alias=True)


def compute_seal(folder: Path, record: RunRecord) -> str:
    """sha256 over SEALED_FIELDS, the config, the metrics and the manifest of the last checkpoint.

    The manifest has the hashes of the weights; earlier checkpoints may be removed. Raises RunError
    when a file is missing.
    """
    fields = {k: v for k, v in record_as_json(record).items() if k in SEALED_FIELDS}
    if not record.releases:  # no release ran: the seal is as 0.1.0 computed it
        del fields["releases"]
    if changed := {str(n): each.changed for n, each in enumerate(record.attempts) if each.changed}:
        fields["changed"] = changed  # keys that a resume changed
    # Only the fields that were written: defaults of newer fields were not sealed.
    fields["git"] = record.git.model_dump(mode="json", exclude_unset=True)
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    manifests = [checkpoint / "manifest.json" for checkpoint in checkpoint_folders(folder)]
    for path in [folder / CONFIG, folder / METRICS, *manifests[-1:]]:
        try:
            digest.update(f"{path.relative_to(folder).as_posix()} {sha256_file(path)}\n".encode())
        except OSError as error:
            raise RunError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def was_lengthened(record: RunRecord) -> bool:
    """Whether a resume has changed the run's length, so that it began with another schedule.

    Older records don't keep what a resume changed. For these: whether one followed a completed
    attempt, which only a longer run can, or had `steps=` in its command.
    """
    before, *resumes = record.attempts
    for attempt in resumes:
        if attempt.changed is not None:
            if "steps" in attempt.changed:
                return True
        elif before.status == "completed" or any(w.startswith("steps=") for w in attempt.command):
            return True
        before = attempt
    return False


def utc_now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
