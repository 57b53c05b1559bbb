"""Answer `reproduce` for many papers at once, as far as nothing is to be trained for them.

    echo '["mnist1d", "amsgrad"]' | python -m research_train.settled --json

Each paper's own `reproduce` starts two processes, which import the same modules for a second. Here
one imports them, and a process is forked from it for each paper. stdout gets a line of JSON per
paper: its name and either what `reproduce` with the words of the command line ended with and
printed, or null where it has to be started for itself: a run, a replay or a download is due, the
paper requires a release of our packages, or something is wrong with it.
"""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib import import_module
from io import StringIO
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

from research_data.assets.verify import count_cores

from research_train.code.fingerprint import package_versions
from research_train.code.parsed_files import ParsedFiles
from research_train.code.reached_code import Walk, walk_from_roots
from research_train.command_line.edge import at_the_edge
from research_train.evidence.present_code import fingerprints_here
from research_train.experiment.members import Member, find_member, installed_members
from research_train.processes.children import ask_for_death_signal, end_with_parent
from research_train.processes.collector import collect_rarely
from research_train.processes.hash_seed import start_with_fixed_hashes
from research_train.reproduce_command import reproduce_words
from research_train.results.overview import write_overview
from research_train.versions.hand_over import has_releases, leave_releases

# What `reproduce` imports on its way when nothing is to be trained.
SHARED = (
    "psutil",
    "research_train.command_line.usage",
    "research_train.evidence.hardware",
    "research_train.results.kept",
    "research_train.results.report",
    "research_train.results.screen",
    "research_viz.tables",
    "scipy.special",
)


def main(words: Sequence[str]) -> int:
    """Read the papers' names from stdin, print a line for each as it is answered."""
    leave_releases()
    end_with_parent()
    os.environ["HF_HUB_OFFLINE"] = "1"  # a download shows its progress, so not from here
    names = json.load(sys.stdin)
    members = installed_members()
    for module in SHARED:
        import_module(module)
    roots = {}
    for workspace in {find_member(name, members).workspace for name in names}:
        parsed = ParsedFiles()
        roots[workspace] = walk_from_roots(workspace, parsed)
        package_versions(roots[workspace].external, parsed)  # their metadata stays in memory
    answered = set()
    context = get_context("fork")
    running: dict[Connection, str] = {}
    while names or running:
        while names and len(running) < count_cores():
            reading, writing = context.Pipe(duplex=False)
            name = names.pop(0)
            member = find_member(name, members)
            arguments = (writing, member, words, roots[member.workspace])
            child = context.Process(target=_answer, args=arguments, daemon=True)
            child.start()
            writing.close()
            running[reading] = name
        for ready in wait(list(running)):
            assert isinstance(ready, Connection)
            try:
                answer = ready.recv()
            except EOFError:  # it died
                answer = None
            ready.close()
            name = running.pop(ready)
            if answer is not None:
                answered.add(find_member(name, members).workspace)
            print(json.dumps({"paper": name, "answer": answer}), flush=True)
    if "--dry-run" not in words:
        for workspace in answered:
            write_overview(workspace)
    return 0


def _answer(writing: Connection, member: Member, words: Sequence[str], roots: Walk) -> None:
    """In a process of its own: send what `reproduce` gives, or None."""
    ask_for_death_signal()
    answer = None
    with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as errors:
        try:
            if not has_releases(member):
                ask = partial(fingerprints_here, roots=roots)
                code = reproduce_words(["--paper", member.name, *words], ask, member)
                answer = {"code": code, "output": output.getvalue(), "errors": errors.getvalue()}
        except BaseException:  # the paper's own `reproduce` says what is wrong
            answer = None
    writing.send(answer)
    writing.close()


if __name__ == "__main__":
    start_with_fixed_hashes()
    collect_rarely()
    sys.exit(at_the_edge(main, sys.argv[1:]))
