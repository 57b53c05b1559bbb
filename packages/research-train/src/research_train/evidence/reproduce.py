"""From a paper's claims to verdicts: the runs they need, those there are, the rest made.

    outcome = reproduce(find_member("mnist1d", installed_members()))

A run counts as evidence for a seed when it completed, its seal fits, and its fingerprint is that of
the experiment as it is now: another paper, a README or a package that this one doesn't use cost
nothing. Runs of older code count where a replay gave the same bits (carried.py). Runs are made by
`train` in processes under the paper's requirements (versions/hand_over.py), several at once; one
that was interrupted goes on.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from research_data import get_outputs_dir
from research_data.lock import try_lock

from research_train.claims.claim import Claim, Claims, Finding, read_claims, with_set_after
from research_train.claims.file import CLAIMS
from research_train.errors import ClaimsError, RunError
from research_train.evidence.carried import (
    Candidate,
    Carried,
    candidates,
    carry,
    origins,
    read_carried,
)
from research_train.evidence.claim_edits import ClaimSet, when_set
from research_train.evidence.findings import find, undecided_at_first_look
from research_train.evidence.trainings import Failed, NeededRun, Setting, Work, train_all
from research_train.experiment.config import COMMAND_LINE
from research_train.experiment.members import Member, did_you_mean
from research_train.history.changes import remove_runs
from research_train.history.table import RunSummary, runs, seal_state
from research_train.record.record import was_lengthened

QUICK = ("steps=20", "log_every=10")  # a smoke test: shows that all runs, never what comes out


@dataclass(frozen=True)
class Reproduction:
    """What came out.

    failed: runs that gave no number: counted, never dropped silently. edited: runs that would be
    evidence, had nobody changed their record. set_at: when each claim was set, against its runs.
    carried: why runs of older code are evidence.
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

    @property
    def incomplete(self) -> str | None:
        """Why this is not the paper's whole account; None where it is."""
        if self.failed:
            return f"{len(self.failed)} runs gave no number"
        found = {finding.claim.name: len(finding.values) for finding in self.findings}
        if missing := [claim.name for claim in self.claims.claims if claim.name not in found]:
            return f"{len(missing)} of {len(self.claims.claims)} claims were not asked for"
        for claim in self.claims.claims:
            if found[claim.name] not in claim.planned:
                planned = " or ".join(map(str, claim.planned))
                return f"{claim.name} is planned with {planned} seeds, not {found[claim.name]}"
        return None

    @property
    def holds(self) -> bool:
        """Whether every claim is reproduced, better, or a known gap, and no run failed."""
        fine = ("reproduced", "better", "known gap")
        return not self.failed and all(finding.verdict in fine for finding in self.findings)


@dataclass(frozen=True)
class Plan:
    """What claims rest on: fingerprint of every setting, and the seeds of every claim."""

    member: Member
    claims: Claims
    chosen: list[Claim]
    settings: dict[str, dict[str, Setting]]  # claim -> group -> setting
    seeds: dict[str, int]
    fingerprints: dict[Setting, str]
    configs: dict[Setting, dict[str, Any]]
    assets: dict[Setting, dict[str, str]]

    def extended(self, claims: Iterable[Claim]) -> "Plan":
        """The same with as many seeds of these claims as they are extended to."""
        more = {claim.name: claim.extend_to for claim in claims if claim.extend_to}
        return replace(self, seeds={**self.seeds, **more})

    def needed(self) -> list[NeededRun]:
        """Every run that is needed, and the evidence there is for it by now."""
        there = [run for run in runs(self.member.name) if run.record]
        carried = read_carried(self.member.name)
        wanted = dict.fromkeys(
            (setting, seed)
            for claim in self.chosen
            for setting in self.settings[claim.name].values()
            for seed in range(self.seeds[claim.name])
        )
        return [
            _needed(setting, seed, origins(carried, self.fingerprints[setting]), there)
            for setting, seed in wanted
        ]

    def older_evidence(self, needed: Sequence[NeededRun]) -> list[Candidate]:
        """Runs of older code that may stand for the present one, if a replay says so."""
        there = runs(self.member.name)
        return candidates(needed, self.fingerprints, self.configs, self.assets, there)


