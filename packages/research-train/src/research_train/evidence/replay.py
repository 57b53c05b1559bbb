"""Train parts of recorded runs again under the present code, and compare them bit by bit.

    echo '[{"run": FOLDER, "experiment": "mnist1d", "overrides": ["model=mlp"]}]' |
        RESEARCH_ASSETS=SCRATCH python -m research_train.evidence.replay --paper mnist1d

Two parts of a run are replayed. The head goes from the start to the first evaluation at or after
step HEAD_STEPS; the tail goes from the last checkpoint but one to the end. If there is no such
checkpoint, or the parts would overlap, the whole run is replayed. stdout gets one JSON object per
run, a `Replayed`. carried.py starts this under the paper's requirements, and deletes the outputs
afterwards, since a replay isn't a run of the paper.
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from research_data.errors import ResearchError

from research_train.code.fingerprint import NEUTRAL_KEYS
from research_train.evidence.tasks import answer_tasks
from research_train.experiment.config import TrainConfig
from research_train.experiment.config_values import load_config
from research_train.experiment.members import Experiment, Member
from research_train.experiment.needs import prepare_assets
from research_train.record.folders import CHECKPOINTS, CONFIG, METRICS
from research_train.record.metrics_file import Point, read_metrics, repeatable_part
from research_train.record.record import (
    RunRecord,
    checkpoint_digests,
    checkpoint_folders,
    read_record,
)
from research_train.training import train_run

if TYPE_CHECKING:
    from research_train.record.run import Run

HEAD_STEPS = 50  # the least: an evaluation at step 1 would show little
NOT_REPLAYED = "it could not be replayed"  # `why` begins so if another attempt may succeed
WEIGHTS = ("/model.safetensors", "/ema.safetensors")


@dataclass(frozen=True)
class Replayed:
    """Which part of a run was replayed, and whether all lines and weights are as recorded.

    head: last step of the replayed head; tail: first and last step of the tail; both None if the
    whole run was replayed. why: what differed, or why the run could not be replayed.
    """

    equal: bool
    why: str | None = None
    head: int | None = None
    tail: tuple[int, int] | None = None


# What a replay does without: nobody looks at it, and it is never gone on with.
UNWATCHED = {"tensorboard": False, "wandb": "disabled", "trackers": (), "max_minutes": 0.0}


class _Different(BaseException):
    """A line of metrics differs, so the rest needn't be replayed."""


class _Enough(BaseException):
    """The last line of the head was logged."""


def replay(experiment: Experiment, folder: Path, overrides: list[str]) -> Replayed:
    """Replay a recorded run of an experiment under the present code.

    overrides: the present `key=value` words of the setting; they must give the run's config, except
    for keys that change no number. Raises the errors of reading config and data.
    """
    record = read_record(folder)
    then = load_config(experiment, file=folder / CONFIG)
    now = load_config(experiment, overrides)
    if _counting(then) != _counting(now):
        return Replayed(False, "its config has changed")
    if (assets := prepare_assets(experiment, config=now)) != record.assets:
        return Replayed(False, f"its data was {record.assets}, is {assets} now")
    config = then.model_copy(update=UNWATCHED)
    lines = [repeatable_part(point) for point in read_metrics(folder)]
    checkpoints = checkpoint_folders(folder)
    head = _head_step(config)
    head_lines = sum(1 for line in lines if (line["step"] or 0) <= head)
    start = _step(checkpoints[-2]) if len(checkpoints) > 1 else 0
    if start <= head or not head_lines or head_lines == len(lines):
        return _whole(experiment, config, record, folder, lines)
    from research_train.record.start import start_run

    run = start_run(experiment, config, record.assets)
    if why := _train(run, experiment, lines, 0, head_lines):
        return Replayed(False, why, head)
    run = _resumed(experiment, config, record, folder, checkpoints[-2])
    kept = sum(1 for line in lines if (line["step"] or 0) <= start)
    why = _train(run, experiment, lines, kept) or _differing_end(run, folder, record)
    return Replayed(not why, why, head, (start, _step(checkpoints[-1])))


def _counting(config: TrainConfig) -> dict[str, object]:
    """The keys that can change a number."""
    values = config.model_dump(mode="json")
    return {key: value for key, value in values.items() if key not in NEUTRAL_KEYS}


