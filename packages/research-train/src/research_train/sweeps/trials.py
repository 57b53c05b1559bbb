"""Train the settings of a sweep: what next, where, and what came out.

Nothing is remembered but what is on disk: Optuna's journal says which settings were chosen and how
they ended, the run folders which of their runs there are. So a sweep that was killed goes on.
"""

import os
import statistics
import time
from collections.abc import Callable, Container
from dataclasses import replace

from research_data.assets.verify import count_cores
from research_data.shown import counted

from research_train.errors import RunError
from research_train.experiment.config_values import load_config
from research_train.experiment.members import Experiment
from research_train.history.changes import label_run
from research_train.processes.cards import cards_for, on_card
from research_train.processes.children import Children
from research_train.processes.hash_seed import FIXED, VARIABLE
from research_train.record.summary import RunSummary
from research_train.sweeps.metric import metric_of_run
from research_train.sweeps.seats import Seat, TrainSeat, WorkerSeat
from research_train.sweeps.space import Choices, words_of
from research_train.sweeps.study import Study, Trial
from research_train.sweeps.sweep_file import Sweep
from research_train.sweeps.under_way import (
    Due,
    Job,
    UnderWay,
    has_diverged,
    new_values,
    run_of,
    settled_run_of,
)
from research_train.sweeps.worker import DIED, STOPPED, Task
from research_train.versions.hand_over import has_releases

POLL = 0.02  # seconds between two looks at the seats
REPORTS = 0.2  # seconds between two looks at a run's metrics for the pruner
TRIES = 3  # of a run whose process died without a word
HOPELESS = 3  # failed trials before any completed, after which the sweep stops
PRUNED_TAG = "pruned"


