"""Find when each claim was set, and whether runs of its setting existed before.

A claim that is written after its runs can be made to fit them, and so can its tolerance and its
number of seeds. Three sources tell when it was set; none of them relies on anybody's word:

git             the commit since which claims.yaml has the present claim; if uncommitted, now
the archives    each run's source archive has claims.yaml as it was when that run began
results.json    its committed versions name runs that may since be gone, and an earlier count

A run counts as older than the claim if it began before that commit, and its own archive doesn't
have the present claim. So a claim that was written, run and only then committed isn't blamed, nor
is one that was rebased. Where git can't tell (no repository, or the last commit of a shallow
clone), only the archives count. Only what decides a verdict counts: texts may be improved, a claim
renamed, the file moved.
"""

import hashlib
import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from research_data import get_outputs_dir
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from research_train.claims.file import CLAIMS, RESULTS, Claim
from research_train.code.archive import archived_files
from research_train.code.fingerprint import NEUTRAL_KEYS
from research_train.code.git import run_git, stored_contents
from research_train.code.parsed_files import ParsedFiles
from research_train.experiment.members import Member
from research_train.record.folders import SOURCES
from research_train.record.summary import RunSummary

RUN_ID = re.compile(r"(\d{8})-(\d{6})\.(\d{3})")  # begins with when it was started, in UTC
MEANING = "1"  # another one, when histories are told in other words or followed otherwise
# Keys of a claim that decide no verdict.
PROSE = ("name", "what", "reason", "unit", "page", "quote", "awaiting")


@dataclass(frozen=True)
class ClaimSet:
    """When a claim was set, compared with its runs; times are UTC in ISO 8601.

    commit: since which claims.yaml has it; None if it isn't committed, or git can't tell.
    time: time of that commit; None if git can't tell. first_run: when the first run of its setting
    began; None if there is none. after_runs: number of runs that began before the claim was set.
    """

    commit: str | None = None
    time: str | None = None
    first_run: str | None = None
    after_runs: int = 0


@dataclass(frozen=True)
class _Edit:
    """The last change of a claim. uncommitted: it isn't committed yet."""

    commit: str | None = None
    time: datetime | None = None
    uncommitted: bool = False


def when_set(
    member: Member,
    claims: Iterable[Claim],
    evidence: Mapping[str, Sequence[RunSummary]],
    there: Sequence[RunSummary],
) -> dict[str, ClaimSet]:
    """For each claim, by its name, when it was set.

    evidence: claim -> the runs it rests on, which define its settings. there: all runs of the
    paper; those with one of these settings count, whatever their code.
    """
    claims, history = list(claims), _history(member.folder)
    edits = _edits(history, claims)
    results = [(_parsed(beside), _known().recall(key)) for beside, key in history.results]
    found = {}
    for claim in claims:
        of_setting = runs_of_setting(evidence.get(claim.name, []), there)
        edit = edits[claim.name]
        before = [
            run
            for run in of_setting
            if (edit.uncommitted or edit.time is None or _moment(run.started) < edit.time)
            and not _archived(member, run, claim, edit.time is None and not edit.uncommitted)
        ]
        gone, said = _recorded_before(claim, edit, results)
        gone -= {run.id for run in there}
        found[claim.name] = ClaimSet(
            edit.commit,
            edit.time.isoformat().replace("+00:00", "Z") if edit.time else None,
            min((run.started for run in of_setting), default=None),
            max(len(before) + len(gone), said),
        )
    _known().save()
    return found


def what_decides(claim: Claim) -> dict[str, Any]:
    """The parts of a claim that decide its verdict; if they are equal, the claim is the same."""
    content = claim.model_dump(mode="json", exclude=set(PROSE))
    if content["known_gap"]:
        content["known_gap"] = content["known_gap"]["value"]
    content["scale"] = claim.scale is not None
    return content


def runs_of_setting(
    evidence: Sequence[RunSummary], there: Sequence[RunSummary]
) -> list[RunSummary]:
    """The runs that differ from a run of the evidence only in their seed and in neutral keys."""
    settings = [_setting(run) for run in evidence]
    unlike = [settings[i] for i in range(len(settings)) if settings[i] not in settings[:i]]
    return [run for run in there if run.record and _setting(run) in unlike]


def _setting(run: RunSummary) -> tuple[str, dict[str, object]]:
    config = {key: value for key, value in run.config.items() if key not in NEUTRAL_KEYS}
    return (run.record.experiment if run.record else "", config)


