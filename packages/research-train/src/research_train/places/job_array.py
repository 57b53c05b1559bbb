"""Have runs made by job arrays, each of them submitted once, and wait for them.

The elements that an earlier command has submitted are found by their job's folder, and waited for
instead of being submitted again.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from research_data.shown import counted, first_few

from research_train.errors import CommandError
from research_train.experiment.members import Experiment
from research_train.places import slurm
from research_train.places.job_folders import Element, elements, standing
from research_train.places.slurm import LASTING, Seen
from research_train.places.submission import Wanted, submit_array
from research_train.processes.children import Children

POLL = 1.0  # seconds between two looks at the queue at first, later LONGEST_POLL
LONGEST_POLL = 15.0
TICK = 0.2  # seconds until a signal is seen
PATIENCE = 120.0  # seconds for a job to begin that waits for what doesn't come by itself
SILENCE = 600.0  # seconds that SLURM may give no answer: its controller may be started again


def under_way(paper: str) -> dict[str, Element]:
    """Key -> the element that is queued or runs for it. Raises CommandError."""
    folders = elements(paper)
    seen = standing(folders)
    return {
        key: each for key, each in _of_key(folders).items() if each.stands(seen).state != "ended"
    }


def begin(
    experiments: Sequence[Experiment],
    wanted: Sequence[Wanted],
    there: Mapping[str, Element],
    at_once: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Element]:
    """Submit what isn't under way; returns the element of each, in their order.

    experiments: of one paper, those that are trained. there: what `under_way` gave. at_once: how
    many elements of an array run at most; by default as many as the cluster has room for. say:
    called with lines about it. Raises the errors of `submit_array`.
    """
    every = {each.key: each for each in wanted}
    new = [each for key, each in every.items() if key not in there]
    if again := len(every) - len(new):
        say(f"{counted(again, 'run')} submitted before: not submitted again")
    if new:
        made = submit_array(experiments, new, at_once)
        say(f"{counted(len(new), 'run')} submitted as job {', '.join(made)}, with the code of now")
        there = {**there, **_of_key(elements(experiments[0].member.name))}
    return [there[each.key] for each in wanted]


def arrays_of(mine: Iterable[Element]) -> list[str]:
    """The numbers of the jobs that elements belong to."""
    return list(dict.fromkeys(each.job.partition("_")[0] for each in mine))


def _of_key(folders: Mapping[Path, Iterable[Element]]) -> dict[str, Element]:
    return {each.key: each for found in folders.values() for each in found if each.key}


def wait(
    mine: Sequence[Element],
    say: Callable[[str], None],
    show: Callable[[str], None],
    ended: Callable[[Element, Seen], None] = lambda element, seen: None,
) -> None:
    """Wait until all have ended.

    say: called with a line when something happens. show: called repeatedly with how many are
    queued, running and ended. ended: called with each that has ended, and how. Raises CommandError
    where nothing will begin or SLURM gives no answer; Interrupted: the jobs go on.
    """
    arrays, left = arrays_of(mine), list(mine)
    began = answered = time.monotonic()
    with Children() as signals:
        while signals.signal is None:
            try:
                seen = slurm.look_at(arrays)
            except CommandError:
                if signals.signal is None and time.monotonic() - answered > SILENCE:
                    raise
            else:
                answered = time.monotonic()
                stand = {each.job: each.stands(seen) for each in left}
                show(_how_far(len(mine) - len(left), stand.values()))
                for each in [each for each in left if stand[each.job].state == "ended"]:
                    left.remove(each)
                    ended(each, stand[each.job])
                if not left:
                    break
                if time.monotonic() - began > PATIENCE:
                    _refuse_to_wait([stand[each.job] for each in left], arrays)
            _pause(min(LONGEST_POLL, max(POLL, (answered - began) / 60)), signals)
    if signals.signal is not None:
        say(
            f"the jobs go on without this process: {', '.join(arrays)}. The same command waits for "
            f"them again; `scancel {' '.join(arrays)}` ends them."
        )
    signals.raise_if_stopped()


def _pause(seconds: float, signals: Children) -> None:
    until = time.monotonic() + seconds
    while signals.signal is None and time.monotonic() < until:
        time.sleep(TICK)


def _how_far(over: int, stand: Iterable[Seen]) -> str:
    """How many are queued (with SLURM's reasons), running and ended. over: that ended before."""
    stand = list(stand)
    states = Counter(each.state for each in stand)
    why = Counter(each.reason for each in stand if each.state == "waiting")
    reasons = [reason for reason, _ in why.most_common() if reason != "None"]
    shown = f" ({first_few(reasons, 2)})" if reasons else ""
    return (
        f"{states['waiting']} queued{shown}, {states['running']} running, "
        f"{over + states['ended']} ended"
    )


def _refuse_to_wait(stand: Sequence[Seen], arrays: Sequence[str]) -> None:
    """Raise CommandError if none of the jobs will begin by itself."""
    if any(each.state != "waiting" for each in stand):
        return
    reasons = {each.reason for each in stand}
    if reasons and reasons.issubset(LASTING):
        raise CommandError(
            f"{counted(len(stand), 'run')} won't begin: SLURM says {', '.join(sorted(reasons))}. "
            "They stay queued. Have that changed and give the same command, which waits for them, "
            f"or remove them with `scancel {' '.join(arrays)}` and change slurm.yaml."
        )