class Trials:
    """The trials of a sweep while they are trained.

    limit: how many to begin in all; None: those of the grid. say: called with a line for each run
    and trial that ends. show: called repeatedly with how far all is.
    """

    def __init__(
        self,
        sweep: Sweep,
        experiment: Experiment,
        study: Study,
        limit: int | None,
        jobs: int | None = None,
        say: Callable[[str], None] = lambda line: None,
        show: Callable[[str], None] = lambda line: None,
    ):
        self._sweep, self._experiment, self._study = sweep, experiment, study
        self._limit, self._say, self._show = limit, say, show
        self._jobs = jobs
        self._under_way: list[UnderWay] = []
        self._running: list[Job] = []
        self._free: list[Seat] = []
        self._begun = len(study.trials())
        self._known = {_key(t): t for t in study.trials() if t.state not in ("running", "failed")}
        self._failed = 0
        self._exhausted = False
        self._runs = 0

    def train(self) -> None:
        """Train until all trials have ended.

        Raises Interrupted after all runs under way have stopped at a checkpoint; UsageError if the
        runs lack the metric; RunError if the first trials all fail, or code is edited meanwhile.
        """
        cards = cards_for(self._devices())
        jobs = self._jobs or min(len(cards), count_cores()) or count_cores()
        environment = {"OMP_NUM_THREADS": str(max(1, count_cores() // jobs)), **os.environ}
        environment[VARIABLE] = FIXED  # else each worker starts itself again: 0.4 s
        kind = TrainSeat if has_releases(self._experiment.member) else WorkerSeat
        self.adopt()
        with Children() as children:
            seats: list[Seat] = []
            for number in range(jobs):
                card = cards[number % len(cards)] if cards else None
                seats.append(kind(children, self._experiment, on_card(environment, card)))
            self._free = seats[::-1]  # of which the last is taken first
            try:
                while True:
                    if children.signal is None:
                        self._start_more()
                    if not self._running:
                        break
                    time.sleep(POLL)
                    self._look()
            except BaseException:
                self._stop_all()
                raise
            for seat in seats:
                seat.close()
        children.raise_if_stopped()

    def _devices(self) -> list[str]:
        """What the configs of the runs call `device`."""
        varied = self._sweep.space.dimensions.get("device")
        if isinstance(varied, Choices):
            return list(varied.words)
        return [load_config(self._experiment, self._sweep.fixed).device]

    def _start_more(self) -> None:
        while self._free and (due := self.due()) is not None:
            seat = self._free.pop()
            seat.start(due.task)
            self._running.append(Job(seat, due, time.monotonic()))

    def due(self, at_work: Container[tuple[int, int]] = ()) -> Due | None:
        """The next run to begin, or in at_work, the trials' numbers and seeds of those begun."""
        while (found := self._next()) is not None:
            under_way, seed = found
            begun = (under_way.trial.number, seed) in at_work
            run = None if begun else settled_run_of(self._sweep, under_way.trial, seed)
            if run is not None and run.status == "completed":  # by the start before
                under_way.values[seed] = metric_of_run(run, self._sweep.metric)
                self._finish(under_way)
                continue
            under_way.running += 1
            under_way.tries[seed] = under_way.tries.get(seed, 0) + 1
            return Due(under_way, seed, self._task(under_way.trial, seed, run))
        return None

    def all_due(self, at_work: Container[tuple[int, int]] = ()) -> list[Due]:
        """All runs that can begin now, those in at_work among them."""
        found = []
        while (due := self.due(at_work)) is not None:
            found.append(due)
        return found

    def _next(self) -> tuple[UnderWay, int] | None:
        """The next run: of the oldest trial that has one to begin, else of a new trial."""
        for each in self._under_way:
            # A pruner judges a setting by its first seed: the others wait for that.
            waits = self._sweep.pruner != "none" and each.running
            if each.left and each.ended is None and not waits:
                return each, each.left.pop(0)
        if self._exhausted or (self._limit is not None and self._begun >= self._limit):
            return None
        while (trial := self._study.ask()) is not None:
            self._begun += 1
            if not self._is_known(trial):
                begun = UnderWay(trial, list(self._sweep.seeds))
                self._under_way.append(begun)
                return begun, begun.left.pop(0)
            if self._limit is not None and self._begun >= self._limit:
                return None
        self._exhausted = True
        return None

    def _is_known(self, trial: Trial) -> bool:
        """Whether a trial ends as another of its setting, which has ended or is under way.

        A sampler may draw a setting of lists again, and its runs would be the same.
        """
        before = self._known.get(_key(trial))
        if before is not None:
            why = f"as trial {before.number}"
            self._study.tell(trial.number, before.state, before.value, why)
            return True
        for each in self._under_way:
            if _key(each.trial) == _key(trial):
                each.same.append(trial.number)
                return True
        return False

    def adopt(self) -> None:
        """Go on with the trials that an earlier process has begun."""
        for each in self._study.trials():
            if each.state == "running" and not self._is_known(trial := self._study.go_on(each)):
                self._under_way.append(UnderWay(trial, list(self._sweep.seeds)))

    def _task(self, trial: Trial, seed: int, run: RunSummary | None) -> Task:
        """What is to be trained of a seed. run: its newest, if there is one."""
        words = [*self._sweep.fixed, *words_of(trial.setting), f"seed={seed}"]
        resume = run.id if run is not None and run.status in ("interrupted", "failed") else None
        return Task(words, self._sweep.run_name(trial.number), self._sweep.name, resume)

    def _look(self) -> None:
        """Take note of the runs that have ended, and let the pruner judge the others."""
        for job in list(self._running):
            try:
                why = job.seat.ended()
            except RunError:  # it was refused, and isn't under way
                self._running.remove(job)
                raise
            if why is None:
                self._judge(job)
                continue
            self._running.remove(job)
            self._free.append(job.seat)
            self.take(job.due, why, time.monotonic() - job.began, job.stopping)
        self._show(self._state())

    def take(self, due: Due, why: str, seconds: float | None = None, pruning: bool = False) -> None:
        """Take note of how a run has ended.

        why: "" or why it didn't complete. seconds: that it took, by default as it says. pruning:
        whether it was told to stop.
        """
        of, seed, label = due.of, due.seed, due.label
        of.running -= 1
        run = settled_run_of(self._sweep, of.trial, seed)
        if run is not None and run.record is not None and run.record.group is None:
            run = label_run(run, group=self._sweep.name)  # a release, which knows no --group
        took = (run.seconds if run is not None else None) if seconds is None else seconds
        status = run.status if run is not None else "failed"
        if run is not None and status == "completed":
            self._runs += 1
            value = metric_of_run(run, self._sweep.metric)
            of.values[seed] = value
            of.ended = None  # it may have completed before it could be pruned
            shown = "not finite" if value is None else f"{value:.4g}"
            self._say(f"done: {label}: {self._sweep.metric} {shown} ({took or 0:.1f} s)")
        elif status == "interrupted" and pruning and of.ended == "pruned":
            label_run(run, tags=[PRUNED_TAG]) if run is not None else None
            self._say(f"pruned: {label} at step {of.step}")
        elif run is not None and has_diverged(run):
            of.values[seed] = None
            self._say(f"diverged: {label} ({took or 0:.1f} s)")
        elif why == STOPPED:
            return  # by a signal: the next start goes on
        elif status == "interrupted" or why == DIED:
            if of.tries.get(seed, 0) < TRIES:
                self._say(f"again: {label}, as {DIED}")
                of.left.insert(0, seed)
                return
            of.ended, of.why = "failed", f"{DIED} {TRIES} times"
            self._say(f"failed: {label}: {of.why}")
        else:
            error = run.record.error if run is not None and run.record else None
            of.ended, of.why = "failed", why or (error.message if error else "")
            self._say(f"failed: {label}: {of.why}")
        self._finish(of)

    def _finish(self, trial: UnderWay) -> None:
        """Report a trial to the study once none of its runs is left."""
        if trial.running or (trial.left and trial.ended is None):
            return
        if trial not in self._under_way:
            return
        self._under_way.remove(trial)
        number, numbers = trial.trial.number, list(trial.values.values())
        finite = [each for each in numbers if each is not None]
        state, value, why = trial.ended, None, trial.why
        if state is None and len(finite) < len(numbers):
            state = "diverged"
            why = f"{len(numbers) - len(finite)} of {counted(len(numbers), 'seed')} diverged"
        elif state is None:
            state, value = "complete", statistics.fmean(finite)
        self._study.tell(number, state, value, why)
        for each in trial.same:
            self._study.tell(each, state, value, f"as trial {number}")
        if state == "failed":
            self._failed += 1
        else:
            self._known[_key(trial.trial)] = replace(trial.trial, state=state, value=value)
        if self._failed >= HOPELESS and not self._known:
            raise RunError(
                f"the first {HOPELESS} trials all failed; the last one: {trial.why}\n"
                "Correct that and start the sweep again: it tries them once more"
            )

    def _judge(self, job: Job) -> None:
        """Report a run's new values to the pruner, and stop the run if it says so."""
        now = time.monotonic()
        first = self._sweep.seeds[0]
        if self._sweep.pruner == "none" or job.due.seed != first or job.stopping:
            return
        if now - job.looked < REPORTS:
            return
        job.looked = now
        if job.folder is None:
            run = run_of(self._sweep, job.due.of.trial, job.due.seed)
            if run is None:
                return
            job.folder = run.folder
        for step, value in new_values(job, self._sweep.metric):
            job.due.of.step = step
            if self._study.report(job.due.of.trial.number, step, value):
                job.due.of.ended, job.stopping = "pruned", True
                job.seat.stop()
                return

    def _stop_all(self) -> None:
        """Stop the runs under way at a checkpoint, and wait for them."""
        for job in self._running:
            job.seat.stop()
        while self._running:
            time.sleep(POLL)
            for job in list(self._running):
                try:
                    over = job.seat.ended() is not None
                except RunError:
                    over = True
                if over:
                    self._running.remove(job)

    def _state(self) -> str:
        ended = self._begun - len(self._under_way)
        of = f" of {self._limit}" if self._limit else ""
        under_way = ", ".join(job.due.label for job in self._running)
        return f"{counted(ended, 'trial')}{of}, {counted(self._runs, 'run')} done; {under_way}"


def _key(trial: Trial) -> tuple[tuple[str, str], ...]:
    """What tells settings apart."""
    return tuple(trial.setting.items())
