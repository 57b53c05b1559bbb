"""From a paper's claims to verdicts: the runs they need, those there are, the rest made.

    outcome = reproduce(find_member("mnist1d", installed_members()))

A run counts as evidence for a seed when it completed, its seal fits, and its fingerprint is that of
the experiment as it is now: another paper, a README or a package that this one doesn't use cost
nothing. Runs are made by `train` in processes under the paper's requirements (pins.py), several at
once; one that was interrupted goes on.
"""

import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from research_data import get_outputs_dir
from research_data.verify import count_cores

from research_train.claims import Claim, Claims, Finding, judge, read_claims, seed_value
from research_train.errors import ClaimsError, Interrupted, RunError
from research_train.members import Member, did_you_mean
from research_train.pins import environment_under
from research_train.run_table import RunSummary, runs, seal_state

QUICK = ("steps=20", "log_every=10")  # a smoke test: shows that all runs, never what comes out
QUICK_SEEDS = 2
POLL = 0.1  # seconds between two looks at the processes


@dataclass(frozen=True)
class Setting:
    """What is trained, but for the seed: an experiment and `key=value` words."""

    experiment: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class NeededRun:
    """A run that claims rest on.

    run: the evidence there is; resume: one to go on with; seconds: what one of another seed took.
    """

    setting: Setting
    seed: int
    run: RunSummary | None = None
    resume: RunSummary | None = None
    seconds: float | None = None

    @property
    def label(self) -> str:
        """What to call it in a list."""
        words = " ".join([self.setting.experiment, *self.setting.overrides])
        return f"{words} seed={self.seed}"


@dataclass(frozen=True)
class Failed:
    """A run that gave no number, and why."""

    needed: NeededRun
    why: str


@dataclass(frozen=True)
class Reproduction:
    """What came out. failed: runs that gave no number: counted, never dropped silently."""

    member: Member
    claims: Claims
    findings: list[Finding]
    runs: dict[str, list[RunSummary]]
    failed: list[Failed]
    quick: bool

    @property
    def holds(self) -> bool:
        """Whether every claim is reproduced, better, or a known gap, and no run failed."""
        fine = ("reproduced", "better", "known gap")
        return not self.failed and all(finding.verdict in fine for finding in self.findings)


def plan_runs(
    member: Member, names: Sequence[str] = (), seeds: int | None = None, quick: bool = False
) -> tuple[list[Claim], list[NeededRun]]:
    """The claims of these names (all by default), and every run that they need.

    seeds: in place of what each claim says, where it isn't deterministic. quick: a smoke test.
    Raises ClaimsError, and what the paper's own config and data raise.
    """
    chosen = _chosen(member, read_claims(member.folder), names)
    wanted: dict[tuple[Setting, int], None] = {}
    for claim in chosen:
        for setting in _settings(member, claim, quick).values():
            for seed in range(_seed_count(claim, seeds, quick)):
                wanted[setting, seed] = None
    settings = list(dict.fromkeys(setting for setting, _ in wanted))
    fingerprints = dict(zip(settings, _fingerprints(member, settings), strict=True))
    there = [run for run in runs(member.name) if run.record]
    return chosen, [
        _needed(setting, seed, fingerprints[setting], there) for setting, seed in wanted
    ]


def reproduce(
    member: Member,
    names: Sequence[str] = (),
    seeds: int | None = None,
    jobs: int | None = None,
    quick: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Reproduction:
    """Make the runs that are missing, and judge the claims by all of them.

    jobs: how many trainings at once; as many as there are cores by default. say: told what begins
    and ends. Raises ClaimsError; Interrupted, with every training stopped at a checkpoint.
    """
    with _alone(member):
        chosen, needed = plan_runs(member, names, seeds, quick)
        missing = [each for each in needed if each.run is None]
        failed = _make(member, missing, jobs or count_cores(), say) if missing else []
        if missing:
            _, needed = plan_runs(member, names, seeds, quick)
    evidence = {(each.setting, each.seed): each.run for each in needed}
    findings, used = [], {}
    for claim in chosen:
        values, of_claim = [], []
        for seed in range(_seed_count(claim, seeds, quick)):
            of_seed = {
                group: evidence[setting, seed]
                for group, setting in _settings(member, claim, quick).items()
            }
            found = [run for run in of_seed.values() if run is not None]
            of_claim += found
            if len(found) == len(of_seed):
                metrics = {g: _metric(claim, run) for g, run in of_seed.items() if run is not None}
                values.append(seed_value(claim, metrics))
        used[claim.name] = list({run.folder: run for run in of_claim}.values())
        if values and (len(values) > 1 or claim.seeds == 1):
            findings.append(judge(claim, values))
        elif not failed:
            judge(claim, values)  # raises, saying what is missing
    claims = read_claims(member.folder)
    return Reproduction(member, claims, findings, used, failed, quick)


@contextmanager
def _alone(member: Member) -> Iterator[None]:
    """Two at once would both train what is missing. Raises RunError for the second."""
    folder = get_outputs_dir() / member.name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".reproduce.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"another `reproduce` of {member.name} is at work: its runs will be there for this "
                "one when it has ended"
            ) from error
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
    more = QUICK if quick else ()
    return {group: Setting(experiment, (*words, *more)) for group, words in claim.overrides.items()}


