"""Ask what the present code of a paper makes of settings: fingerprints, configs and data.

A paper may require releases of our packages (versions/hand_over.py), and only they know what they
import: then the program research_train.fingerprints tells, which starts under them. Else a fork of
this process does, which has imported all of it already, if its hashes are those of a training
(processes/hash_seed.py), as data that is made may depend on the order of a set.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

from research_data.errors import ResearchError
from research_data.generated.dataset import find_generated

from research_train.code.fingerprint import code_identity, fingerprint
from research_train.code.generator_revisions import GeneratorRevisions
from research_train.code.parsed_files import ParsedFiles
from research_train.code.reached_code import SharedWalks, shared_walks
from research_train.errors import ClaimsError, CommandError, RequirementError
from research_train.evidence.trainings import Setting
from research_train.experiment.config_values import load_config
from research_train.experiment.members import Member
from research_train.experiment.needs import needs_of, prepare_assets
from research_train.processes.beside import Beside, can_fork
from research_train.processes.children import output_of
from research_train.processes.hash_seed import FIXED, hash_seed
from research_train.versions.hand_over import has_releases
from research_train.versions.requirements import reached_packages

Answers = list[dict[str, Any]]


class NotSettled(Exception):  # noqa: N818  # no error: it says that there is something to do
    """A paper's claims need a training, data or a download, where none may be made."""


def fingerprints(
    member: Member,
    experiments: Sequence[Mapping[str, Any]],
    shared: SharedWalks | None = None,
    make: bool = True,
) -> Answers:
    """Fingerprint, config and data revisions of each {"experiment", "overrides"} of a member.

    shared: what `shared_walks` gave for its workspace, if the caller asks for several members.
    Missing data is pulled or made; without make, NotSettled is raised for what would be generated.
    Raises ConfigError, MemberError, HubError, StorageError.
    """
    parsed = ParsedFiles()
    generates = bool(member.pyproject.generated)
    shared = shared or shared_walks(member.workspace, parsed, generated=generates)
    generators = GeneratorRevisions(member, parsed, shared)
    prepared: dict[str, dict[str, str]] = {}  # needs and revisions of generated data -> all of them
    code: dict[str, dict[str, object]] = {}
    found: Answers = []
    for asked in experiments:
        experiment = member.experiment(asked["experiment"])
        config = load_config(experiment, asked["overrides"])
        needs, known = needs_of(experiment), generators.known(config)
        generated = set(needs) & set(member.pyproject.generated)
        if not make and any(
            name not in known or not find_generated(name, known[name]) for name in generated
        ):
            raise NotSettled
        if (assets := prepared.get(json.dumps([needs, known]))) is None:
            assets = prepare_assets(experiment, known=known, config=config)
            generators.keep(config, assets)
            prepared[json.dumps([needs, generators.known(config)])] = assets
        if experiment.name not in code:
            code[experiment.name] = code_identity(experiment, parsed, shared)
        found.append(
            {
                "fingerprint": fingerprint(experiment, config, assets, code[experiment.name]),
                "config": config.model_dump(mode="json"),
                "assets": assets,
            }
        )
    parsed.save()
    return found


def fingerprints_here(
    member: Member,
    settings: Sequence[Setting],
    shared: SharedWalks | None = None,
    make: bool = True,
) -> Answers:
    """What `fingerprints_of` gives, of the packages that this process imports.

    shared, make: as for `fingerprints`. What the paper's code prints goes to stderr. Raises the
    errors of `fingerprints`, and RequirementError where these packages aren't what the paper
    requires.
    """
    reached_packages(member)
    with redirect_stdout(sys.stderr):
        told: Answers = json.loads(
            json.dumps(fingerprints(member, _questions(settings), shared, make))
        )
    return told


def fingerprints_of(
    member: Member, settings: Sequence[Setting], meanwhile: Callable[[], object] = lambda: None
) -> Answers:
    """Fingerprint, config and data of each setting, under the versions that the paper requires.

    Makes the generated datasets that they lack. meanwhile: called while another process computes.
    Raises ClaimsError.
    """
    if not settings:
        meanwhile()
        return []
    try:
        forks = can_fork() and hash_seed() == FIXED and not has_releases(member)
    except RequirementError as error:
        raise ClaimsError(str(error)) from error
    if not forks:
        meanwhile()
        return _told_by_the_program(member, settings)
    here = os.getpid()

    def told() -> Answers | str:
        """The answers, or the error; where the fork fails otherwise, what the program tells."""
        if os.getpid() == here:
            return _told_by_the_program(member, settings)
        with redirect_stderr(StringIO()):
            try:
                return fingerprints_here(member, settings)
            except ResearchError as error:
                return str(error)

    answer = Beside(told)
    meanwhile()
    found = answer.result()
    if isinstance(found, str):
        raise ClaimsError(found)
    return found


def _told_by_the_program(member: Member, settings: Sequence[Setting]) -> Answers:
    """What research_train.fingerprints tells, in a process under the paper's requirements."""
    module = ["-P", "-m", "research_train.fingerprints", "--paper", member.distribution]
    asked = json.dumps(_questions(settings)).encode()
    try:
        told: Answers = json.loads(output_of([sys.executable, *module], given=asked))
    except CommandError as error:
        raise ClaimsError(error.said.rpartition("error: ")[2] or str(error)) from error
    except ValueError as error:  # it printed nothing
        raise ClaimsError(
            f"{member.folder}: its code ends the process that reads its config and data, with exit "
            "code 0: remove the call of exit"
        ) from error
    return told


def _questions(settings: Sequence[Setting]) -> list[dict[str, object]]:
    return [{"experiment": each.experiment, "overrides": each.overrides} for each in settings]