def _head_step(config: TrainConfig) -> int:
    """The step of the first evaluation at or after HEAD_STEPS."""
    every = config.evaluate_every
    return min(config.steps, -(-HEAD_STEPS // every) * every)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def _whole(
    experiment: Experiment,
    config: TrainConfig,
    record: RunRecord,
    folder: Path,
    lines: list[Point],
) -> Replayed:
    from research_train.record.start import start_run

    run = start_run(experiment, config, record.assets)
    why = _train(run, experiment, lines, 0) or _differing_end(run, folder, record)
    return Replayed(not why, why)


def _resumed(
    experiment: Experiment,
    config: TrainConfig,
    record: RunRecord,
    folder: Path,
    checkpoint: Path,
) -> "Run":
    """A copy of the run in the scratch outputs, ready to resume from a checkpoint."""
    from research_data import get_outputs_dir

    from research_train.record.resume import resume_run
    from research_train.record.run import Run

    copy = get_outputs_dir() / record.paper / record.id
    (copy / CHECKPOINTS).mkdir(parents=True)
    for name in (CONFIG, METRICS):
        shutil.copyfile(folder / name, copy / name)
    shutil.copytree(checkpoint, copy / CHECKPOINTS / checkpoint.name)
    # The copy lacks the last checkpoint, so it isn't completed, and the seal wouldn't fit.
    stopped = {"status": "interrupted", "seal": None}
    run = Run(copy, record.model_copy(deep=True, update=stopped), config)
    run.save()
    resume_run(run, experiment, config, any_code=True)
    return run


def _train(
    run: "Run",
    experiment: Experiment,
    expected: list[Point],
    position: int,
    until: int | None = None,
) -> str | None:
    """Train up to the line `until`, comparing each line as it is logged; returns what differs."""
    run.quiet = True
    log, file = run.log, run.folder / METRICS
    offset = file.stat().st_size

    def compared(step: int, metrics: Mapping[str, float | None]) -> None:
        nonlocal offset, position
        log(step, metrics)
        with file.open("rb") as opened:
            opened.seek(offset)
            added = opened.read()
        offset += len(added)
        for line in added.splitlines():
            got = repeatable_part(json.loads(line))
            if position >= len(expected) or got != expected[position]:
                raise _Different(_difference(expected[position : position + 1], got))
            position += 1
        if until is not None and position >= until:
            raise _Enough

    run.log = compared  # type: ignore[method-assign]
    try:
        train_run(run, experiment)
    except _Different as different:
        return str(different)
    except _Enough:
        return None
    if position < len(expected):
        return f"it logged {position} lines of metrics, but {len(expected)} are recorded"
    return None


def _difference(expected: list[Point], got: Point) -> str:
    if not expected:
        return f"step {got.get('step')}: this line of metrics was not recorded before"
    names = [name for name in expected[0] | got if expected[0].get(name) != got.get(name)]
    name = names[0]
    return (
        f"step {got.get('step')}: {name} was {expected[0].get(name)}, is {got.get(name)} under the "
        "present code"
    )


def _differing_end(run: "Run", folder: Path, record: RunRecord) -> str | None:
    """The first final metric or file of weights that differs from the record; None if none does."""
    for name, value in record.metrics.items():
        if run.record.metrics.get(name) != value:
            return f"{name} was {value}, is {run.record.metrics.get(name)} under the present code"
    then, now = checkpoint_digests(folder), checkpoint_digests(run.folder)
    last = checkpoint_folders(folder)[-1:]
    for name, digest in then.items():
        final = last and name.startswith(f"{last[0].name}/")
        if final and name.endswith(WEIGHTS) and now.get(name) != digest:
            return f"{name} has other bytes under the present code"
    return None


def answer(member: Member, task: Mapping[str, object]) -> dict[str, object]:
    """Replay one run; if that fails, the answer says why. seconds: how long it took."""
    began = time.monotonic()
    try:
        overrides = task["overrides"]
        assert isinstance(overrides, list)
        words = [*map(str, overrides), f"seed={task['seed']}"]
        experiment = member.experiment(str(task["experiment"]))
        found = replay(experiment, Path(str(task["run"])), words)
    except ResearchError as error:
        found = Replayed(False, f"{NOT_REPLAYED}: {error}")
    except Exception as error:
        found = Replayed(False, f"{NOT_REPLAYED}: {type(error).__name__}: {error}")
    return {**asdict(found), "seconds": round(time.monotonic() - began, 3)}


if __name__ == "__main__":
    answer_tasks(answer)
