"""Ask Optuna what to train next, and tell it what came out; it keeps that in a journal on disk.

The only module that imports Optuna, inside its functions: nothing but a sweep needs it.
"""

import hashlib
import json
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from research_data import StorageError
from research_data.errors import UsageError

from research_train.errors import RunError
from research_train.sweeps.space import Choices, Range, Space

if TYPE_CHECKING:
    import optuna

Sampler = Literal["grid", "random", "tpe", "gp", "qmc"]
Pruner = Literal["none", "median", "halving", "hyperband"]
Direction = Literal["max", "min"]
State = Literal["running", "complete", "pruned", "diverged", "failed"]

STUDY = "sweep"  # the name of the one study in a journal
_ENDED = "ended"  # trial attributes of ours: how it ended, why it failed, that it was tried again
_WHY = "why"
_AGAIN = "again"


@dataclass(frozen=True)
class Trial:
    """A setting that was chosen. setting: key -> word. value: the mean of its metric over seeds.

    why: why its runs failed.
    """

    number: int
    setting: dict[str, str]
    state: State
    value: float | None = None
    why: str | None = None


class Study:
    """The trials of one sweep, in a journal that only this process writes to."""

    def __init__(
        self,
        file: Path,
        space: Space,
        sampler: Sampler,
        pruner: Pruner,
        direction: Direction,
        sampler_seed: int = 0,
    ):
        """Open the journal, or begin it. Raises RunError for a damaged one, StorageError."""
        optuna = _optuna()
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        if file.exists():
            _mend(file)
        self._space, self._sampler, self._seed = space, sampler, sampler_seed
        # This process alone holds the sweep: a lock that a killed one left is in nobody's use.
        lock = JournalFileOpenLock(str(file))
        with suppress(FileNotFoundError):
            Path(f"{file}.lock").unlink()
        try:
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(file), lock_obj=lock)),
                study_name=STUDY,
                direction="maximize" if direction == "max" else "minimize",
                pruner=_pruner(pruner),
                load_if_exists=True,
            )
            _ = self._study.trials
        except OSError as error:
            raise StorageError(file, error) from error
        except Exception as error:  # whatever Optuna raises for a journal it can't replay
            raise RunError(_damaged(file, f"{type(error).__name__}: {error}")) from error
        self._open: dict[int, Any] = {}  # number -> Optuna's trial
        self._grid: dict[str, dict[str, str | int | float]] | None = None  # by its JSON
        if sampler == "grid":
            settings = map(self._values, space.settings())
            self._grid = {json.dumps(each): each for each in settings}

    def trials(self) -> list[Trial]:
        """The trials that were begun, oldest first; without failed ones that were tried again."""
        every = self._every()
        again = {each.user_attrs.get(_AGAIN) for each in every}
        waiting = _optuna().trial.TrialState.WAITING
        begun = [each for each in every if each.state != waiting and each.number not in again]
        return [self._shown(each) for each in begun]

    def ask(self) -> Trial | None:
        """The next setting to try; None where a grid has no other."""
        every = self._every()
        waiting = _optuna().trial.TrialState.WAITING
        if self._grid is not None and all(each.state != waiting for each in every):
            tried = {json.dumps(each.system_attrs.get("fixed_params")) for each in every}
            left = next((each for key, each in self._grid.items() if key not in tried), None)
            if left is None:
                return None
            self._study.enqueue_trial(left)
        # A sampler made for each trial: a resumed sweep then draws on, not the same numbers again.
        self._study.sampler = self._new_sampler(len(every))
        return self._suggested(self._study.ask())

    def go_on(self, trial: Trial) -> Trial:
        """A trial that a process which is gone has begun; its setting is completed."""
        optuna = _optuna()
        self._study.sampler = self._new_sampler(trial.number)
        [frozen] = [each for each in self._every() if each.number == trial.number]
        return self._suggested(optuna.trial.Trial(self._study, frozen._trial_id))

    def report(self, number: int, step: int, value: float) -> bool:
        """Report an intermediate value; returns whether the pruner would stop the trial."""
        trial = self._open[number]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a run that is resumed reports a step again
            trial.report(value, step)
        return bool(trial.should_prune())

    def tell(
        self, number: int, state: State, value: float | None = None, why: str | None = None
    ) -> None:
        """Say how a trial ended, one that `ask` or `go_on` gave. value: of a complete one."""
        states = _optuna().trial.TrialState
        # A diverged setting is told as pruned: samplers then learn from it that it is bad.
        told = {"complete": states.COMPLETE, "failed": states.FAIL}.get(state, states.PRUNED)
        trial = self._open[number]
        trial.set_user_attr(_ENDED, state)
        if why:
            trial.set_user_attr(_WHY, why[:1000])
        self._study.tell(number, value if state == "complete" else None, state=told)

    def try_failed_again(self) -> None:
        """Queue the settings of failed trials once more."""
        failed = {each.number for each in self.trials() if each.state == "failed"}
        queued = {each.user_attrs.get(_AGAIN) for each in self._every()}
        for each in self._every():
            if each.number in failed - queued:
                fixed = each.system_attrs.get("fixed_params", each.params)
                self._study.enqueue_trial(fixed, user_attrs={_AGAIN: each.number})

    def _every(self) -> "list[optuna.trial.FrozenTrial]":
        found: list[optuna.trial.FrozenTrial] = self._study.get_trials(deepcopy=False)
        return found

    def _suggested(self, trial: "optuna.Trial") -> Trial:
        for key, each in self._space.dimensions.items():
            _suggest(trial, key, each)
        self._open[trial.number] = trial
        return Trial(trial.number, self._setting(trial.params), "running")

    def _shown(self, trial: "optuna.trial.FrozenTrial") -> Trial:
        state = self._state(trial)
        value = trial.value if state == "complete" else None
        why = trial.user_attrs.get(_WHY)
        return Trial(trial.number, self._setting(trial.params), state, value, why)

    def _state(self, trial: "optuna.trial.FrozenTrial") -> State:
        if not trial.state.is_finished():
            return "running"
        said: State = trial.user_attrs.get(_ENDED, "failed")
        return said if said in get_args(State) else "failed"

    def _setting(self, params: dict[str, Any]) -> dict[str, str]:
        setting = {}
        for key, each in self._space.dimensions.items():
            if key in params:  # a process killed while it asked has left some out
                value = params[key]
                setting[key] = each.word(value) if isinstance(each, Range) else str(value)
        return setting

    def _values(self, setting: dict[str, str]) -> dict[str, str | int | float]:
        """The values of a grid's setting as Optuna has them."""
        found: dict[str, str | int | float] = {}
        for key, word in setting.items():
            each = self._space.dimensions[key]
            found[key] = word if isinstance(each, Choices) else each.number(word)
        return found

    def _new_sampler(self, number: int) -> "optuna.samplers.BaseSampler":
        samplers = _optuna().samplers
        drawn = hashlib.sha256(json.dumps([self._seed, number]).encode()).digest()
        seed = int.from_bytes(drawn[:4], "big")
        made: dict[Sampler, Callable[[], optuna.samplers.BaseSampler]] = {
            "grid": lambda: samplers.RandomSampler(seed),  # of a grid, all is queued
            "random": lambda: samplers.RandomSampler(seed),
            # constant_liar: trainings under way count, so that jobs don't try the same.
            "tpe": lambda: samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
            "gp": lambda: samplers.GPSampler(seed=seed),
            "qmc": lambda: samplers.QMCSampler(seed=self._seed, scramble=True),
        }
        return made[self._sampler]()


