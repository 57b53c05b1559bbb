"""Tag, annotate and remove runs, without changing what makes a run evidence."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from research_data import StorageError, get_outputs_dir
from research_data.assets.catalog import disk_size
from research_data.durable import write_json
from research_data.errors import UsageError
from research_data.plain_files import read_json_object

from research_train.errors import RunError
from research_train.record.folders import RECORD, RERUNS, code_archive
from research_train.record.labels import cleaned_tags
from research_train.record.lock import LOCK, lock_run
from research_train.record.summary import RunSummary, record_of, summarise

# Seconds for which a source archive is kept after its last use. A starting run writes or touches
# its archive first, and writes its record a few seconds later.
YOUNG = 600


def tag_run(run: RunSummary, tags: Sequence[str], remove: bool = False) -> list[str]:
    """Add tags to a run, or remove them; returns the tags it has now.

    Raises RunError if the run is running or can't be read, UsageError for an empty tag, and for one
    to remove that the run doesn't have.
    """
    if not tags:
        raise UsageError("name a tag")
    cleaned = cleaned_tags(tags)
    with _held(run, "tagged"):
        now = list(record_of(summarise(run.folder)).tags)
        for tag in cleaned:
            if remove and tag not in now:
                has = ", ".join(now) or "none"
                raise UsageError(f"{run.id} has no tag {tag!r}. It has: {has}")
            if remove:
                now.remove(tag)
            elif tag not in now:
                now.append(tag)
        _rewrite(run.folder, {"tags": now})
    return now


def note_run(run: RunSummary, text: str) -> None:
    """Set the note of a run, replacing an earlier one; empty text removes it. Raises RunError."""
    with _held(run, "annotated"):
        record_of(summarise(run.folder))
        _rewrite(run.folder, {"note": text.strip() or None})


def label_run(run: RunSummary, group: str | None = None, tags: Sequence[str] = ()) -> RunSummary:
    """Put a run into a group, and add tags to it; returns it as it is now. Raises RunError."""
    with _held(run, "labelled"):
        record = record_of(summarise(run.folder))
        changes = {"tags": list(dict.fromkeys([*record.tags, *tags]))}
        _rewrite(run.folder, changes | ({"group": group} if group else {}))
    return summarise(run.folder)


@dataclass(frozen=True)
class Removal:
    """What is removed with runs.

    runs: run folder -> size in bytes. archives: source archive that no other run uses -> size in
    bytes. kept: why an archive is kept although no other run is known to use it; else None.
    """

    runs: dict[Path, int]
    archives: dict[Path, int]
    kept: str | None

    @property
    def size(self) -> int:
        """Total size in bytes."""
        return sum(self.runs.values()) + sum(self.archives.values())


def plan_removal(runs: Sequence[RunSummary]) -> Removal:
    """What `remove_runs` would remove. Raises RunError if one of the runs is running."""
    runs = _distinct(runs)
    for run in runs:
        with _held(run, "removed"):
            pass
    going = {run.folder: disk_size(run.folder) for run in runs}
    archives, kept = _unused_archives(runs)
    return Removal(going, {path: path.stat().st_size for path in archives}, kept)


def remove_runs(runs: Sequence[RunSummary]) -> Removal:
    """Remove run folders, and source archives that no other run uses; returns what was removed.

    An archive used in the last ten minutes is kept, since a starting run may need it. Raises
    RunError if one of the runs is running, before anything is removed; StorageError.
    """
    plan = plan_removal(runs)
    for run in _distinct(runs):
        # Renamed first, so that nobody sees half a run if the removal is interrupted.
        aside = run.folder.with_name(f".{run.folder.name}.removed")
        shutil.rmtree(aside, ignore_errors=True)  # left by a removal that was killed
        try:
            with _held(run, "removed"):
                if run.folder.is_symlink():
                    run.folder.unlink()
                    continue
                run.folder.rename(aside)
            shutil.rmtree(aside)
        except OSError as error:
            raise StorageError(run.folder, error) from error
    # Checked again, since a run of the same code may have started meanwhile.
    unused, kept = _unused_archives(runs)
    archives = {path: size for path, size in plan.archives.items() if path in unused}
    for path in archives:
        path.unlink(missing_ok=True)
        # The folder into which `run rerun` has unpacked it, with an environment of gigabytes.
        unpacked = get_outputs_dir() / RERUNS / path.name.removesuffix(".tar.gz")
        shutil.rmtree(unpacked, ignore_errors=True)
    return Removal(plan.runs, archives, kept or plan.kept)


@contextmanager
def _held(run: RunSummary, verb: str) -> Iterator[None]:
    """Hold the lock of a run, so that no process resumes it. Raises RunError if it is running.

    A running process writes the record from memory, and would overwrite what others wrote.
    """
    lock = None
    if (run.folder / LOCK).is_file():  # a copied run may have none, and then isn't running
        lock = lock_run(run.folder)
        if lock is None:
            holder = (run.folder / LOCK).read_text(encoding="utf-8").strip()
            raise RunError(
                f"{run.id} is running ({holder}), so it can't be {verb} before it has ended"
            )
    try:
        yield
    finally:
        if lock is not None:
            lock.close()


def _distinct(runs: Sequence[RunSummary]) -> list[RunSummary]:
    return list({run.folder: run for run in runs}.values())


def _rewrite(folder: Path, changes: Mapping[str, object]) -> None:
    """Change fields of run.json that the seal doesn't cover; all others stay as they are."""
    content = read_json_object(folder / RECORD)
    write_json(folder / RECORD, {**content, **changes})


def _unused_archives(going: Sequence[RunSummary]) -> tuple[set[Path], str | None]:
    """The archives that only these runs need, and why one of them is kept all the same, or None."""
    wanted = {run.record.source for run in going if run.record}
    folders = {run.folder for run in going}
    # Hidden folders too, since a starting run is created in one.
    for path in get_outputs_dir().glob("*/*/" + RECORD):
        if path.parent in folders or path.parent.name.endswith(".removed"):
            continue
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
            json.loads(text)
        except OSError:
            continue  # removed meanwhile
        except (ValueError, RecursionError):
            return set(), f"{path} is damaged, so it is unknown which code it needs"
        wanted = {source for source in wanted if source not in text}
    # Read after the records, as a starting run touches its archive before it writes its record.
    ages: dict[Path, float] = {}  # in seconds
    for path in map(code_archive, sorted(wanted)):
        with suppress(FileNotFoundError):
            ages[path] = time.time() - path.stat().st_mtime
    unused = {path for path, age in ages.items() if age >= YOUNG}
    young = ", ".join(str(path) for path in ages if path not in unused)
    if not young:
        return unused, None
    return unused, f"used in the last {YOUNG // 60} min, a starting run may need it: {young}"
