"""Remember revisions of generated datasets, so that asking for one needs no import of its code.

A generator's module mostly imports torch, which takes seconds. A revision follows from the code
that the dataset's definition reaches, the files beside it and the versions of the packages that it
uses (research_data/generated/dataset.py): as long as none of these changes, it is the same.
"""

import hashlib
import json

from research_train.code.fingerprint import files_beside, package_versions
from research_train.code.parsed_files import ParsedFiles
from research_train.code.reached_code import reached_from
from research_train.experiment.members import Member


def known_revisions(member: Member, parsed: ParsedFiles) -> dict[str, str]:
    """Name -> revision of the member's generated datasets whose code is as it was when asked."""
    found = {name: parsed.recall(_key(member, name, parsed)) for name in member.pyproject.generated}
    return {name: revision for name, revision in found.items() if isinstance(revision, str)}


def keep_revisions(member: Member, revisions: dict[str, str], parsed: ParsedFiles) -> None:
    """Keep the revisions that a member's generated datasets have now; others may lack."""
    for name in member.pyproject.generated:
        if name in revisions:
            parsed.keep(_key(member, name, parsed), revisions[name])


def _key(member: Member, name: str, parsed: ParsedFiles) -> str:
    """A hash of all that decides the revision of a dataset."""
    module, _, attribute = member.pyproject.generated[name].partition(":")
    code = reached_from([(module, attribute)], member, parsed)
    # The bytes of whole files: to a revision comments and docstrings count as well.
    files = {str(file): parsed.sha256(file) for file in code.files}
    for experiment in member.experiments:
        beside = files_beside(member.experiment(experiment), code)
        files |= {str(file): parsed.sha256(file) for file in beside.values()}
    packages = package_versions(code.external, parsed)
    identity = ["revision", module, attribute, sorted(files.items()), sorted(packages.items())]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()
