"""A process that does tasks for a paper, under what the paper requires, and answers each by a line.

stdin gets the tasks as a JSON list, stdout one line of JSON per task.
"""

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from typing import Any, NoReturn

from research_data.errors import ResearchError

from research_train.experiment.members import Member, find_member, installed_members
from research_train.processes.children import end_with_parent
from research_train.processes.hash_seed import start_with_fixed_hashes
from research_train.versions.hand_over import start_under_requirements
from research_train.versions.requirements import reached_packages


def answer_tasks(answer: Callable[[Member, Any], object]) -> NoReturn:
    """Answer the tasks on stdin for the paper that follows --paper, and end this process.

    answer: (member, task) -> a JSON value. What the paper's code prints goes to stderr.
    """
    try:
        member = find_member(sys.argv[sys.argv.index("--paper") + 1], installed_members())
        start_with_fixed_hashes()
        start_under_requirements(member)
        end_with_parent()
        reached_packages(member)
        answers = sys.stdout
        for task in json.load(sys.stdin):
            with redirect_stdout(sys.stderr):
                found = answer(member, task)
            print(json.dumps(found), file=answers, flush=True)
    except ResearchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the process that asked has ended
        with suppress(OSError):
            sys.stdout.close()
        sys.exit(1)
    sys.exit(0)
