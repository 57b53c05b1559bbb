"""Train the runs that claims lack as a job array of a cluster, and wait for them."""

from collections.abc import Callable, Mapping, Sequence

from research_train.evidence.trainings import Failed, NeededRun, Setting
from research_train.experiment.members import Member
from research_train.history.table import runs
from research_train.places.in_a_job import job_tag
from research_train.places.job_array import begin, under_way, wait
from research_train.places.job_folders import Element
from research_train.places.submission import Wanted


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
    wanted = [Wanted(_words(each), f"{fingerprints[each.setting]} {each.seed}") for each in missing]
    names = dict.fromkeys(each.setting.experiment for each in missing)
    experiments = [member.experiment(name) for name in names]
    mine = begin(experiments, wanted, under_way(member.name), jobs, say)
    wait(mine, say, show)
    return _failed(member, list(zip(missing, mine, strict=True)))


def _words(needed: NeededRun) -> tuple[str, ...]:
    experiment = needed.setting.experiment
    if needed.resume is not None:
        return experiment, "--resume", needed.resume.id
    return experiment, *needed.setting.overrides, f"seed={needed.seed}"


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
            failed.append(Failed(needed, element.last_words))
    return failed
