"""What a sweep is, and the folder that says it.

assets/outputs/<paper>/sweeps/<name>/sweep.json      what is varied, how, and what is best
                                     trials.jsonl    Optuna's journal
                                     settings.png, budget.png

Its runs are runs as any other, beside those of `train`. Their group is the sweep's name; the trial
is in the run's name: `width-3` is the setting of trial 3.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from research_data import get_outputs_dir
from research_data.durable import write_json
from research_data.errors import UnreadableError, UsageError
from research_data.plain_files import read_json_object
from research_data.shown import brief, did_you_mean

from research_train.errors import RunError
from research_train.sweeps.space import Choices, Dimension, Range, Space
from research_train.sweeps.study import Direction, Pruner, Sampler

SCHEMA = 1
SWEEPS = "sweeps"
FILE = "sweep.json"
JOURNAL = "trials.jsonl"
LOCK = ".lock"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


class _Dimension(BaseModel):
    """A dimension as the file has it: words, or the ends of a range."""

    model_config = ConfigDict(extra="forbid")

    words: list[str] | None = None
    low: float = 0.0
    high: float = 0.0
    scale: Literal["linear", "log"] = "linear"
    integer: bool = False


class Sweep(BaseModel):
    """The content of sweep.json.

    fixed: `key=value` words of all runs. seeds: every setting is trained with each. direction:
    whether the largest or the smallest mean of the metric is best.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    paper: str
    experiment: str
    keys: dict[str, _Dimension]
    fixed: list[str]
    seeds: list[int]
    sampler: Sampler
    sampler_seed: int
    pruner: Pruner
    metric: str
    direction: Direction

    @property
    def folder(self) -> Path:
        """Where the sweep lies."""
        return sweep_folder(self.paper, self.name)

    @property
    def space(self) -> Space:
        """What it varies."""
        dimensions: dict[str, Dimension] = {}
        for key, each in self.keys.items():
            if each.words is not None:
                dimensions[key] = Choices(tuple(each.words))
            else:
                logarithmic = each.scale == "log"
                dimensions[key] = Range(each.low, each.high, logarithmic, each.integer)
        return Space(dimensions, tuple(self.fixed), tuple(self.seeds))

    @property
    def is_max(self) -> bool:
        """Whether the largest mean is best."""
        return self.direction == "max"

    def run_name(self, trial: int) -> str:
        """What the runs of a trial are called."""
        return f"{self.name}-{trial}"


def new_sweep(
    name: str | None,
    paper: str,
    experiment: str,
    space: Space,
    sampler: Sampler,
    sampler_seed: int,
    pruner: Pruner,
    metric: str,
    direction: Direction,
) -> Sweep:
    """A sweep, not yet on disk. name: by default one of the keys and the content, always the same.

    Raises UsageError for a name that can't be a folder's.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(
            f"--name {brief(name)}: up to 40 letters, digits and -_. , beginning with one of the "
            "first two"
        )
    keys = {}
    for key, each in space.dimensions.items():
        if isinstance(each, Choices):
            keys[key] = _Dimension(words=list(each.words))
        else:
            scale: Literal["linear", "log"] = "log" if each.logarithmic else "linear"
            keys[key] = _Dimension(low=each.low, high=each.high, scale=scale, integer=each.integer)
    sweep = Sweep(
        name=name or "",
        paper=paper,
        experiment=experiment,
        keys=keys,
        fixed=list(space.fixed),
        seeds=list(space.seeds),
        sampler=sampler,
        sampler_seed=sampler_seed,
        pruner=pruner,
        metric=metric,
        direction=direction,
    )
    if name is None:
        said = hashlib.sha256(sweep.model_dump_json().encode()).hexdigest()[:6]
        short = "-".join(key.rpartition(".")[2] for key in keys)[:30].strip("-._") or "seeds"
        sweep.name = f"{short}-{said}"
    return sweep


def sweep_folder(paper: str, name: str) -> Path:
    """The folder of a sweep."""
    return get_outputs_dir() / paper / SWEEPS / name


def sweep_names(paper: str) -> list[str]:
    """The names of a paper's sweeps."""
    return sorted(path.parent.name for path in sweep_folder(paper, "").glob(f"[!.]*/{FILE}"))


def read_sweep(paper: str, name: str) -> Sweep:
    """A sweep from its file. Raises UsageError for an unknown one, RunError for a damaged one."""
    path = sweep_folder(paper, name) / FILE
    try:
        content = read_json_object(path)
    except UnreadableError as error:
        if not error.missing:
            raise RunError(f"{path}: damaged ({error.reason})") from error
        known = sweep_names(paper)
        raise UsageError(
            f"{paper} has no sweep {brief(name)}.{did_you_mean(name, known)} "
            f"It has: {', '.join(known) or 'none'}"
        ) from error
    schema = content.pop("schema", None)
    if isinstance(schema, int) and schema > SCHEMA:
        raise RunError(
            f"{path}: schema {brief(schema)}, this version reads up to {SCHEMA}. "
            "Use the research-train that wrote it, or a newer one."
        )
    try:
        return Sweep.model_validate({**content, "name": name, "paper": paper})
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        where = ".".join(map(str, wrong["loc"]))
        raise RunError(f"{path}: damaged ({where}: {wrong['msg']})") from error


def write_sweep(sweep: Sweep) -> None:
    """Write a sweep's file into its folder. Raises StorageError."""
    write_json(sweep.folder / FILE, {"schema": SCHEMA, **sweep.model_dump(mode="json")})


def check_same(sweep: Sweep) -> bool:
    """Whether the sweep is on disk already. Raises UsageError if another of its name is."""
    if not (sweep.folder / FILE).exists():
        return False
    before = read_sweep(sweep.paper, sweep.name).model_dump(mode="json")
    now = sweep.model_dump(mode="json")
    if differ := [key for key in now if json.dumps(now[key]) != json.dumps(before[key])]:
        key = differ[0]
        raise UsageError(
            f"{sweep.paper} has another sweep {sweep.name!r}: its {key} is {brief(before[key])}, "
            f"not {brief(now[key])}. Give this one another --name, or continue that one as it was"
        )
    return True
