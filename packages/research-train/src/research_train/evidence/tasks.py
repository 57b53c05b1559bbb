"""A process that does tasks for a paper, under what the paper requires, and answers each by a line.

stdin gets the tasks as a JSON list, stdout one line of JSON per task, in their order.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout, suppress
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, NoReturn

from research_data.errors import ResearchError

from research_train.experiment.members import Member, find_member, installed_members
from research_train.processes.cards import VARIABLE, visible_cards
from research_train.processes.children import ask_for_death_signal, end_with_parent
from research_train.processes.collector import collect_as_usual, collect_rarely
from research_train.processes.hash_seed import start_with_fixed_hashes
from research_train.versions.hand_over import start_under_requirements
from research_train.versions.requirements import reached_packages

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized


def answer_tasks(answer: Callable[[Member, Any], object]) -> NoReturn:
    """Answer the tasks on stdin for the paper that follows --paper, and end this process.

    answer: (member, task) -> a JSON value. What the paper's code prints goes to stderr. The number
    that may follow --processes is how many tasks are done at once.
    """
    try:
        member = find_member(sys.argv[sys.argv.index("--paper") + 1], installed_members())
        start_with_fixed_hashes()
        collect_rarely()
        start_under_requirements(member)
        end_with_parent()
        reached_packages(member)
        at_once = 1
        if "--processes" in sys.argv:
            at_once = int(sys.argv[sys.argv.index("--processes") + 1])
        do = partial(_answered, answer, member)
        for found in _each(do, json.load(sys.stdin), at_once):
            print(json.dumps(found), flush=True)
    except ResearchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the process that asked has ended
        with suppress(OSError):
            sys.stdout.close()
        sys.exit(1)
    sys.exit(0)


def _each(do: Callable[[Any], object], tasks: Sequence[Any], at_once: int) -> Iterator[object]:
    """The answers in the order of the tasks."""
    # Imported before the collector looks as usual, and before processes are forked, which share it.
    import torch._dynamo  # noqa: F401

    import research_train.loop.trainer  # noqa: F401

    collect_as_usual()
    if at_once == 1:
        yield from map(do, tasks)
        return
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    cards = visible_cards()
    number = context.Value("i", 0)
    with ProcessPoolExecutor(at_once, context, _begin, (cards, number)) as pool:
        yield from pool.map(do, tasks)


def _begin(cards: Sequence[str], number: "Synchronized[int]") -> None:
    """Begin as one of several processes, each of which sees one of the GPUs."""
    ask_for_death_signal()
    with number.get_lock():
        mine, number.value = number.value, number.value + 1
    if cards:
        os.environ[VARIABLE] = cards[mine % len(cards)]


def _answered(answer: Callable[[Member, Any], object], member: Member, task: Any) -> object:
    with redirect_stdout(sys.stderr):
        return answer(member, task)
