"""Which job of an array makes which of its runs: a job goes on with further short ones.

A job costs seconds before its run begins and after it has ended, and SLURM takes up to seconds to
begin the next. So a job goes on with a run whose own job still waits, and has that removed from the
queue. Whoever writes the run's file first makes it:

assets/outputs/.jobs/<time>-<name>/made-<element>.json   the job, and the exit code once it is over
"""

import os
from collections.abc import Sequence
from contextlib import suppress

from research_data.durable import write_json
from research_data.errors import StorageError, UnreadableError

from research_train.errors import CommandError
from research_train.places.job_folders import Element
from research_train.places.slurm import LASTING, look_at, stop


def take(element: Element, job: str) -> bool:
    """Have a job make this run, unless another does; whether it makes it.

    Raises OSError where the file system has no hard links, StorageError, UnreadableError.
    """
    assert element.made is not None
    new = element.made.with_name(f".{element.made.stem}-{job}.json")
    write_json(new, {"job": job, "code": None})
    try:
        os.link(new, element.made)  # made once and whole, also over NFS
    except FileExistsError:
        making = element.making()
        return making is not None and making.job == job
    finally:
        new.unlink(missing_ok=True)
    return True


def take_next(array: Sequence[Element], job: str) -> Element | None:
    """Have a job make a run whose own job waits in the queue, and remove that; None if none does.

    array: what the array is to make. The last is taken, as SLURM begins with the first.
    """
    with suppress(CommandError, OSError, StorageError, UnreadableError):
        seen = look_at([job.partition("_")[0]])
        for each in reversed(array):
            own = seen.get(each.job)
            if own is None or own.state != "waiting" or own.reason in LASTING:
                continue
            if each.making() is None and take(each, job):
                with suppress(CommandError):  # it would begin, and end as another makes its run
                    stop(each.job)
                return each
    return None


def note_code(element: Element, job: str, code: int | None) -> None:
    """Write down the exit code of a run's training; None: it begins again. Raises StorageError."""
    assert element.made is not None
    write_json(element.made, {"job": job, "code": code})
