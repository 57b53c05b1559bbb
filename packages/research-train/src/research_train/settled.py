"""Answer `reproduce` for many papers at once, as far as nothing is to be trained for them.

    echo '["mnist1d", "amsgrad"]' | python -m research_train.settled --json

Each paper's own `reproduce` starts two processes, which import the same modules for a second. Here
one imports them, and a fork of it on each core answers for one paper after the other: their modules
share a process, so nothing is made in it, data included. A paper whose code ends that process gets
no answer, and the next one a new fork. stdout gets a line of JSON per paper: its name and either
what `reproduce` with the words of the command line ended with and printed, or null where it has to
be started for itself: a run, a replay, data or a download is due, the paper requires a release of
our packages, or something is wrong with it.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib import import_module
from io import StringIO
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from research_data.assets.verify import count_cores
from research_data.hub.settings import is_offline

from research_train.code.fingerprint import package_versions
from research_train.code.parsed_files import ParsedFiles
from research_train.code.reached_code import SharedWalks, shared_walks
from research_train.command_line.edge import at_the_edge
from research_train.evidence.plan import Settled
from research_train.evidence.present_code import fingerprints_here
from research_train.experiment.members import Member, find_member, installed_members
from research_train.history.known_runs import remember_runs
from research_train.processes.children import ask_for_death_signal, end_with_parent
from research_train.processes.collector import collect_rarely
from research_train.processes.hash_seed import start_with_fixed_hashes
from research_train.reproduce_command import reproduce_words
from research_train.results.overview import Counted, count, write_overview
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
    offline = is_offline()
    os.environ["HF_HUB_OFFLINE"] = "1"  # a download shows its progress, so not from here
    names = json.load(sys.stdin)
    members = installed_members()
    for module in SHARED:
        import_module(module)
    walks = {}
    for workspace in {find_member(name, members).workspace for name in names}:
        parsed = ParsedFiles()  # used by no fork: SQLite's connections must not be
        walks[workspace] = shared = shared_walks(workspace, parsed, generated=True)
        package_versions(shared.trainings.external, parsed)  # where each lies is remembered
        parsed.save()
    remember_runs()
    context, here = get_context("fork"), os.getpid()

    def start() -> Connection:
        """Start a process that answers for one paper after the other."""
        ours, its = context.Pipe()
        arguments = (its, here, members, words, walks, offline)
        context.Process(target=_answer_each, args=arguments, daemon=True).start()
        its.close()  # so that its death is seen
        return ours

    answered: dict[Path, dict[str, Counted]] = {}
    idle: list[Connection] = []
    running: dict[Connection, str] = {}
    while names or running:
        while names and len(running) < count_cores():
            worker = idle.pop() if idle else start()
            try:
                worker.send(names[0])
            except OSError:  # it died since its last answer
                worker.close()
                continue
            running[worker] = names.pop(0)
        for ready in wait(list(running)):
            assert isinstance(ready, Connection)
            name, answer = running.pop(ready), None
            try:
                answer = ready.recv()
                idle.append(ready)
            except (EOFError, OSError):  # the paper's code ended it
                ready.close()
            if answer is not None:
                counted = answer.pop("counted")
                answered.setdefault(find_member(name, members).workspace, {})[name] = counted
            print(json.dumps({"paper": name, "answer": answer}), flush=True)
    if "--dry-run" not in words:
        for workspace, counted in answered.items():
            write_overview(workspace, counted)
    return 0


def _answer_each(
    asked: Connection,
    parent: int,
    members: Sequence[Member],
    words: Sequence[str],
    walks: Mapping[Path, SharedWalks],
    offline: bool,
) -> None:
    """In a process of its own: answer for every paper that is asked for, until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started it
    # What a paper's threads and programs print is no answer.
    sys.stdout = sys.stderr
    os.dup2(2, 1)
    ask_for_death_signal()
    while os.getppid() == parent:
        member = find_member(asked.recv(), members)
        ask = partial(fingerprints_here, shared=walks[member.workspace], make=False)
        asked.send(_answer(member, words, Settled(ask, offline)))


def _answer(member: Member, words: Sequence[str], settled: Settled) -> dict[str, Any] | None:
    """What `reproduce` gives, and how many claims are in each state; or None."""
    with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as errors:
        try:
            if has_releases(member):
                return None
            code = reproduce_words(words, settled, member)
        except BaseException:  # the paper's own `reproduce` says what is wrong
            return None
    told = {"code": code, "output": output.getvalue(), "errors": errors.getvalue()}
    return {**told, "counted": count(member)}


if __name__ == "__main__":
    start_with_fixed_hashes()
    collect_rarely()
    sys.exit(at_the_edge(main, sys.argv[1:]))
