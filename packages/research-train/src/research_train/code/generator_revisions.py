"""Remember revisions of generated datasets, so that asking for one needs no import of its code.

A generator's module mostly imports torch, which takes seconds. A revision follows from the code
that the dataset's definition reaches, the files beside it and the versions of the packages that it
uses (research_data/generated/dataset.py): as long as none of these changes, it is the same.
"""

import hashlib
import json
from collections.abc import Mapping

from research_train.code.fingerprint import files_beside, package_versions
from research_train.code.parsed_files import ParsedFiles
from research_train.code.reached_code import SharedWalks, reached_from
from research_train.experiment.config import TrainConfig
from research_train.experiment.generated_needs import keys_taken
from research_train.experiment.members import Member


class GeneratorRevisions:
    """The revisions of a member's generated datasets that were asked for before.

    Of a dataset that is made of config keys there is one for each of their values.
    """

    def __init__(self, member: Member, parsed: ParsedFiles, shared: SharedWalks):
        self._member = member
        self._parsed = parsed
        generated = member.pyproject.generated
        self._code = {name: _key(member, name, parsed, shared) for name in generated}

    def known(self, config: TrainConfig) -> dict[str, str]:
        """Name -> revision for a config, of the datasets whose code is as it was when asked."""
        found = {}
        for name, code in self._code.items():
            keys = self._parsed.recall(code)
            if isinstance(keys, list):
                revision = self._parsed.recall(_with_values(code, keys, config))
                if isinstance(revision, str):
                    found[name] = revision
        return found

    def keep(self, config: TrainConfig, revisions: Mapping[str, str]) -> None:
        """Keep the revisions that generated datasets have now, for a config; others may lack."""
        known = self.known(config)
        for name in self._code.keys() - known.keys():
            if name not in revisions:  # the experiment doesn't need it
                continue
            keys = keys_taken(self._member, name)
            self._parsed.keep(self._code[name], keys)
            self._parsed.keep(_with_values(self._code[name], keys, config), revisions[name])


def _with_values(code: str, keys: list[str], config: TrainConfig) -> str:
    values = config.model_dump(mode="json")
    chosen = {key: values[key] for key in keys if key in values}
    return hashlib.sha256(json.dumps([code, chosen], sort_keys=True).encode()).hexdigest()


def _key(member: Member, name: str, parsed: ParsedFiles, shared: SharedWalks) -> str:
    """A hash of all that decides the revision of a dataset."""
    module, _, attribute = member.pyproject.generated[name].partition(":")
    code = reached_from([(module, attribute)], member, parsed, shared.generated)
    # The bytes of whole files: to a revision comments and docstrings count as well.
    files = {str(file): parsed.sha256(file) for file in code.files}
    for experiment in member.experiments:
        beside = files_beside(member.experiment(experiment), code)
        files |= {str(file): parsed.sha256(file) for file in beside.values()}
    packages = package_versions(code.external, parsed, shared.versions)
    identity = ["keys", module, attribute, sorted(files.items()), sorted(packages.items())]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()
