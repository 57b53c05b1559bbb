"""Train the runs that claims lack as a job array of a cluster, and wait for them.

The elements that an earlier `reproduce` has submitted are found by their job's folder, and waited
for instead of being submitted again.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from research_data.shown import counted, first_few

from research_train.errors import CommandError
from research_train.evidence.trainings import Failed, NeededRun, Setting, last_line
from research_train.experiment.members import Member
from research_train.history.table import runs
from research_train.places import slurm
from research_train.places.in_a_job import job_tag
from research_train.places.job_folders import Element, elements, standing
from research_train.places.slurm import Seen
from research_train.places.submission import Wanted, submit_array
from research_train.processes.children import Children

POLL = 1.0  # seconds between two looks at the queue at first, later LONGEST_POLL
LONGEST_POLL = 15.0
TICK = 0.2  # seconds until a signal is seen
PATIENCE = 120.0  # seconds for a job to begin that waits for what doesn't come by itself
SILENCE = 600.0  # seconds that SLURM may give no answer: its controller may be started again
# Reasons for which a job waits until a person does something.
LASTING = (
    *("AccountNotAllowed", "BadConstraints", "InvalidAccount", "InvalidQOS", "JobHeldAdmin"),
    *("JobHeldUser", "PartitionConfig", "PartitionDown", "PartitionInactive"),
    *("PartitionNodeLimit", "PartitionTimeLimit", "QOSNotAllowed"),
)


def train_on_cluster(
    member: Member,
    missing: Sequence[NeededRun],
    fingerprints: Mapping[Setting, str],
    jobs: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    show: Callable[[str], None] = lambda line: None,
) -> list[Failed]:
    """Train these runs on a cluster; returns the failed ones.

    fingerprints: of the present code, for every setting. jobs: how many elements of an array run at
    most; by default as many as the cluster has room for. say: called with a line when something
    happens. show: called repeatedly with how many are queued, running and ended. Raises
    CommandError for what the cluster refuses, and where nothing will begin; Interrupted: the jobs
    go on.
    """
    by_key = {f"{fingerprints[each.setting]} {each.seed}": each for each in missing}
    there = _under_way(member)
    new = {key: each for key, each in by_key.items() if key not in there}
    if again := len(by_key) - len(new):
        say(f"{counted(again, 'run')} submitted before: not submitted again")
    if new:
        names = dict.fromkeys(each.setting.experiment for each in new.values())
        wanted = [Wanted(_words(each), key) for key, each in new.items()]
        made = submit_array([member.experiment(name) for name in names], wanted, jobs)
        say(f"{counted(len(new), 'run')} submitted as job {', '.join(made)}, with the code of now")
        there = {**there, **_of_key(elements(member.name))}
    mine = [(each, there[key]) for key, each in by_key.items()]
    _wait([element for _, element in mine], say, show)
    return _failed(member, mine)


def _words(needed: NeededRun) -> tuple[str, ...]:
    experiment = needed.setting.experiment
    if needed.resume is not None:
        return experiment, "--resume", needed.resume.id
    return experiment, *needed.setting.overrides, f"seed={needed.seed}"


def _under_way(member: Member) -> dict[str, Element]:
    """Key -> the element that is queued or runs for it."""
    folders = elements(member.name)
    seen = standing(folders)
    found = _of_key(folders)
    return {
        key: each
        for key, each in found.items()
        if each.job in seen and seen[each.job].state != "ended"
    }


def _of_key(folders: Mapping[Path, Iterable[Element]]) -> dict[str, Element]:
    return {each.key: each for found in folders.values() for each in found if each.key}


def _wait(mine: Sequence[Element], say: Callable[[str], None], show: Callable[[str], None]) -> None:
    """Wait until all have ended."""
    arrays = list(dict.fromkeys(each.job.partition("_")[0] for each in mine))
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
                left = [each for each in mine if _state(seen, each) != "ended"]
                show(_how_far(mine, seen))
                if not left:
                    break
                if time.monotonic() - began > PATIENCE:
                    _refuse_to_wait(left, seen, arrays)
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


def _state(seen: Mapping[str, Seen], element: Element) -> str:
    return seen[element.job].state if element.job in seen else "ended"


def _how_far(mine: Iterable[Element], seen: Mapping[str, Seen]) -> str:
    """How many are queued (with SLURM's reasons), running and ended."""
    states = Counter(_state(seen, each) for each in mine)
    why = Counter(seen[each.job].reason for each in mine if _state(seen, each) == "waiting")
    reasons = [reason for reason, _ in why.most_common() if reason != "None"]
    shown = f" ({first_few(reasons, 2)})" if reasons else ""
    return (
        f"{states['waiting']} queued{shown}, {states['running']} running, {states['ended']} ended"
    )


def _refuse_to_wait(
    left: Sequence[Element], seen: Mapping[str, Seen], arrays: Sequence[str]
) -> None:
    """Raise CommandError if none of the jobs will begin by itself."""
    reasons = {seen[each.job].reason for each in left if _state(seen, each) == "waiting"}
    if any(_state(seen, each) != "waiting" for each in left):
        return
    if reasons and reasons.issubset(LASTING):
        raise CommandError(
            f"{counted(len(left), 'run')} won't begin: SLURM says {', '.join(sorted(reasons))}. "
            "They stay queued. Have that changed and give the same command, which waits for them, "
            f"or remove them with `scancel {' '.join(arrays)}` and change slurm.yaml."
        )


def _failed(member: Member, mine: Sequence[tuple[NeededRun, Element]]) -> list[Failed]:
    """The runs that did not complete, each with the last line of its log."""
    tags: dict[str, str] = {}
    status: dict[str, str] = {}
    for run in runs(member.name):
        status[run.id] = run.status
        tags |= dict.fromkeys(run.record.tags if run.record else (), run.id)
    failed = []
    for needed, element in mine:
        run_id = needed.resume.id if needed.resume else tags.get(job_tag(element.job))
        if run_id is None or status.get(run_id) != "completed":
            failed.append(Failed(needed, f"{_last_words(element)} ({element.log})"))
    return failed


def _last_words(element: Element) -> str:
    try:
        with element.log.open("rb") as log:
            return last_line(log) or "it said nothing"
    except OSError:
        return "it has not begun"
