"""Reproduce a paper's claims: find the runs they need, train the missing ones, and judge.

    outcome = reproduce(find_member("mnist1d", installed_members()))

A run counts as evidence for a seed if it is completed, its seal fits, and its fingerprint is that
of the present experiment. So a change in another paper, a README or an unused package requires no
training. Runs of older code count if a replay gave the same bits (carried.py). Missing runs are
trained by `train` in processes under the paper's requirements (versions/hand_over.py), several at
once; an interrupted run is resumed. Claims that await hardware which isn't here are left for
a machine that has it (hardware.py).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module

from research_data import get_outputs_dir
from research_data.assets.verify import count_cores
from research_data.errors import HubError
from research_data.lock import try_lock

from research_train.claims.claim import Claims, Finding, await_hardware, with_set_after
from research_train.errors import RunError
from research_train.evidence.carried import (
    Carried,
    carry,
    read_carried,
)
from research_train.evidence.claim_edits import ClaimSet, runs_of_setting, when_set
from research_train.evidence.findings import find, undecided_at_first_look
from research_train.evidence.hardware import plan_here, refuse_left_out, refuse_waiting
from research_train.evidence.on_cluster import train_on_cluster
from research_train.evidence.plan import Plan, Settled, plan_runs
from research_train.evidence.present_code import NotSettled
from research_train.evidence.smoke_test import try_all
from research_train.evidence.trainings import Failed, NeededRun, Setting, Work, train_all
from research_train.experiment.members import Member
from research_train.history.changes import remove_runs
from research_train.history.table import runs
from research_train.places import Place
from research_train.processes.cards import cards_for
from research_train.record.summary import RunSummary
from research_train.versions.hand_over import has_releases


@dataclass(frozen=True)
class Reproduction:
    """The outcome of `reproduce`.

    failed: runs that gave no number; they are counted, never dropped silently. edited: runs that
    aren't evidence because they were changed after they ended. set_at: claim -> when it was set,
    compared with its runs. carried: the replays by which runs of older code are evidence. tried:
    claim -> number of runs of its settings, whatever became of them and with whatever code. kept:
    claim -> its entry in an earlier results.json, made where the hardware is. left_out: claims that
    were asked for and have no finding, as their data is out of reach -> why.
    """

    member: Member
    claims: Claims
    findings: list[Finding]
    runs: dict[str, list[RunSummary]]
    failed: list[Failed]
    edited: list[RunSummary]
    quick: bool
    set_at: Mapping[str, ClaimSet] = field(default_factory=dict)
    carried: Sequence[Carried] = ()
    tried: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    left_out: Mapping[str, HubError] = field(default_factory=dict)

    @property
    def incomplete(self) -> str | None:
        """Why this isn't a complete reproduction by the paper's plan; None if it is."""
        if self.failed:
            return f"{len(self.failed)} runs gave no number"
        if self.left_out:
            return (
                f"the data of {len(self.left_out)} of {len(self.claims.claims)} claims is out of "
                "reach"
            )
        found = {each.claim.name: len(each.values) for each in self.findings}
        waiting = {each.claim.name for each in self.findings if each.verdict == "awaiting"}
        if missing := [claim.name for claim in self.claims.claims if claim.name not in found]:
            return f"{len(missing)} of {len(self.claims.claims)} claims were not asked for"
        for claim in self.claims.claims:
            if claim.name not in waiting and found[claim.name] not in claim.planned:
                planned = " or ".join(map(str, claim.planned))
                return f"{claim.name} is planned with {planned} seeds, not {found[claim.name]}"
        return None

    @property
    def holds(self) -> bool:
        """Whether every claim is reproduced, better, a known gap or awaiting, and no run failed."""
        fine = ("reproduced", "better", "known gap", "awaiting")
        return not self.failed and all(finding.verdict in fine for finding in self.findings)


def reproduce(
    member: Member,
    names: Sequence[str] = (),
    seeds: int | None = None,
    jobs: int | None = None,
    quick: bool = False,
    say: Callable[[str], None] = lambda line: None,
    show: Callable[[Work], None] = lambda work: None,
    here: bool = False,
    quiet: bool = True,
    on: Place = "local",
    show_queue: Callable[[str], None] = lambda line: None,
    settled: Settled | None = None,
) -> Reproduction:
    """Train the missing runs, and judge the claims by all runs.

    jobs: number of trainings at once; by default the number of cores, or where trainings use GPUs
    that can be listed, one per GPU. say: called with a line when a training begins or
    ends. show: called repeatedly with the state of the trainings. here: of the named claims too,
    make only those that this machine can, instead of raising. quiet: show no progress of downloads.
    on: where to train, on this machine or as jobs of a cluster (on_cluster.py), which go on after
    an interruption. show_queue: called repeatedly with how the jobs of a cluster stand. settled:
    nothing may be trained, made or fetched: raises NotSettled instead.
    Raises ClaimsError, also for a named claim whose hardware isn't here; HubError for data that is
    neither here nor can be fetched, unless the claim awaits hardware anyway; Interrupted, after
    every training has stopped at a checkpoint; RunError if another `reproduce` of the paper is
    running.
    """
    with _alone(member):
        there: list[RunSummary] = []

        def prepare() -> None:
            there.extend(runs(member.name))
            import_module("scipy.special")  # the verdicts' statistics: 0.2 s

        plan = plan_runs(member, names, seeds, quick, quiet, settled, prepare)
        chosen = [claim.name for claim in plan.chosen]
        possible = plan_here(plan, there)
        if names and not here:
            refuse_waiting(possible.waiting)
        if not here:
            refuse_left_out(possible)
        if settled is not None and _is_open(possible.plan, there):
            raise NotSettled
        plan = possible.plan
        cards = [] if on == "slurm" else cards_for(_devices(plan))
        one_each = min(len(cards), count_cores()) or None
        at_once = (jobs if on == "local" else None) or one_each or possible.at_once

        def train(missing: Sequence[NeededRun], plan: Plan) -> list[Failed]:
            if on == "slurm":
                return train_on_cluster(member, missing, plan.fingerprints, jobs, say, show_queue)
            if quick and not has_releases(member):  # a release may have no such process
                return try_all(member, missing, at_once, say)
            return train_all(member, missing, at_once, say, show, cards)

        trained = _trained(plan, there, at_once, quick, say, train)
        before = trained.before
        if more := undecided_at_first_look(plan, trained.after) if not trained.failed else []:
            say(f"undecided, and planned with more seeds: {', '.join(each.name for each in more)}")
            plan = plan.extended(more)
            trained = _trained(plan, trained.there, at_once, quick, say, train)
            before = [*before, *trained.before]
    found = find(plan, trained.after, trained.failed)
    found.findings += map(await_hardware, possible.waiting)
    found.findings.sort(key=lambda finding: chosen.index(finding.claim.name))
    set_at, tried = {}, {}
    if not quick:
        every = [*plan.chosen, *possible.waiting]
        set_at = when_set(member, every, found.runs, trained.there)
        tried = {
            name: len(runs_of_setting(used, trained.there)) for name, used in found.runs.items()
        }
        found.findings = [
            replace(each, notes=with_set_after(each.notes, set_at[each.claim.name].after_runs))
            for each in found.findings
        ]
    else:  # twenty steps must not be what `evaluate` takes for the paper's last run
        remove_runs([each.run for each in trained.after if each.run])
    edited = edited_runs(before)
    present = set(plan.fingerprints.values())
    codes = {run.record.fingerprint for used in found.runs.values() for run in used if run.record}
    carried = [
        each
        for each in read_carried(member.name)
        if each.equal and each.fingerprint in present and each.origin in codes
    ]
    return Reproduction(
        member,
        plan.claims,
        found.findings,
        found.runs,
        found.failed,
        edited,
        quick,
        set_at,
        carried,
        tried,
        left_out=possible.left_out,
    )


def _devices(plan: Plan) -> set[str]:
    """What the configs of the runs of a plan call `device`."""
    return {str(config.get("device")) for config in plan.configs.values()}


def carry_evidence(member: Member, say: Callable[[str], None] = lambda line: None) -> list[Carried]:
    """Replay runs of older code, to see whether they are evidence for the present code.

    Trains no missing runs. Raises the errors of `reproduce`.
    """
    with _alone(member):
        there = runs(member.name)
        possible = plan_here(plan_runs(member), there)
        refuse_left_out(possible)
        plan = possible.plan
        return _carry_older(plan, lambda: due_runs(plan, there), there, say=say)


def _carry_older(
    plan: Plan,
    needed: Callable[[], Sequence[NeededRun]],
    there: Sequence[RunSummary],
    jobs: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Carried]:
    """Replay runs of older code for the needed runs that are missing; returns the outcomes.

    The runs of a setting may be of several versions of the code, as after a seed was added. Each
    version is replayed in turn, until no seed is missing that one of them has.
    """
    outcomes: list[Carried] = []
    judged: set[tuple[Setting, str]] = set()
    while older := plan.older_evidence(needed(), there, judged):
        outcomes += carry(plan.member, older, jobs, say)
        judged.update((each.setting, each.origin) for each in older)
    return outcomes


def due_runs(plan: Plan, there: Sequence[RunSummary]) -> list[NeededRun]:
    """What a plan needs now: with the extension, where the first look is here and undecided.

    there: the paper's runs.
    """
    needed = plan.needed(there)
    more = undecided_at_first_look(plan, needed)
    return plan.extended(more).needed(there) if more else needed


def _is_open(plan: Plan, there: Sequence[RunSummary]) -> bool:
    """Whether a plan needs a training or a replay."""
    needed = due_runs(plan, there)
    return any(each.run is None for each in needed) or bool(plan.older_evidence(needed, there))


@dataclass(frozen=True)
class _Trained:
    """What a plan needed before and after its trainings, all runs after them, and what failed."""

    before: list[NeededRun]
    after: list[NeededRun]
    there: Sequence[RunSummary]
    failed: list[Failed]


def _trained(
    plan: Plan,
    there: Sequence[RunSummary],
    jobs: int | None,
    quick: bool,
    say: Callable[[str], None],
    train: Callable[[Sequence[NeededRun], Plan], list[Failed]],
) -> _Trained:
    """Carry or train what a plan lacks of the runs that are there."""
    before = plan.needed(there)
    if not quick and _carry_older(plan, lambda: plan.needed(there), there, jobs, say):
        before = plan.needed(there)
    missing = [each for each in before if quick or each.run is None]
    if not missing:
        return _Trained(before, before, there, [])
    failed = train(missing, plan)
    there = runs(plan.member.name)
    after = plan.needed(there)
    failed = [*failed, *_changed_meanwhile(missing, after, failed)]
    return _Trained(before, after, there, failed)


def _changed_meanwhile(
    missing: Iterable[NeededRun], after: Iterable[NeededRun], failed: Iterable[Failed]
) -> list[Failed]:
    """Runs that were trained but aren't evidence, as the code changed while they were trained."""
    told = {(each.needed.setting, each.needed.seed) for each in failed}
    without = {(each.setting, each.seed) for each in after if each.run is None}
    why = "it completed, but code, config or packages changed meanwhile: run `reproduce` again"
    return [Failed(each, why) for each in missing if (each.setting, each.seed) in without - told]


def edited_runs(needed: Iterable[NeededRun]) -> list[RunSummary]:
    """The runs that aren't evidence because they were changed after they ended: a broken seal."""
    return list({run.folder: run for each in needed for run in each.edited}.values())


@contextmanager
def _alone(member: Member) -> Iterator[None]:
    """Let only one `reproduce` of a paper run at a time. Raises RunError for a second one."""
    folder = get_outputs_dir() / member.name
    folder.mkdir(parents=True, exist_ok=True)
    lock = try_lock(folder / ".reproduce.lock")
    if lock is None:
        raise RunError(
            f"another `reproduce` of {member.name} is running. Wait until it has ended: its runs "
            "are then used"
        )
    with lock:
        yield
