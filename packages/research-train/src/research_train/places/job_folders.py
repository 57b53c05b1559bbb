"""The folders of jobs under the outputs: what was submitted, and how it stands.

assets/outputs/.jobs/<time>-<name>/job.json   what was submitted; the job's number
                                  job.sh, log.txt or log-<element>.txt
                                  ended       made once all of it has ended: SLURM isn't asked again
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from research_data import get_outputs_dir
from research_data.durable import write_json
from research_data.errors import UnreadableError
from research_data.plain_files import read_json_object

from research_train.places import slurm
from research_train.places.slurm import Seen

JOBS = ".jobs"
FILE = "job.json"
ENDED = "ended"


@dataclass(frozen=True)
class Element:
    """A run that a job makes.

    job: its number, as `12` or `12_3`. words: of `train`. key: what tells that it is the run that
    is needed, if the job was submitted for that. log: where it prints.
    """

    job: str
    paper: str
    words: tuple[str, ...]
    key: str | None
    log: Path
    submitted: str

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
    found = {}
    for file in sorted((get_outputs_dir() / JOBS).glob(f"*/{FILE}")):
        if (file.parent / ENDED).exists():
            continue
        try:
            content = read_json_object(file)
            if paper in (None, content["paper"]):
                found[file.parent] = list(_elements(file.parent, content, ask))
        except (UnreadableError, KeyError, TypeError):
            continue  # being removed, or a later version's
    return found


def standing(folders: dict[Path, list[Element]]) -> dict[str, Seen]:
    """Job -> how it stands, as SLURM says; what has ended may be missing. Raises CommandError."""
    arrays = {each.job.partition("_")[0] for found in folders.values() for each in found}
    seen = slurm.look_at(sorted(arrays))
    for folder, found in folders.items():
        if found and all(_has_ended(seen, each.job) for each in found):
            _note_end(folder)
    return seen


def _has_ended(seen: dict[str, Seen], job: str) -> bool:
    return job not in seen or seen[job].state == "ended"


def _note_end(folder: Path) -> None:
    try:
        (folder / ENDED).touch()
    except OSError:  # another user's: it is asked for again
        return


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
        )
