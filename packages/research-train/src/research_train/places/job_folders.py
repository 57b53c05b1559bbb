"""The folders of jobs under the outputs: what was submitted, and how it stands.

assets/outputs/.jobs/<time>-<name>/job.json   what was submitted; the job's number
                                  job.sh, log.txt or log-<element>.txt
                                  made-<element>.json   which job makes this run (taken.py)
                                  ended       made once all of it has ended, with what had no run
                                              by then: SLURM isn't asked again
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from research_data import get_outputs_dir
from research_data.durable import write_json
from research_data.errors import StorageError, UnreadableError
from research_data.plain_files import read_json_object

from research_train.places import slurm
from research_train.places.slurm import FORGOTTEN, Seen
from research_train.processes.children import last_line

JOBS = ".jobs"
FILE = "job.json"
ENDED = "ended"
WITHOUT_RUN = "without_run"  # key in that file
SHOWN = 86400.0  # seconds for which it is told what ended without a run


@dataclass(frozen=True)
class Making:
    """The job that makes a run, and the exit code of the training once that is over."""

    job: str
    code: int | None


@dataclass(frozen=True)
class Element:
    """A run that a job makes.

    job: its number, as `12` or `12_3`; another of the array may make the run. words: of `train`.
    key: what tells that it is the run that is needed, if the job was submitted for that. log: where
    it prints. made: the file that says which job makes it; None for a job of its own.
    """

    job: str
    paper: str
    words: tuple[str, ...]
    key: str | None
    log: Path
    submitted: str
    made: Path | None = None

    def making(self) -> "Making | None":
        """Which job makes its run, once one does. Raises UnreadableError, StorageError."""
        if self.made is None or not self.made.exists():
            return None
        content = read_json_object(self.made)
        return Making(str(content.get("job")), content.get("code"))

    def stands(self, seen: Mapping[str, Seen]) -> Seen:
        """How it stands. seen: job -> how that stands, of the whole array."""
        own = seen.get(self.job, FORGOTTEN)
        try:
            making = self.making()
            if making is None and self.made and own.state == "ended":
                # The job that has just taken it had this one removed. Over NFS its file is seen
                # once the folder has been opened anew, or else after half a minute.
                with suppress(OSError):
                    os.close(os.open(self.made.parent, os.O_RDONLY))
                making = self.making()
        except (UnreadableError, StorageError):
            return Seen("running", f"UNKNOWN ({self.made} can't be read)")
        if making is None:
            return own
        if making.code is None:
            return seen.get(making.job, FORGOTTEN)
        # Its job may go on with other runs.
        how = "COMPLETED (None)" if making.code == 0 else f"FAILED (exit code {making.code})"
        return Seen("ended", how)

    @property
    def last_words(self) -> str:
        """The last line that it has printed, and where; it has ended."""
        said = ""
        with suppress(OSError), self.log.open("rb") as log:
            said = last_line(log)
        # SLURM makes the file before the job begins, or finds that of a single job.
        unsaid = (
            "it printed nothing: it was ended before it began, or its node doesn't see the assets "
            "folder under the same path"
        )
        return f"{said or unsaid} ({self.log})"

    @property
    def resumes(self) -> str | None:
        """The id of the run that it resumes."""
        for word, after in pairwise([*self.words, ""]):
            if word == "--resume":
                return after
            if word.startswith("--resume="):
                return word.removeprefix("--resume=")
        return None


def new_folder_path(name: str) -> Path:
    """Where the folder of a job that is now submitted will be."""
    return get_outputs_dir() / JOBS / f"{datetime.now(UTC):%Y%m%d-%H%M%S.%f}-{name}"


def describe(
    folder: Path,
    paper: str,
    runs: Sequence[Sequence[str]],
    keys: Sequence[str] | None = None,
) -> None:
    """Write into a job's folder what is about to be submitted.

    runs: the words of `train` of each. keys: those of the elements, which make it an array. Raises
    StorageError.
    """
    content = {
        "paper": paper,
        "job": None,
        "submitted": datetime.now(UTC).isoformat(timespec="seconds"),
        "array": keys is not None,
        "elements": [
            {"words": list(words), "key": keys[number] if keys else None}
            for number, words in enumerate(runs)
        ],
    }
    write_json(folder / FILE, content)


def set_job(folder: Path, job: str) -> None:
    """Write down the number that SLURM gave to the job of a folder. Raises StorageError."""
    write_json(folder / FILE, {**read_json_object(folder / FILE), "job": job})


def elements(paper: str | None = None, ask: bool = True) -> dict[Path, list[Element]]:
    """Folder -> what it submitted, for folders that aren't known to have ended, oldest first.

    paper: whose alone. ask: ask SLURM for the number of a job that wasn't written down. Raises
    CommandError.
    """
    files = sorted((get_outputs_dir() / JOBS).glob(f"*/{FILE}"))
    found = {
        file.parent: _read(file, ask, paper) for file in files if not (file.parent / ENDED).exists()
    }
    return {folder: each for folder, each in found.items() if each}


def _read(file: Path, ask: bool, paper: str | None = None, job: str | None = None) -> list[Element]:
    try:
        content = read_json_object(file)
        if job is not None:
            content["job"] = job
        return (
            list(_elements(file.parent, content, ask)) if paper in (None, content["paper"]) else []
        )
    except (UnreadableError, KeyError, TypeError):
        return []  # being removed, or a later version's


def elements_of(folder: Path, job: str) -> list[Element]:
    """What a folder submitted as this job, whose number may not be written down yet."""
    return _read(folder / FILE, ask=False, job=job)


def element_of(job: str) -> Element | None:
    """The element of this number, whether it has ended or not; None if it wasn't submitted here."""
    for file in sorted((get_outputs_dir() / JOBS).glob(f"*/{FILE}"), reverse=True):
        for element in _read(file, ask=False):
            if element.job == job:
                return element
    return None


