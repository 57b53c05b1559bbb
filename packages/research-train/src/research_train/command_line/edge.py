"""Turn the errors of every command into a message on stderr and an exit code.

`train`, `evaluate`, `reproduce`, research-cli and the processes they start all end here and nowhere
else. A user's mistake (a wrong argument or file, a full disk) never shows a traceback; an error in
a paper's code, or a bug of ours, always does.
"""

import os
import select
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from research_data.errors import ResearchError, UsageError, advice_for, reason_of
from research_data.shown import brief, prepare_output, printable

from research_train.errors import (
    CheckpointError,
    ExperimentError,
    Interrupted,
    MetricError,
    NotFiniteError,
    RunError,
)

Command = Callable[[Sequence[str]], int]

# Errors that every process of a training raises; only the first process prints them.
MET_BY_ALL = (
    UsageError,
    CheckpointError,
    ExperimentError,
    MetricError,
    NotFiniteError,
    RunError,
)

OURS = frozenset({"research_cli", "research_data", "research_models", "research_train"})


def at_the_edge(command: Command, words: Sequence[str]) -> int:
    """Run a command with these words; returns its exit code, whatever it raises."""
    prepare_output(sys.stdout, sys.stderr)
    try:
        code = command(words)
        if sys.stdout is not None:
            sys.stdout.flush()  # here a full disk or a closed pipe can still be reported
    except SystemExit:
        raise
    except BaseException as error:
        return ended_by(error)
    return code


def ended_by(error: BaseException) -> int:
    """Say on stderr what ended a command; returns the exit code."""
    if isinstance(error, Interrupted):
        return 128 + error.signal
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, BrokenPipeError) and _nobody_reads_stdout():
        _discard_stdout()  # `train --help | head`: the reader has seen enough
        return 0
    sentence = sentence_of(error)
    if sentence is None:
        traceback.print_exception(error)
        return 1
    if os.environ.get("RANK", "0") == "0" or not isinstance(error, MET_BY_ALL):
        first, *more = printable(sentence, keep="\n").split("\n")
        # Indented, so that a name with a line break in it can't look like a line of ours.
        shown = "\n".join([first, *(f"  {line.strip()}" for line in more)])
        with suppress(OSError):
            print(f"error: {shown}", file=sys.stderr)
    if isinstance(error, OSError) and not error.filename:
        _flush_or_discard_stdout()
    return error.exit_code if isinstance(error, ResearchError) else 1


def sentence_of(error: BaseException) -> str | None:
    """The message of an error for the user; None for one that needs its traceback."""
    if isinstance(error, ResearchError):
        return str(error)
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, UnicodeEncodeError):
        return (
            f"{brief(error.object)} can't be written as {error.encoding} "
            f"({error.reason}){_place(error)}. Use other characters."
        )
    if isinstance(error, UnicodeDecodeError):
        return f"a text isn't {error.encoding}: {error.reason}{_place(error)}. Save it as UTF-8."
    if isinstance(error, MemoryError):
        return f"there is not enough memory{_place(error)}. Use smaller parts, or close programs."
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return f"a file name holds a zero byte, which is not allowed{_place(error)}. Correct it."
    return None


def _of_the_system(error: OSError) -> str:
    """The message for an error of the operating system: which file, why, what helps."""
    names = [os.fsdecode(n) for n in (error.filename, error.filename2) if _is_name(n)]
    what = f"{' -> '.join(names)}: " if names else ""
    place = _place(error) if not names or not _is_ours(_frames(error)[-1:]) else ""
    return f"{what}{reason_of(error)}{place}. {advice_for(error)}".rstrip()


def _is_name(name: object) -> bool:
    return isinstance(name, str | bytes) and bool(name)


def _place(error: BaseException) -> str:
    """Where an error happened: the last line of a paper's code in its traceback, else of ours."""
    frames = _frames(error)
    if not frames:
        return ""
    place = next((each for each in reversed(frames) if not _is_ours([each])), frames[-1])
    file, line = place
    return f" (in {Path(*file.parts[-2:])}, line {line})"


def _frames(error: BaseException) -> list[tuple[Path, int]]:
    """File and line of every call in an error's traceback, without those in libraries."""
    found: list[tuple[Path, int]] = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_absolute() and not _is_library(file):
            found.append((file, trace.tb_lineno))
        trace = trace.tb_next
    return found


def _is_library(file: Path) -> bool:
    if file.parent.name in OURS or file.parent.parent.name in OURS:
        return False  # a release of ours lies among them
    return "site-packages" in file.parts or file.is_relative_to(Path(os.__file__).parent)


def _is_ours(frames: Sequence[tuple[Path, int]]) -> bool:
    return all(not OURS.isdisjoint(file.parts) for file, _ in frames)


def _nobody_reads_stdout() -> bool:
    """Whether stdout is a pipe whose reader has gone; another pipe may have broken instead."""
    with suppress(OSError, ValueError, AttributeError):
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLOUT)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    return False


def _flush_or_discard_stdout() -> None:
    """Flush stdout, or discard what can't be written: at its end Python would report it again."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _discard_stdout()


def _discard_stdout() -> None:
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
