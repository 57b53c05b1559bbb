"""Import packages and try the GPUs in a child process, which may hang or die.

    python -P -m research_cli.environment.child torch GPU

imports each named module (for GPU it computes on every GPU) and prints a line of JSON for each: the
import's error, "" if there was none; for GPU a GpuReport.
"""

import gc
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from research_cli.environment.cuda import probe

GPU = "GPU"
PATIENCE = 60.0  # seconds for each name: a first import from a cold network disk can take that long


@dataclass(frozen=True)
class Child:
    """A child process that imports these names."""

    names: Sequence[str]
    process: "subprocess.Popen[bytes]"


def start_child(names: Sequence[str]) -> Child:
    """Start to import modules in a new interpreter."""
    # -P: a folder named like a package where the user happens to be is not that package.
    command = [sys.executable, "-P", "-m", "research_cli.environment.child", *names]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return Child(names, process)


def wait_for(child: Child) -> dict[str, Any]:
    """Name -> what the child printed for it; after a child has died a new one does the rest."""
    patience = PATIENCE * len(child.names)
    process = child.process
    try:
        output, errors = process.communicate(timeout=patience)
        error = last_line(errors.decode(errors="replace"))
        end = error or f"exit code {process.returncode}"
        if process.returncode < 0:
            end = f"killed by signal {-process.returncode}"
    except subprocess.TimeoutExpired:
        end = f"no answer within {patience:.0f} s"
        process.kill()
        output, _ = process.communicate()
    except BaseException:
        process.kill()
        raise
    answers = list(map(json.loads, output.splitlines()))
    found = dict(zip(child.names, answers, strict=False))
    unanswered = child.names[len(answers) :]
    if unanswered:
        found[unanswered[0]] = end
    if unanswered[1:]:
        found |= wait_for(start_child(unanswered[1:]))
    return found


def last_line(text: str) -> str:
    """The last line that isn't blank: of a traceback, the error itself."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def main(names: Sequence[str]) -> None:
    """Import each name, and print its line as soon as it is known."""
    gc.disable()  # until the process ends: it takes a tenth of the time of the imports
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an imported module prints goes to stderr
    for name in names:
        answer = asdict(probe()) if name == GPU else _import_error(name)
        print(json.dumps(answer), file=answers, flush=True)


def _import_error(module: str) -> str:
    try:
        import_module(module)
    except BaseException as error:
        return last_line("".join(traceback.format_exception_only(error)))
    return ""


if __name__ == "__main__":
    with suppress(KeyboardInterrupt, BrokenPipeError):  # the parent has ended
        main(sys.argv[1:])
