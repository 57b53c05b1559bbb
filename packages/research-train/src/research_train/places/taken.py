"""Which job of an array makes which of its runs: a job whose run was short makes more of them.

A job costs seconds before its run begins and after it has ended, and SLURM takes up to seconds to
begin the next. So a job goes on with a run whose own job still waits, and has that removed from the
queue. Whoever writes the run's file first makes it:

assets/outputs/.jobs/<time>-<name>/made-<element>.json   the job, and the exit code once it is over
"""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from research_data.durable import write_json

from research_train.errors import CommandError
from research_train.places.job_folders import Element
from research_train.places.slurm import LASTING, look_at, stop

SHORT = 600.0  # seconds; after a longer run the job ends, as its time is for about one


def take(element: Element, job: str) -> bool:
    """Have a job make this run, unless another does. Raises OSError."""
    assert element.made is not None
    if not element.made.exists():
        with tempfile.TemporaryDirectory(dir=element.made.parent, prefix=".made-") as folder:
            # A link is made once, also over NFS, where an empty file could be found.
            write_json(file := Path(folder) / element.made.name, {"job": job, "code": None})
            with suppress(FileExistsError):
                os.link(file, element.made)
    return element.maker == job


def take_next(array: Sequence[Element], job: str) -> Element | None:
    """Have a job make a run whose own job waits in the queue, and remove that; None if none does.

    array: what the array is to make. The last is taken, as SLURM begins with the first.
    """
    with suppress(CommandError, OSError):
        seen = look_at([job.partition("_")[0]])
        for each in reversed(array):
            stands = seen.get(each.job)
            if stands is None or stands.state != "waiting" or stands.reason in LASTING:
                continue
            if take(each, job):
                with suppress(CommandError):  # it would begin, and end as another makes its run
                    stop(each.job)
                return each
    return None


def note_end(element: Element, job: str, code: int) -> None:
    """Write down that a run is over, with the exit code of its training. Raises StorageError."""
    assert element.made is not None
    write_json(element.made, {"job": job, "code": code})
