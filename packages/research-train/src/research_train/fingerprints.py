"""Print the fingerprints of experiments, for another process to read.

    echo '[{"experiment": "mnist1d", "overrides": ["model=mlp"]}]' |
        python -m research_train.fingerprints --paper mnist1d

A paper may run under another version of our packages than the workspace's (versions/hand_over.py),
and only that version knows what it imports. So a search for runs asks this program, which starts
under the paper's requirements as `train` does. Since 0.1.0 stdout is a list of
{"fingerprint": ..., "config": ..., "assets": ...}; keys that a version doesn't know are ignored.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

from research_train.command_line.edge import at_the_edge
from research_train.evidence.present_code import fingerprints
from research_train.experiment.members import find_member, installed_members
from research_train.processes.collector import collect_rarely
from research_train.processes.hash_seed import start_with_fixed_hashes
from research_train.versions.hand_over import start_under_requirements
from research_train.versions.requirements import reached_packages


def main(words: Sequence[str]) -> int:
    """Read the question from stdin, answer on stdout; what a paper's code prints goes to stderr."""
    member = find_member(words[words.index("--paper") + 1], installed_members())
    start_under_requirements(member)
    reached_packages(member)
    with redirect_stdout(sys.stderr):
        answer = fingerprints(member, json.load(sys.stdin))
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    start_with_fixed_hashes()  # data that it makes may depend on the order of a set
    collect_rarely()
    sys.exit(at_the_edge(main, sys.argv[1:]))
