"""Run several trainings at once, each as a `train` under its paper's requirements."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from research_data.assets.verify import count_cores

from research_train.experiment.members import Member
from research_train.processes.cards import least_used, on_card
from research_train.processes.children import Children, last_line
from research_train.record.summary import RunSummary

POLL = 0.1  # seconds between two looks at the processes


@dataclass(frozen=True)
class Setting:
    """What is trained, without the seed: an experiment and `key=value` words."""

    experiment: str
    overrides: tuple[str, ...]

    @property
    def label(self) -> str:
        """What to call it in a list."""
        return " ".join([self.experiment, *self.overrides])


@dataclass(frozen=True)
class NeededRun:
    """A run that claims rest on.

    run: the evidence, if it exists; resume: an interrupted run to resume; seconds: how long a run
    with another seed took; edited: runs that were changed after they ended, so aren't evidence.
    """

    setting: Setting
    seed: int
    run: RunSummary | None = None
    resume: RunSummary | None = None
    seconds: float | None = None
    edited: Sequence[RunSummary] = ()

    @property
    def label(self) -> str:
        """What to call it in a list."""
        return f"{self.setting.label} seed={self.seed}"


@dataclass(frozen=True)
class Failed:
    """A run that gave no number, and why."""

    needed: NeededRun
    why: str


@dataclass(frozen=True)
class Training:
    """A running training.

    stderr: a file, since a full pipe that nobody reads would block it. card: the GPU it was given.
    """

    needed: NeededRun
    process: "subprocess.Popen[bytes]"
    stderr: IO[bytes]
    began: float
    card: str | None = None

    @property
    def seconds(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.began

    def last_line(self) -> str:
        """The last line of its stderr: its progress, or why it failed."""
        return last_line(self.stderr)


@dataclass
class Work:
    """The state of all trainings. seconds: setting -> how long a completed training took."""

    waiting: list[NeededRun]
    jobs: int
    under_way: list[Training] = field(default_factory=list)
    done: list[NeededRun] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    seconds: dict[Setting, float] = field(default_factory=dict)

    def take_next(self) -> NeededRun:
        """Remove and return the longest waiting run, so that no core waits for a late one.

        Runs of unknown length come first, until one run of their setting is running.
        """
        begun = {each.needed.setting: each.seconds for each in self.under_way}

        def length(needed: NeededRun) -> float:
            setting = needed.setting
            known = self.seconds.get(setting) or needed.seconds or begun.get(setting)
            return float("inf") if known is None else known

        chosen = max(self.waiting, key=length)  # the first of equally long ones
        self.waiting.remove(chosen)
        return chosen

    def seconds_left(self) -> float | None:
        """Estimated seconds until all have ended; None while the length of a setting is unknown."""
        total = 0.0
        for needed in [*self.waiting, *(each.needed for each in self.under_way)]:
            known = self.seconds.get(needed.setting) or needed.seconds
            if known is None:
                return None
            total += known
        total -= sum(each.seconds for each in self.under_way)
        return max(0.0, total / self.jobs)


def train_all(
    member: Member,
    missing: Sequence[NeededRun],
    jobs: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    show: Callable[[Work], None] = lambda work: None,
    cards: Sequence[str] = (),
) -> list[Failed]:
    """Train the missing runs, `jobs` at once (by default one per core); returns the failed ones.

    The trainings share the cores as threads, unless OMP_NUM_THREADS is set. say: called with a line
    when a training begins or ends. show: called repeatedly with the state of the trainings. cards:
    GPUs, of which each training sees the one that the fewest others use.
    Raises Interrupted, after every training has stopped at a checkpoint.
    """
    jobs = min(jobs or count_cores(), len(missing))
    threads = max(1, count_cores() // max(jobs, 1))
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    work = Work(list(missing), jobs)
    with Children() as children:
        while work.waiting or work.under_way:
            while work.waiting and len(work.under_way) < jobs and children.signal is None:
                needed = work.take_next()
                say(f"{'go on' if needed.resume else 'train'}: {needed.label}")
                card = least_used(cards, (each.card for each in work.under_way))
                work.under_way.append(_start(children, member, needed, environment, card))
            if children.signal is not None and not work.under_way:
                break
            show(work)
            time.sleep(POLL)
            for training in [each for each in work.under_way if each.process.poll() is not None]:
                work.under_way.remove(training)
                line = _ended(work, training)
                if children.signal is None:  # a stopped one has not failed
                    say(line)
    children.raise_if_stopped()
    show(work)
    return work.failed


def _ended(work: Work, training: Training) -> str:
    needed, code = training.needed, training.process.returncode
    if code == 0:
        work.done.append(needed)
        if needed.resume is None:
            work.seconds[needed.setting] = training.seconds
        line = f"done: {needed.label} ({training.seconds:.0f} s)"
    else:
        why = training.last_line() or f"exit code {code}"
        work.failed.append(Failed(needed, why))
        line = f"failed: {needed.label}: {why}"
    training.stderr.close()
    return line


def _start(
    children: Children,
    member: Member,
    needed: NeededRun,
    environment: dict[str, str],
    card: str | None,
) -> Training:
    command = [str(Path(sys.executable).with_name("train")), "--paper", member.name]
    if needed.resume is not None:
        words = ["--resume", needed.resume.id]
    else:
        words = [*needed.setting.overrides, f"seed={needed.seed}"]
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 - _ended closes it
    process = children.start(
        [*command, needed.setting.experiment, *words],
        on_card(environment, card),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )
    return Training(needed, process, stderr, time.monotonic(), card)
