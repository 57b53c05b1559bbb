"""Accept runs of older code as evidence for the present code.

    assets/outputs/<paper>/carried.json    one entry per setting and code, written by `reproduce`

When only code or package versions changed since sealed runs, one run of each setting and older code
is replayed (replay.py), instead of training all of them again. If all lines of metrics and all
weights are equal bit by bit, all runs with that fingerprint count as evidence for the present one.
The records of the runs stay as they are. The outcome of each replay is an entry in this file, with
the seal of the replayed run and a hash of the entry.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from research_data import get_assets_dir, get_outputs_dir
from research_data.assets.verify import count_cores
from research_data.durable import write_json

from research_train.code.fingerprint import NEUTRAL_KEYS
from research_train.evidence.replay import NOT_REPLAYED
from research_train.evidence.trainings import NeededRun, Setting
from research_train.experiment.config import TrainConfig
from research_train.experiment.members import Member
from research_train.processes.children import Children
from research_train.record.folders import COMPILED_VARIABLE, compiled_folder
from research_train.record.record import checkpoint_folders, utc_now, was_lengthened
from research_train.record.summary import RunSummary

CARRIED = "carried.json"
REPLAYS = ".replays"  # folder in the outputs for runs that are trained only to be compared


@dataclass(frozen=True)
class Carried:
    """The outcome of a replay: whether the runs of one fingerprint count for another as well.

    origin: the fingerprint of the runs; fingerprint: that of the code they were replayed under.
    run, seed, seal: of the run that was replayed. head: last step of the replayed first part; tail:
    first and last step of the replayed end; both None if the whole run was replayed. why: what
    differed. seconds: how long the replay took; moment: when it was made, in UTC.
    """

    experiment: str
    overrides: list[str]
    origin: str
    fingerprint: str
    run: str
    seed: int
    seal: str | None
    equal: bool
    why: str | None
    head: int | None
    tail: list[int] | None
    seconds: float
    moment: str

    @property
    def replayed(self) -> str:
        """Which part of the run was replayed, as text."""
        if self.tail is None:
            return "the whole run"
        return f"steps 1 to {self.head} and {self.tail[0] + 1} to {self.tail[1]}"


@dataclass(frozen=True)
class Candidate:
    """Runs of older code for a setting that lacks evidence, one of which is to be replayed."""

    setting: Setting
    fingerprint: str  # of the present code
    origin: str  # of the older code
    run: RunSummary  # the one to replay


def read_carried(paper: str) -> list[Carried]:
    """The recorded outcomes of a paper's replays, without entries that were changed by hand."""
    try:
        entries = json.loads((get_outputs_dir() / paper / CARRIED).read_text(encoding="utf-8"))
        return [
            Carried(**entry["carried"])
            for entry in entries
            if _hash(entry["carried"]) == entry["sha256"]
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def origins(carried: Iterable[Carried], fingerprint: str) -> list[str]:
    """The fingerprints whose runs count for this one, beginning with itself."""
    equal = [c.origin for c in carried if c.fingerprint == fingerprint and c.equal]
    return [fingerprint, *dict.fromkeys(equal)]


def candidates(
    needed: Sequence[NeededRun],
    fingerprints: Mapping[Setting, str],
    configs: Mapping[Setting, Mapping[str, Any]],
    assets: Mapping[Setting, Mapping[str, str]],
    there: Sequence[RunSummary],
    judged: Collection[tuple[Setting, str]] = (),
) -> list[Candidate]:
    """For each setting that lacks runs, the older run to replay, if there is one.

    Older runs qualify if they are completed and sealed, and their experiment, config and data are
    the same. Among runs of several versions of the code, the version with the most missing seeds is
    taken, then the newest. judged: settings and fingerprints of older code that are left out.
    """
    found = []
    for setting in dict.fromkeys(each.setting for each in needed if each.run is None):
        missing = {each.seed for each in needed if each.setting == setting and each.run is None}
        by_code: dict[str, list[RunSummary]] = {}
        for run in there:
            record = run.record
            if (
                record is not None
                and run.status == "completed"
                and record.experiment == setting.experiment
                and record.fingerprint not in (None, fingerprints[setting])
                and (setting, record.fingerprint) not in judged
                and record.seed in missing
                and record.assets == assets[setting]
                and _same_config(run.config, configs[setting])
                and not was_lengthened(record)
                and run.seal_state == "fits"
            ):
                by_code.setdefault(str(record.fingerprint), []).append(run)
        if by_code:
            # Runs come newest first, and so do the versions of the code.
            origin = max(by_code, key=lambda code: len({_seed(run) for run in by_code[code]}))
            run = _cheapest(by_code[origin])
            found.append(Candidate(setting, fingerprints[setting], origin, run))
    return found


def carry(
    member: Member,
    found: Sequence[Candidate],
    jobs: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Carried]:
    """Replay the candidates, several at once, and record the outcomes; returns these.

    A run that was already replayed under the present code isn't replayed again. Raises Interrupted.
    """
    known = {(each.origin, each.fingerprint, each.seal): each for each in read_carried(member.name)}
    verdicts, waiting = [], []
    for each in found:
        assert each.run.record is not None
        key = (each.origin, each.fingerprint, each.run.record.seal)
        if (before := known.get(key)) is not None:
            verdicts.append(before)
        else:
            waiting.append(each)
    if waiting:
        say(f"replay: one run of each of {len(waiting)} settings, under the present code")
        new = _replay_all(member, waiting, jobs)
        _keep(member.name, [each for each in new if not (each.why or "").startswith(NOT_REPLAYED)])
        verdicts += new
        for verdict in new:
            shown = " ".join([verdict.experiment, *verdict.overrides])
            end = "carried" if verdict.equal else f"trained again: {verdict.why}"
            say(f"{end if verdict.equal else 'not carried'}: {shown} ({verdict.replayed})")
            if not verdict.equal:
                say(f"  {verdict.why}")
    return verdicts


def _same_config(then: Mapping[str, object], now: Mapping[str, Any]) -> bool:
    """Whether a run's config is the present one, except for keys that change no number.

    A key of every config may be missing in an older run if it now has its default.
    """
    flat = _flattened(now)
    for key in then.keys() | flat.keys():
        if key in NEUTRAL_KEYS or (key in then and key in flat and then[key] == flat[key]):
            continue
        field = TrainConfig.model_fields.get(key)
        if field is None or key in then or flat[key] != field.default:
            return False
    return True


def _flattened(values: Mapping[str, Any], before: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flattened(value, f"{before}{key}.")
        else:
            flat[f"{before}{key}"] = value
    return flat


def _seed(run: RunSummary) -> int | None:
    return run.record.seed if run.record else None


def _cheapest(runs: Sequence[RunSummary]) -> RunSummary:
    """The quickest run, preferably one with a checkpoint from which its end can be replayed."""
    return min(
        runs,
        key=lambda run: (len(checkpoint_folders(run.folder)) < 2, run.seconds or float("inf")),
    )


def _replay_all(member: Member, waiting: Sequence[Candidate], jobs: int | None) -> list[Carried]:
    """Each process replays several runs, since starting one takes longer than a short replay."""
    verdicts: list[Carried] = []
    by_threads: dict[int, list[Candidate]] = {}
    for each in waiting:  # grouped, since the last bits of a sum depend on the number of threads
        assert each.run.record is not None
        by_threads.setdefault(each.run.record.environment.threads or 1, []).append(each)
    for threads, group in by_threads.items():
        at_once = min(jobs or max(1, count_cores() // threads), len(group))
        group = sorted(group, key=lambda each: each.run.seconds or 0.0, reverse=True)
        verdicts += _replay_group(member, [group[i::at_once] for i in range(at_once)], threads)
    return verdicts


def _replay_group(
    member: Member, parts: Sequence[Sequence[Candidate]], threads: int
) -> list[Carried]:
    """Replay the parts in parallel, each in a process under the paper's requirements."""
    base = get_outputs_dir() / REPLAYS
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{member.name}-", dir=base))
    try:
        with Children() as children:
            for number, part in enumerate(parts):
                _start(children, member, part, folder / str(number), threads)
            answers = [child.communicate() for child in children.started]
        children.raise_if_stopped()
        return [
            verdict
            for part, (output, errors) in zip(parts, answers, strict=True)
            for verdict in _verdicts(
                part, output.decode(errors="replace"), errors.decode(errors="replace")
            )
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(
    children: Children, member: Member, part: Sequence[Candidate], folder: Path, threads: int
) -> None:
    """Start a process that replays runs, with the real datasets and models but its own outputs."""
    folder.mkdir()
    for kind in ("datasets", "models"):
        (get_assets_dir() / kind).mkdir(exist_ok=True)
        (folder / kind).symlink_to((get_assets_dir() / kind).resolve())
    tasks = [
        {
            "run": str(each.run.folder.absolute()),
            "experiment": each.setting.experiment,
            "overrides": list(each.setting.overrides),
            "seed": _seed(each.run),
        }
        for each in part
    ]
    tasks_file = folder / "tasks.json"
    tasks_file.write_text(json.dumps(tasks), encoding="utf-8")
    module = ["-P", "-m", "research_train.evidence.replay", "--paper", member.distribution]
    with tasks_file.open() as stdin:
        children.start(
            [sys.executable, *module],
            {
                COMPILED_VARIABLE: str(compiled_folder()),
                **os.environ,
                "RESEARCH_ASSETS": str(folder),
                "OMP_NUM_THREADS": str(threads),
            },
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def _verdicts(part: Sequence[Candidate], output: str, errors: str) -> list[Carried]:
    lines = output.splitlines()
    last = errors.strip().splitlines()[-1:] or ["the process ended without a message"]
    verdicts = []
    for number, each in enumerate(part):
        record = each.run.record
        assert record is not None
        ended = {
            "equal": False,
            "why": f"{NOT_REPLAYED}: {last[0].removeprefix('error: ')}",
            "head": None,
            "tail": None,
            "seconds": 0.0,
        }
        verdicts.append(
            Carried(
                experiment=each.setting.experiment,
                overrides=list(each.setting.overrides),
                origin=each.origin,
                fingerprint=each.fingerprint,
                run=each.run.id,
                seed=record.seed,
                seal=record.seal,
                moment=utc_now(),
                **(json.loads(lines[number]) if number < len(lines) else ended),
            )
        )
    return verdicts


def _keep(paper: str, new: Sequence[Carried]) -> None:
    entries = [*read_carried(paper), *new]
    content = [{"carried": asdict(each), "sha256": _hash(asdict(each))} for each in entries]
    write_json(get_outputs_dir() / paper / CARRIED, content)


def _hash(carried: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(carried, sort_keys=True).encode()).hexdigest()