def _seed_count(claim: Claim, seeds: int | None, quick: bool) -> int:
    if claim.seeds == 1:
        return 1
    return QUICK_SEEDS if quick else seeds or claim.seeds


def _fingerprints(member: Member, settings: Sequence[Setting]) -> list[str]:
    """The fingerprint of each, told by the versions that the paper runs."""
    asked = [[setting.experiment, list(setting.overrides)] for setting in settings]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "research_train.fingerprints", member.name],
        input=json.dumps(asked),
        env=environment_under(member),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ClaimsError(done.stderr.strip().removeprefix("error: "))
    return [answer["fingerprint"] for answer in json.loads(done.stdout)]


def _needed(
    setting: Setting, seed: int, fingerprint: str, there: Sequence[RunSummary]
) -> NeededRun:
    """The newest completed run of this setting and seed whose seal fits, else one to go on with."""
    same = [run for run in there if run.record and run.record.fingerprint == fingerprint]
    of_seed = [run for run in same if run.record and run.record.seed == seed]
    for run in of_seed:
        if run.status == "completed" and seal_state(run) == "fits":
            return NeededRun(setting, seed, run)
    resume = next((run for run in of_seed if run.status == "interrupted"), None)
    took = [run.seconds for run in same if run.status == "completed"]
    return NeededRun(setting, seed, resume=resume, seconds=took[0] if took else None)


def _metric(claim: Claim, run: RunSummary) -> float:
    value = run.metrics.get(claim.metric)
    if value is None and claim.metric not in run.metrics:
        known = ", ".join(run.metrics) or "none"
        raise ClaimsError(
            f"claim {claim.name}: no final metric {claim.metric!r} in {run.id}."
            f"{did_you_mean(claim.metric, run.metrics)} It has: {known}"
        )
    if value is None:
        raise ClaimsError(f"claim {claim.name}: {claim.metric} of {run.id} was no finite number")
    return value


def _make(
    member: Member, missing: Sequence[NeededRun], jobs: int, say: Callable[[str], None]
) -> list[Failed]:
    """Train what is missing, so many at once; returns what failed."""
    environment = environment_under(member)
    threads = max(1, count_cores() // min(jobs, len(missing)))
    environment["OMP_NUM_THREADS"] = str(threads)
    waiting, failed = list(missing), []
    with _children() as children:
        while waiting or children:
            while waiting and len(children) < jobs:
                needed = waiting.pop(0)
                say(f"{'go on' if needed.resume else 'train'}: {needed.label}")
                children[_start(member, needed, environment)] = needed
            time.sleep(POLL)
            for child in [child for child in children if child.poll() is not None]:
                needed = children.pop(child)
                _, errors = child.communicate()
                if child.returncode == 0:
                    say(f"done: {needed.label}")
                    continue
                lines = errors.strip().splitlines() or [f"exit code {child.returncode}"]
                failed.append(Failed(needed, lines[-1].removeprefix("error: ")))
                say(f"failed: {needed.label}: {failed[-1].why}")
    return failed


def _start(
    member: Member, needed: NeededRun, environment: Mapping[str, str]
) -> "subprocess.Popen[str]":
    command = [str(Path(sys.executable).with_name("train")), "--paper", member.name, "--quiet"]
    if needed.resume is not None:
        words = ["--resume", needed.resume.id]
    else:
        words = [*needed.setting.overrides, f"seed={needed.seed}"]
    return subprocess.Popen(
        [*command, needed.setting.experiment, *words],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches this process alone, which stops them all
    )


@contextmanager
def _children() -> Iterator[dict["subprocess.Popen[str]", NeededRun]]:
    """The trainings under way: stopped, each at a checkpoint, when something ends this block."""
    children: dict[subprocess.Popen[str], NeededRun] = {}
    before = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: object) -> None:
        raise Interrupted(number)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield children
    except KeyboardInterrupt as stopped:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            child.communicate()
        if isinstance(stopped, Interrupted):
            raise
        raise Interrupted(signal.SIGINT) from None
    except BaseException:
        for child in children:
            child.kill()
            child.communicate()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
