"""What a run shows besides numbers: pictures, texts and histograms, as files in its folder.

media/samples/step-00000500.png     a picture
media/answers/step-00000500.txt     a text
media/weights/step-00000500.json    a histogram: "counts", between each two of "edges"
media.jsonl                         one JSON object a line: step, time, name, file

They are for people and no evidence: the seal doesn't cover them. A file and its line appear once
for a name and step, however often the run is resumed.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from research_data.assets.manifest import check_file_names
from research_data.durable import write_bytes
from research_data.errors import AssetError, StorageError
from research_data.shown import brief

from research_train.errors import MetricError
from research_train.record.folders import MEDIA, MEDIA_INDEX

Kind = Literal["image", "text", "histogram"]
SUFFIXES: dict[Kind, str] = {"image": ".png", "text": ".txt", "histogram": ".json"}
_KINDS: dict[str, Kind] = {suffix: kind for kind, suffix in SUFFIXES.items()}
_FILE = re.compile(r"step-[0-9]{8,18}\.(png|txt|json)")
_PARTIAL = re.compile(r"\.step-[0-9]{8,18}\.(png|txt|json)\..*\.partial")


@dataclass(frozen=True)
class MediaFile:
    """A file that a run has shown. time: Unix seconds. name: as logged, `test/samples`."""

    step: int
    time: float
    name: str
    file: Path

    @property
    def kind(self) -> Kind:
        """What the file holds."""
        return _KINDS[self.file.suffix]


def read_media(folder: Path) -> list[MediaFile]:
    """What a run has shown, in the order of media.jsonl; files that are gone are left out.

    folder: the run's. Raises no error for a line that can't be read: it is left out too.
    """
    try:
        lines = (folder / MEDIA_INDEX).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [each for line in lines if (each := parse_media(folder, line)) and each.file.is_file()]


def parse_media(folder: Path, line: str) -> MediaFile | None:
    """A line of media.jsonl; None for one that is no such line, or whose file lies elsewhere."""
    try:
        said = json.loads(line)
        name = PurePosixPath(said["file"])
        if name.parts[0] != MEDIA or ".." in name.parts or not _FILE.fullmatch(name.name):
            return None
        return MediaFile(int(said["step"]), float(said["time"]), str(said["name"]), folder / name)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, OverflowError):
        return None


class Media:
    """Writes what a run shows into its folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._files: set[Path] = set()  # that have their line
        self._folders: dict[str, str] = {}  # name without regard to case -> name
        for each in read_media(folder):
            self._files.add(each.file)
            self._folders[each.name.casefold()] = each.name

    def add(
        self, kind: Kind, name: str, step: int, write: Callable[[Path], None], again: bool = True
    ) -> None:
        """Write a file of this kind, in place of one of the same name and step.

        write: writes it, given its path. again: whether to do so if it is there already. Raises
        MetricError for a name that can't be one of a folder, StorageError.
        """
        _refuse_name(name)
        other = self._folders.setdefault(name.casefold(), name)
        if other != name:
            raise MetricError(f"{name!r}: differs only by case from {other!r}. Use one of them.")
        relative = PurePosixPath(MEDIA, name, f"step-{step:08d}{SUFFIXES[kind]}")
        file = self._folder / relative
        if file in self._files and not again:
            return
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write(file)
            if file not in self._files:
                line = {"step": step, "time": round(time.time(), 3), "name": name}
                with (self._folder / MEDIA_INDEX).open("a", encoding="utf-8") as index:
                    index.write(json.dumps({**line, "file": str(relative)}) + "\n")
        except OSError as error:
            raise StorageError(file, error) from error
        self._files.add(file)


def cut_media(folder: Path, step: int) -> None:
    """Remove what a run has shown after a step: a resume from there shows it again.

    Files of other names are left alone. Raises StorageError.
    """
    shown = read_media(folder)
    kept = {each.file for each in shown if each.step <= step}
    try:
        for file in (folder / MEDIA).rglob("*"):
            ours = _PARTIAL.fullmatch(file.name) or _FILE.fullmatch(file.name)
            if ours and file not in kept:
                file.unlink()
    except OSError as error:
        raise StorageError(folder / MEDIA, error) from error
    if (folder / MEDIA_INDEX).exists():
        lines = [
            {**vars(each), "file": each.file.relative_to(folder).as_posix()}
            for each in shown
            if each.file in kept
        ]
        content = "".join(json.dumps(line) + "\n" for line in lines)
        write_bytes(folder / MEDIA_INDEX, content.encode())


def _refuse_name(name: object) -> None:
    """Raise MetricError for a name that isn't one of a metric, or can't be that of a folder."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise MetricError(f"{name!r}: a name must be text that can be printed")
    if any(part.startswith(".") for part in name.split("/")):
        raise MetricError(f"{brief(name)}: its parts become folders, so none may begin with a dot")
    try:
        check_file_names([f"{MEDIA}/{name}/step"])
    except AssetError as error:
        raise MetricError(f"{brief(name)}: its parts become folders: {error}") from error
