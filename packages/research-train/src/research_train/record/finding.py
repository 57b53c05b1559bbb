"""Find a run by its id, its name or how these begin; or the newest one."""

from collections.abc import Callable, Sequence
from pathlib import Path

from research_data import get_outputs_dir
from research_data.shown import did_you_mean, say

from research_train.errors import RunError
from research_train.experiment.members import Experiment
from research_train.record.folders import RECORD, all_run_folders, run_folders, run_label
from research_train.record.record import RunRecord, Status, read_record
from research_train.record.summary import RunSummary, record_of, summarise


def find_run(paper: str, text: str) -> Path:
    """The folder of a paper's run, named as for `find_any_run`; `OTHER/ID` is another paper's.

    Raises RunError if there is none, or several.
    """
    return _find(text, paper)


def find_run_of(
    experiment: Experiment, text: str | None, statuses: Sequence[Status]
) -> tuple[Path, RunRecord]:
    """The folder and record of a run of an experiment.

    text: as for `find_run`; by default the newest in one of the statuses. Raises RunError when
    there is none, or it is of another experiment, or its record can't be read.
    """
    paper = experiment.member.name
    folder = find_run(paper, text) if text else last_run(paper, experiment.name, statuses)
    if folder is None:
        raise RunError(f"no run of {experiment.name} is {' or '.join(statuses)}")
    record = read_record(folder)
    if (record.paper, record.experiment) != (paper, experiment.name):
        raise RunError(f"{folder}: is a run of {record.experiment}, not of {experiment.name}")
    return folder, record


def find_any_run(text: str) -> RunSummary:
    """A run of any paper, by its id or the beginning of it, its name, `paper/id`, or its folder.

    A whole id takes precedence over a beginning. Raises RunError if there is no such run, or
    several.
    """
    return summarise(_find(text, None))


def last_run(paper: str, experiment: str, statuses: Sequence[Status]) -> Path | None:
    """The newest run of an experiment that is in one of the statuses."""
    for folder in reversed(run_folders(paper)):
        run = summarise(folder)
        try:
            record = record_of(run)
        except RunError as error:
            say(f"warning: {error}")
            continue
        if record.experiment == experiment and run.status in statuses:
            return folder
    return None


def newest_run() -> RunSummary:
    """The newest running run, else the newest of all. Raises RunError if there is none."""
    every = [run for run in map(summarise, all_run_folders()) if run.record]
    if not every:
        raise RunError(f"there is no run yet in {get_outputs_dir()}")
    return max(every, key=lambda run: (run.status == "running", run.started))


def _find(text: str, paper: str | None) -> Path:
    """The folder of the run that text names, of one paper or of any."""
    typed = Path(text).expanduser()
    if (typed / RECORD).is_file():
        return typed.resolve()
    every = all_run_folders()
    folders = [folder for folder in every if paper in (None, folder.parent.name)]
    other, _, last = text.rstrip("/").rpartition("/")
    # A name may contain a slash, so the whole text is searched for as well.
    candidates = [(folder, text) for folder in folders]
    candidates += [(folder, last) for folder in every if folder.parent.name == other]
    tests: list[Callable[[Path, str], bool]] = [
        lambda folder, words: folder.name == words,
        lambda folder, words: (
            folder.name.startswith(words) or f"-{run_label(words)}-seed" in folder.name
        ),
        lambda folder, words: words in _names_in_record(folder),
    ]
    for test in tests if last else []:
        matching = dict.fromkeys(folder for folder, words in candidates if test(folder, words))
        if len(matching) == 1:
            return next(iter(matching))
        if matching:
            shown = [f"{run.parent.name}/{run.name}" for run in matching]
            raise RunError(
                f"{text!r} could be any of {len(shown)} runs: {', '.join(shown[:5])}"
                + (", ..." if len(shown) > 5 else "")
            )
    known = [folder.name for folder in folders]
    newest = f" The newest is {max(known)}." if known else " There is none yet."
    where = get_outputs_dir() / (paper or "")
    raise RunError(f"no run {text!r} in {where}.{did_you_mean(last, known) or newest}")


def _names_in_record(folder: Path) -> tuple[str | None, ...]:
    record = summarise(folder).record
    return (record.id, record.name) if record else ()