def look(job: str) -> Seen:
    """How the run of a job or an element stands, whichever job makes it. Raises CommandError."""
    element = element_of(job)
    if element is None:
        return slurm.look(job)
    return element.stands(slurm.look_at([job.partition("_")[0]]))


def standing(folders: dict[Path, list[Element]]) -> dict[str, Seen]:
    """Job -> how it stands, as SLURM says; what has ended may be missing. Raises CommandError."""
    arrays = {each.job.partition("_")[0] for found in folders.values() for each in found}
    return slurm.look_at(sorted(arrays))


def all_ended(folders: dict[Path, list[Element]], seen: dict[str, Seen]) -> list[Path]:
    """The folders of which every element has ended."""
    return [
        folder
        for folder, found in folders.items()
        if found and all(element.stands(seen).state == "ended" for element in found)
    ]


def note_end(folder: Path, without_run: Mapping[str, str]) -> None:
    """Write down that all of a folder has ended. without_run: job -> how, in SLURM's words."""
    with suppress(StorageError):  # another user's: it is asked for again
        write_json(folder / ENDED, {WITHOUT_RUN: dict(without_run)})


def ended_without_run(paper: str | None = None) -> list[tuple[Element, str]]:
    """What was found in the last day to have ended without a run, with SLURM's words, oldest first.

    paper: whose alone.
    """
    found = []
    for file in sorted((get_outputs_dir() / JOBS).glob(f"*/{ENDED}")):
        with suppress(OSError, UnreadableError, AttributeError):
            noted = file.stat()
            if not noted.st_size or time.time() - noted.st_mtime > SHOWN:
                continue
            said = read_json_object(file).get(WITHOUT_RUN, {})
            for each in _read(file.with_name(FILE), ask=False) if said else ():
                if each.job in said and paper in (None, each.paper):
                    found.append((each, str(said[each.job])))
    return found


def _elements(folder: Path, content: dict[str, Any], ask: bool) -> Iterable[Element]:
    job = content.get("job")
    if job is None:  # killed before the answer of sbatch was written
        job = slurm.job_of_script(folder / slurm.SCRIPT) if ask else None
        if job is None:
            return
        set_job(folder, job)
    for number, each in enumerate(content["elements"]):
        element = number if content["array"] else None
        yield Element(
            job if element is None else f"{job}_{element}",
            content["paper"],
            tuple(each["words"]),
            each.get("key"),
            slurm.log_of(folder, element),
            content["submitted"],
            None if element is None else folder / f"made-{element}.json",
        )