def _suggest(trial: "optuna.Trial", key: str, dimension: Choices | Range) -> None:
    if isinstance(dimension, Choices):
        trial.suggest_categorical(key, dimension.words)
    elif dimension.integer:
        low, high = int(dimension.low), int(dimension.high)
        trial.suggest_int(key, low, high, log=dimension.logarithmic)
    else:
        trial.suggest_float(key, dimension.low, dimension.high, log=dimension.logarithmic)


def _pruner(name: Pruner) -> "optuna.pruners.BasePruner":
    pruners = _optuna().pruners
    made: dict[Pruner, Callable[[], optuna.pruners.BasePruner]] = {
        "none": pruners.NopPruner,
        "median": pruners.MedianPruner,
        "halving": pruners.SuccessiveHalvingPruner,
        "hyperband": pruners.HyperbandPruner,
    }
    return made[name]()


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise UsageError(
            "a sweep needs Optuna, which isn't installed: run `uv sync --all-packages`, or add "
            "research-train[sweep] to what requires research-train"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def _mend(file: Path) -> None:
    """Cut off the half line that a killed process has left. Raises RunError: other damage."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StorageError(file, error) from error
    whole = content[: content.rfind(b"\n") + 1]
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            known = isinstance(json.loads(line)["op_code"], int)
        except (ValueError, KeyError, TypeError, RecursionError):
            known = False
        if not known:
            raise RunError(_damaged(file, f"line {number} is not an entry"))
    if len(whole) < len(content):
        with file.open("r+b") as opened:
            opened.truncate(len(whole))


def _damaged(file: Path, why: str) -> str:
    return (
        f"{file}: the journal of this sweep is damaged ({why}). Put it back from a backup, or use "
        "another --name: the runs themselves are whole, and `run list --group` lists them."
    )