def plan_runs(
    member: Member, names: Sequence[str] = (), seeds: int | None = None, quick: bool = False
) -> Plan:
    """What the claims of these names (all by default) rest on.

    seeds: in place of what each claim says, where it isn't deterministic. quick: a smoke test.
    Raises ClaimsError, and what the paper's own config and data raise.
    """
    claims = read_claims(member.folder)
    chosen = _chosen(member, claims, names)
    if quick:
        chosen = [claim.model_copy(update={"seeds": 1, "extend_to": None}) for claim in chosen]
    if seeds == 1 and (several := [claim.name for claim in chosen if claim.seeds > 1]):
        raise ClaimsError(f"one seed gives no interval, and {', '.join(several)} are judged by one")
    settings = {claim.name: _settings(member, claim, quick) for claim in chosen}
    every = list(dict.fromkeys(each for groups in settings.values() for each in groups.values()))
    try:
        answers = dict(zip(every, _fingerprints(member, every), strict=True))
    except ClaimsError as error:
        raise ClaimsError(_placed(str(error), member, chosen)) from error
    fingerprints = {setting: answer["fingerprint"] for setting, answer in answers.items()}
    for claim in () if quick else chosen:  # in a smoke test all have the same steps
        _groups_differ(member, claim, settings[claim.name], fingerprints)
    return Plan(
        member,
        claims,
        chosen,
        settings,
        {claim.name: 1 if claim.seeds == 1 else seeds or claim.seeds for claim in chosen},
        fingerprints,
        {setting: answer["config"] for setting, answer in answers.items()},
        {setting: answer["assets"] for setting, answer in answers.items()},
    )


def reproduce(
    member: Member,
    names: Sequence[str] = (),
    seeds: int | None = None,
    jobs: int | None = None,
    quick: bool = False,
    say: Callable[[str], None] = lambda line: None,
    show: Callable[[Work], None] = lambda work: None,
) -> Reproduction:
    """Make the runs that are missing, and judge the claims by all of them.

    jobs: how many trainings at once; as many as there are cores by default. say: told what begins
    and ends. show: called again and again with how the trainings stand.
    Raises ClaimsError; Interrupted, with every training stopped at a checkpoint; RunError when
    another one is at work.
    """
    with _alone(member):
        plan = plan_runs(member, names, seeds, quick)
        before, after, failed = _trained(plan, jobs, quick, say, show)
        if more := undecided_at_first_look(plan, after) if not failed else []:
            say(f"undecided, and planned with more seeds: {', '.join(each.name for each in more)}")
            plan = plan.extended(more)
            extended, after, failed = _trained(plan, jobs, quick, say, show)
            before = [*before, *extended]
    found = find(plan, after, failed)
    set_at = {}
    if not quick:
        set_at = when_set(member, plan.chosen, found.runs, runs(member.name))
        found.findings = [
            replace(each, notes=with_set_after(each.notes, set_at[each.claim.name].after_runs))
            for each in found.findings
        ]
    else:  # twenty steps must not be what `evaluate` takes for the paper's last run
        remove_runs([each.run for each in after if each.run])
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
    )


def carry_evidence(
    member: Member, jobs: int | None = None, say: Callable[[str], None] = lambda line: None
) -> list[Carried]:
    """Whether the evidence there is, of older code, stands for the present one; nothing is trained.

    Raises as `reproduce`.
    """
    with _alone(member):
        plan = plan_runs(member)
        return carry(member, plan.older_evidence(due_runs(plan)), jobs, say)


def due_runs(plan: Plan) -> list[NeededRun]:
    """What a plan needs now: with the extension, where the first look is here and undecided."""
    needed = plan.needed()
    more = undecided_at_first_look(plan, needed)
    return plan.extended(more).needed() if more else needed


def _trained(
    plan: Plan,
    jobs: int | None,
    quick: bool,
    say: Callable[[str], None],
    show: Callable[[Work], None],
) -> tuple[list[NeededRun], list[NeededRun], list[Failed]]:
    """Carry or train what a plan lacks: what it needs before and after, and what failed."""
    before = plan.needed()
    if not quick and (older := plan.older_evidence(before)):
        carry(plan.member, older, jobs, say)
        before = plan.needed()
    missing = [each for each in before if quick or each.run is None]
    failed = train_all(plan.member, missing, jobs, say, show) if missing else []
    after = plan.needed() if missing else before
    return before, after, [*failed, *_changed_meanwhile(missing, after, failed)]


def _changed_meanwhile(
    missing: Iterable[NeededRun], after: Iterable[NeededRun], failed: Iterable[Failed]
) -> list[Failed]:
    """Those that were trained and still give no evidence: their code is no longer what it was."""
    told = {(each.needed.setting, each.needed.seed) for each in failed}
    without = {(each.setting, each.seed) for each in after if each.run is None}
    why = "it ended, but code, config or packages changed while it was made: type it again"
    return [Failed(each, why) for each in missing if (each.setting, each.seed) in without - told]


