"""What run.json holds, and the seal that tells whether a run's evidence is as it was written."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from research_data.durable import sha256_file

from research_train.environment import Environment, GitState
from research_train.errors import RunError
from research_train.run_files import CHECKPOINTS, CONFIG, METRICS, RECORD

SCHEMA = 1
PARENT = "RESEARCH_PARENT"  # in the environment of a re-run: the id of the run that is run again

Status = Literal["running", "completed", "failed", "interrupted"]
Metrics = dict[str, float]
RecordedMetrics = dict[str, float | None]  # JSON has no NaN: None says that there was no number

# The fields that make a run evidence; name, note, tags and group are the reader's to change.
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


class Attempt(BaseModel):
    """One start or resume of a run. packages: the internal ones that ran, and their versions.

    changed: config keys that a resume has changed -> what they were, and what they are; None in
    records from before it was kept.
    """

    model_config = ConfigDict(extra="allow")

    time: str
    end: str | None = None
    status: Status = "running"
    command: list[str]
    host: str
    environment: Environment
    packages: dict[str, str] = {}
    changed: dict[str, list[Any]] | None = None


class Failure(BaseModel):
    """What ended a failed run; the traceback is None for a mistake that the message explains."""

    model_config = ConfigDict(extra="allow")

    type: str
    message: str
    traceback: str | None = None


class RunRecord(BaseModel):
    """The content of run.json. Times are UTC in ISO 8601, hashes sha256 in hex.

    source: the archive in outputs/.sources. fingerprint: equal for runs of the same experiment,
    None for one resumed with other code.
    packages: versions of the internal packages and the main external ones. releases: those of the
    internal ones that were released versions, and the sha256 of their wheels. assets: name ->
    revision. parent: the run this one came from. metrics: the final ones. seal: see `compute_seal`.
    """

    # Fields that a newer version adds are kept when this one rewrites the record.
    model_config = ConfigDict(extra="allow", validate_by_name=True, validate_by_alias=True)

    schema_version: int = Field(SCHEMA, alias="schema")
    id: str
    paper: str
    experiment: str
    name: str | None = None
    status: Status = "running"
    started: str
    ended: str | None = None
    command: list[str]
    seed: int
    git: GitState
    source: str
    fingerprint: str | None
    lock_sha256: str | None
    packages: dict[str, str]
    releases: dict[str, str] = {}
    assets: dict[str, str]
    environment: Environment
    attempts: list[Attempt]
    parent: str | None = None
    group: str | None = None
    tags: list[str] = []
    note: str | None = None
    metrics: RecordedMetrics = {}
    error: Failure | None = None
    seal: str | None = None


def read_record(folder: Path) -> RunRecord:
    """The record of a run folder. Raises RunError: none there, damaged, or of a newer schema."""
    path = folder / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get("schema", SCHEMA) > SCHEMA:
            raise RunError(
                f"{path}: schema {content['schema']}, this version reads up to {SCHEMA}. "
                "Use the research-train that wrote it, or a newer one."
            )
        return RunRecord.model_validate(content)
    except FileNotFoundError as error:
        raise RunError(f"{folder}: no run folder, there is no {RECORD}") from error
    except (OSError, ValueError, TypeError, ValidationError) as error:
        raise RunError(f"{path}: damaged ({str(error).splitlines()[0]})") from error


def checkpoint_folders(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder, oldest first."""
    return sorted((folder / CHECKPOINTS).glob("step-*"))


def checkpoint_digests(folder: Path) -> dict[str, str]:
    """`step-00000200/model.safetensors` -> its sha256, as the checkpoints' manifests have it.

    Raises RunError for a manifest that can't be read.
    """
    digests: dict[str, str] = {}
    for checkpoint in checkpoint_folders(folder):
        path = checkpoint / "manifest.json"
        try:
            files = json.loads(path.read_text(encoding="utf-8"))["files"]
            digests |= {f"{checkpoint.name}/{k}": str(v["sha256"]) for k, v in files.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{path}: cannot be read ({error})") from error
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
    if not record.releases:  # as sealed before there were any
        del fields["releases"]
    if changed := {str(n): each.changed for n, each in enumerate(record.attempts) if each.changed}:
        fields["changed"] = changed  # of a run that a resume made another
    # As written: a field that a newer version knows by default was not sealed.
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
    """Whether a resume has changed its length: its schedule was first that of another run.

    Of records that don't keep what a resume changed: that went on after they had completed, which
    only a longer run can, or say so in the words typed.
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