def _recorded_before(
    claim: Claim, edit: _Edit, results: Sequence[tuple[list[Claim], dict[str, Any]]]
) -> tuple[set[str], int]:
    """Runs of its setting from before the claim was set, as the committed results tell.

    Returns the ids of those named by results of an earlier version of the claim, and the largest
    count in results of the present version.
    """
    runs: set[str] = set()
    said = 0
    for claims, recorded in results:
        then = next((each for each in claims if each.name == claim.name), None)
        entry = recorded.get(claim.name, {})
        if then is None or _place(then) != _place(claim):
            continue
        counted = entry.get("after_runs")
        if what_decides(then) == what_decides(claim) and isinstance(counted, int):
            said = max(said, counted)
        elif edit.uncommitted or edit.time is not None:
            runs |= {
                run
                for run in entry.get("runs", [])
                if (began := _began(run)) and (edit.time is None or began < edit.time)
            }
    return runs, said


def _place(claim: Claim) -> tuple[str | None, dict[str, list[str]]]:
    """The experiment and overrides of a claim's runs, as claims.yaml has them."""
    return claim.experiment, claim.overrides


def _began(run: str) -> datetime | None:
    found = RUN_ID.match(run)
    return (
        datetime.strptime("".join(found.groups()), "%Y%m%d%H%M%S%f").replace(tzinfo=UTC)
        if found
        else None
    )


def _edits(history: "_History", claims: Sequence[Claim]) -> dict[str, _Edit]:
    """The last change of each claim, according to git."""
    looking = {claim.name: what_decides(claim) for claim in claims}
    found: dict[str, _Edit] = {}
    newer = _Edit(uncommitted=True)
    for edit, key in history.claims:
        there = _deciding(key)
        for name in [name for name, claim in looking.items() if claim not in there]:
            del looking[name]
            found[name] = newer
        newer = edit
        if not looking:
            return found
    # Without a repository, or where a shallow clone ends, nobody knows how much older they are.
    unknown = not history.is_repository if newer.uncommitted else history.is_shallow
    return found | dict.fromkeys(looking, _Edit() if unknown else newer)


@dataclass(frozen=True)
class _History:
    """What git has of a paper's claims and results, newest first.

    claims: for each version of claims.yaml its commit, and the key of what it lists. results: for
    each of results.json the key of the claims of that commit, and that of what it tells.
    """

    claims: Sequence[tuple[_Edit, str]] = ()
    results: Sequence[tuple[str, str]] = ()
    is_repository: bool = True
    is_shallow: bool = False


class _NoAnswerError(Exception):
    """Git gave no answer, as in a clone whose files are fetched from a remote out of reach."""


def _history(folder: Path) -> _History:
    """The history of the paper in a folder; git is asked for it once for each commit."""
    said = _git(folder, "rev-parse", "HEAD", "--is-shallow-repository")
    if said is None:
        return _History(is_repository=_git(folder, "rev-parse", "--git-dir") is not None)
    head, is_shallow = said.splitlines()[0], said.endswith("true")
    place = f"history {MEANING} {folder.resolve()}"
    with suppress(KeyError, TypeError, ValueError):
        kept: Any = _known().recall(place)
        edits = [(_commit(commit, seconds), key) for commit, seconds, key in kept["claims"]]
        results = [(beside, key) for beside, key in kept["results"]]
        keys = {key for _, key in edits} | {key for pair in results for key in pair}
        if kept["head"] == head and not is_shallow and all(map(_is_kept, keys)):
            return _History(edits, results)
    try:
        edits = [(edit, _noted(text)) for edit, text in _versions(folder, CLAIMS, head)]
        results = list(_results(folder, head))
    except _NoAnswerError:
        return _History(is_repository=False)
    if not is_shallow:  # a shallow clone may get more history under the same commit
        listed = [(edit.commit, edit.time and edit.time.timestamp(), key) for edit, key in edits]
        _known().keep(place, {"head": head, "claims": listed, "results": results})
    return _History(edits, results, is_shallow=is_shallow)


def _is_kept(key: str) -> bool:
    return _known().recall(key) is not None


def _commit(commit: str, seconds: float) -> _Edit:
    return _Edit(commit, datetime.fromtimestamp(seconds, UTC))