def edited_runs(needed: Iterable[NeededRun]) -> list[RunSummary]:
    """The runs that are no evidence because their seal doesn't fit what stands there now."""
    return list({run.folder: run for each in needed for run in each.edited}.values())


@contextmanager
def _alone(member: Member) -> Iterator[None]:
    """Two at once would both train what is missing. Raises RunError for the second."""
    folder = get_outputs_dir() / member.name
    folder.mkdir(parents=True, exist_ok=True)
    lock = try_lock(folder / ".reproduce.lock")
    if lock is None:
        raise RunError(
            f"another `reproduce` of {member.name} is at work: its runs will be there for this one "
            "when it has ended"
        )
    with lock:
        yield


def _chosen(member: Member, claims: Claims, names: Sequence[str]) -> list[Claim]:
    known = {claim.name: claim for claim in claims.claims}
    for name in names:
        if name not in known:
            raise ClaimsError(
                f"{member.name} makes no claim {name!r}.{did_you_mean(name, known)} "
                f"It makes: {', '.join(known)}"
            )
    return [known[name] for name in dict.fromkeys(names)] if names else list(known.values())


def _settings(member: Member, claim: Claim, quick: bool) -> dict[str, Setting]:
    """Group -> what its runs are of."""
    experiment = member.experiment(claim.experiment).name
    if not quick:
        return {
            group: Setting(experiment, tuple(words)) for group, words in claim.overrides.items()
        }
    short = tuple(word.partition("=")[0] + "=" for word in QUICK)
    return {
        group: Setting(experiment, (*(w for w in words if not w.startswith(short)), *QUICK))
        for group, words in claim.overrides.items()
    }


def _placed(message: str, member: Member, claims: Sequence[Claim]) -> str:
    """What is wrong with a word of `overrides`, told of where it stands: no command line has it."""
    if not message.startswith(COMMAND_LINE):
        return message
    named = [
        claim.name
        for claim in claims
        for words in claim.overrides.values()
        if any(word in message or repr(word.partition("=")[0]) in message for word in words)
    ]
    where = f": claim {', '.join(dict.fromkeys(named))}" if named else ""
    return f"{member.folder / CLAIMS}{where}: overrides{message.removeprefix(COMMAND_LINE)}"


def _groups_differ(
    member: Member,
    claim: Claim,
    settings: Mapping[str, Setting],
    fingerprints: Mapping[Setting, str],
) -> None:
    """Raises ClaimsError for two groups that are the same runs: their ratio is always 1."""
    for (one, first), (other, second) in combinations(settings.items(), 2):
        if fingerprints[first] == fingerprints[second]:
            raise ClaimsError(
                f"{member.folder / CLAIMS}: claim {claim.name}: overrides: the groups {one!r} and "
                f"{other!r} are the same runs: nothing they set apart changes a number"
            )


def _fingerprints(member: Member, settings: Sequence[Setting]) -> list[dict[str, Any]]:
    """Fingerprint, config and data of each, told by the versions that the paper runs."""
    asked = [{"experiment": each.experiment, "overrides": each.overrides} for each in settings]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "research_train.fingerprints", "--paper", member.distribution],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        _, _, message = done.stderr.rpartition("error: ")
        raise ClaimsError(message.strip() or done.stderr.strip())
    return list(json.loads(done.stdout))


def _needed(
    setting: Setting, seed: int, fingerprints: Sequence[str], there: Sequence[RunSummary]
) -> NeededRun:
    """The newest completed run of this setting and seed whose seal fits, else one to go on with.

    fingerprints: of the present code, and of those whose evidence was carried to it.
    """
    same = [run for run in there if run.record and run.record.fingerprint in fingerprints]
    of_seed = [
        run
        for run in same
        if run.record and run.record.seed == seed and not was_lengthened(run.record)
    ]
    edited: list[RunSummary] = []
    for run in of_seed:
        if run.status != "completed":
            continue
        if seal_state(run) == "fits":
            return NeededRun(setting, seed, run, edited=edited)
        edited.append(run)
    of_code = (run for run in of_seed if run.record and run.record.fingerprint == fingerprints[0])
    resume = next((run for run in of_code if run.status == "interrupted"), None)
    took = [run.seconds for run in same if run.status == "completed"]
    seconds = took[0] if took else None
    return NeededRun(setting, seed, resume=resume, seconds=seconds, edited=edited)
