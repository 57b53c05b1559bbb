"""Plan the runs that a paper's claims need: settings, seeds and fingerprints."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from research_data.errors import HubError
from research_data.shown import did_you_mean

from research_train.claims.claim import Claim, Claims, read_claims
from research_train.claims.file import CLAIMS
from research_train.errors import ClaimsError
from research_train.evidence.carried import Candidate, candidates, origins, read_carried
from research_train.evidence.present_code import NotSettled, fingerprints_of
from research_train.evidence.trainings import NeededRun, Setting
from research_train.experiment.config_values import COMMAND_LINE
from research_train.experiment.members import Member
from research_train.experiment.needs import out_of_reach
from research_train.record.record import was_lengthened
from research_train.record.summary import RunSummary

QUICK = ("steps=8", "log_every=4")  # a smoke test: shows that all runs, never what comes out


@dataclass(frozen=True)
class Settled:
    """How to plan in a process in which nothing may be trained, made or fetched.

    ask: tells the fingerprints, here. is_offline: nothing could be fetched elsewhere either.
    """

    ask: Callable[[Member, Sequence[Setting]], list[dict[str, Any]]]
    is_offline: bool


@dataclass(frozen=True)
class Plan:
    """The runs that claims need: the fingerprint of every setting, and the seeds of every claim.

    out_of_reach: claim -> why its data can't be had; its settings have no fingerprints, so
    `plan_here` takes it out before anything is asked of the plan.
    """

    member: Member
    claims: Claims
    chosen: list[Claim]
    settings: dict[str, dict[str, Setting]]  # claim -> group -> setting
    seeds: dict[str, int]
    fingerprints: dict[Setting, str]
    configs: dict[Setting, dict[str, Any]]
    assets: dict[Setting, dict[str, str]]
    out_of_reach: Mapping[str, HubError] = field(default_factory=dict)

    def extended(self, claims: Iterable[Claim]) -> "Plan":
        """The same plan, with `extend_to` seeds for these claims."""
        more = {claim.name: claim.extend_to for claim in claims if claim.extend_to}
        return replace(self, seeds={**self.seeds, **more})

    def without(self, claims: Iterable[Claim]) -> "Plan":
        """The same plan, without the runs of these claims alone."""
        names = {claim.name for claim in claims}
        return replace(self, chosen=[each for each in self.chosen if each.name not in names])

    def needed(self, there: Sequence[RunSummary]) -> list[NeededRun]:
        """Every run that is needed, and the evidence for it. there: the paper's runs by now."""
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

    def older_evidence(
        self,
        needed: Sequence[NeededRun],
        there: Sequence[RunSummary],
        judged: Collection[tuple[Setting, str]] = (),
    ) -> list[Candidate]:
        """Runs of older code that may stand for the present one, if a replay says so."""
        return candidates(needed, self.fingerprints, self.configs, self.assets, there, judged)


def plan_runs(
    member: Member,
    names: Sequence[str] = (),
    seeds: int | None = None,
    quick: bool = False,
    quiet: bool = True,
    settled: Settled | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Plan:
    """Plan the runs for the claims of these names, or for all. Fetches the data that they need.

    seeds: replaces the claims' own numbers of seeds, except of deterministic claims. quick: plan a
    smoke test. quiet: show no progress of downloads. settled: how to tell the fingerprints in this
    process, raising NotSettled where something would have to be fetched; by default another one
    tells them, under the versions that the paper requires. meanwhile: called while another process
    computes. Raises ClaimsError, and the errors of the paper's config and data, except for data
    that can't be had: that is in `out_of_reach`.
    """
    claims = read_claims(member.folder)
    chosen = _chosen(member, claims, names)
    if quick:
        chosen = [claim.model_copy(update={"seeds": 1, "extend_to": None}) for claim in chosen]
    if seeds == 1 and (several := [claim.name for claim in chosen if claim.seeds > 1]):
        raise ClaimsError(f"one seed gives no interval, and {', '.join(several)} are judged by one")
    settings = {claim.name: _settings(member, claim, quick) for claim in chosen}
    of = {claim.name: member.experiment(claim.experiment).name for claim in chosen}
    lacking = out_of_reach(member, dict.fromkeys(of.values()), quiet)
    if lacking and settled is not None and not settled.is_offline:
        raise NotSettled
    beyond = {
        claim: lacking[experiment] for claim, experiment in of.items() if experiment in lacking
    }
    within = [claim for claim in chosen if claim.name not in beyond]
    every = list(dict.fromkeys(each for claim in within for each in settings[claim.name].values()))
    try:
        if settled is None:
            told = fingerprints_of(member, every, meanwhile)
        else:
            meanwhile()
            told = settled.ask(member, every)
    except ClaimsError as error:
        raise ClaimsError(_placed(str(error), member, within)) from error
    answers = dict(zip(every, told, strict=True))
    fingerprints = {setting: answer["fingerprint"] for setting, answer in answers.items()}
    for claim in () if quick else within:  # in a smoke test all have the same steps
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
        beyond,
    )


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
    """Group -> the setting of its runs."""
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
    """The message about a wrong word, with the place of `overrides` instead of a command line."""
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
    """Refuse two groups with the same runs, since their ratio is always 1. Raises ClaimsError."""
    for (one, first), (other, second) in combinations(settings.items(), 2):
        if fingerprints[first] == fingerprints[second]:
            raise ClaimsError(
                f"{member.folder / CLAIMS}: claim {claim.name}: overrides: the groups {one!r} and "
                f"{other!r} are the same runs: nothing they set apart changes a number"
            )


def _needed(
    setting: Setting, seed: int, fingerprints: Sequence[str], there: Sequence[RunSummary]
) -> NeededRun:
    """The newest completed run of this setting and seed whose seal fits, else one to resume.

    fingerprints: that of the present code, then those whose evidence was carried to it.
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
        if run.seal_state == "fits":
            return NeededRun(setting, seed, run, edited=edited)
        edited.append(run)
    of_code = (run for run in of_seed if run.record and run.record.fingerprint == fingerprints[0])
    resume = next((run for run in of_code if run.status == "interrupted"), None)
    took = [run.seconds for run in same if run.status == "completed"]
    seconds = took[0] if took else None
    return NeededRun(setting, seed, resume=resume, seconds=seconds, edited=edited)