def _results(folder: Path, head: str) -> Iterator[tuple[str, str]]:
    """For every committed results.json, the keys of that commit's claims and of what it tells."""
    versions = _versions(folder, RESULTS, head)
    claims = stored_contents(folder, [f"{edit.commit}:./{CLAIMS}" for edit, _ in versions])
    for (_, content), beside in zip(versions, claims, strict=True):
        key = f"results {MEANING} {_sha256(content)}"
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            told = {
                entry["name"]: {
                    "runs": list(entry.get("runs", [])),
                    "after_runs": entry.get("set", {}).get("after_runs"),
                }
                for entry in json.loads(content)["claims"]
            }
            _known().keep(key, told)
            yield _noted(_text(beside or b"")), key


def _versions(folder: Path, file: str, head: str) -> list[tuple[_Edit, str]]:
    """Every version of a file in folder up to a commit, newest first; renames are followed.

    Raises _NoAnswerError.
    """
    options = ("-c", "log.showSignature=false", "-c", "core.quotePath=false")
    told = ("--follow", "--format=%x00%H %ct", "--name-only")
    log = _git(folder, *options, "log", *told, head, "--", file)
    if log is None:
        raise _NoAnswerError
    edits, names = [], []
    for entry in log.split("\0")[1:]:
        first, _, rest = entry.partition("\n")
        commit, _, seconds = first.partition(" ")
        if files := [line for line in rest.splitlines() if line]:
            edits.append(_commit(commit, int(seconds)))
            names.append(f"{commit}:{files[-1]}")
    contents = stored_contents(folder, names)
    if names and set(contents) == {None}:
        raise _NoAnswerError
    there = zip(edits, contents, strict=True)
    return [(edit, _text(content)) for edit, content in there if content is not None]  # removed


def _archived(member: Member, run: RunSummary, claim: Claim, unknown: bool) -> bool:
    """Whether the code that a run began with has the present claim.

    unknown: what to return if that code isn't here.
    """
    if run.record is None:
        return unknown
    place = member.folder.relative_to(member.workspace).as_posix()
    content = _claims_in(get_outputs_dir() / SOURCES / f"{run.record.source}.tar.gz", place)
    if content is None:
        return unknown
    return what_decides(claim) in _deciding(_noted(content))


@cache
def _claims_in(archive: Path, place: str) -> str | None:
    """claims.yaml in a source archive: at its present place, or the only one in the archive."""
    found: dict[str, str] = {}
    if not archive.is_file():
        return None
    try:
        found = _known().remembered(archive.name, lambda: _claims_files(archive))
    except (OSError, tarfile.TarError, EOFError, zlib.error):
        return None
    alone = next(iter(found.values())) if len(found) == 1 else None
    return found.get(f"{place}/{CLAIMS}", alone)


def _claims_files(archive: Path) -> dict[str, str]:
    """Name -> text of every claims.yaml in a source archive."""
    files = archived_files(archive, lambda name: name.endswith(f"/{CLAIMS}"))
    return {name: _text(content) for name, content in files}


def _noted(text: str) -> str:
    """Note what a version of claims.yaml lists; returns the key of that."""
    key = _sha256(text)
    if _known().recall(key) is None:
        _known().keep(key, [value if _is_json(value) else None for value in _listed(text)])
    return key


def _is_json(value: object) -> bool:
    """Whether it can be kept; no claim holds what can't, such as a date."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


@cache
def _parsed(key: str) -> list[Claim]:
    """The claims in a version of claims.yaml; those that can't be understood are left out."""
    claims = []
    for value in _known().recall(key):
        try:
            claims.append(Claim.model_validate(value))
        except ValidationError:
            continue
    return claims


def _listed(content: str) -> list[Any]:
    """The entries under `claims` in a claims.yaml, not validated yet."""
    try:
        values = YAML(typ="safe", pure=True).load(content)
    except (YAMLError, RecursionError, ValueError):
        return []
    listed = values.get("claims") if isinstance(values, dict) else None
    return listed if isinstance(listed, list) else []


@cache
def _deciding(key: str) -> list[dict[str, Any]]:
    """The parts of each claim that decide its verdict, in a version of claims.yaml."""
    return [what_decides(claim) for claim in _parsed(key)]


@cache
def _known() -> ParsedFiles:
    """A cache of what git and archives have: to parse 20 claims takes 50 ms, to ask git 40 ms."""
    return ParsedFiles("claims")


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of a git command in the repository of folder; None if it fails."""
    said = run_git(folder, *arguments)
    return None if said is None else _text(said).strip("\n")


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def _moment(time: str) -> datetime:
    return datetime.fromisoformat(time).astimezone(UTC)
