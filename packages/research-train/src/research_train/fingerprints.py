"""The fingerprints of experiments, told to another process: which runs would be the same?

    echo '[["mnist1d", ["model=mlp"]]]' | python -m research_train.fingerprints mnist1d

What runs may be another version than the workspace's (pins.py), and only that version knows what
it imports. So whoever looks for runs asks a process under the paper's requirements. From 0.1.0 on
stdin is a list of [experiment, [key=value, ...]], stdout a list of {"fingerprint": ..., "config":
..., "assets": ...}.
"""

import json
import sys
from collections.abc import Sequence

from research_data.errors import ResearchError

from research_train.config import load_config
from research_train.members import find_member, installed_members
from research_train.needs import prepare_assets
from research_train.source import fingerprint


def fingerprints(
    paper: str, experiments: Sequence[tuple[str, Sequence[str]]]
) -> list[dict[str, object]]:
    """Fingerprint, config and data revisions of each (experiment, overrides) of a paper.

    Missing data is pulled or made. Raises ConfigError, MemberError, HubError, StorageError.
    """
    member = find_member(paper, installed_members())
    assets = prepare_assets(member)
    found: list[dict[str, object]] = []
    for name, overrides in experiments:
        experiment = member.experiment(name)
        config = load_config(experiment, overrides)
        found.append(
            {
                "fingerprint": fingerprint(experiment, config, assets),
                "config": config.model_dump(mode="json"),
                "assets": assets,
            }
        )
    return found


if __name__ == "__main__":
    try:
        print(json.dumps(fingerprints(sys.argv[1], json.load(sys.stdin))))
    except ResearchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
