"""The file format of an exported run: enough to inspect, verify and repeat it.

A plain tar, so that `tar tf` shows what it holds: manifest.json first, with size and sha256 of
every other file; run/ with record, config, metrics, evaluation, figures and the checkpoints chosen;
source/<sha256>.tar.gz, the code. Equal content gives equal bytes. Trackers' folders stay at home:
they are made from metrics.jsonl. It is as trustworthy as whoever made it: what it says of itself is
checked, not who said it.
"""

from pathlib import Path

from pydantic import BaseModel
from research_data.assets.manifest import FileEntry

from research_train.errors import RunError
from research_train.record.folders import CHECKPOINTS
from research_train.record.record import (
    checkpoint_digests,
)

FORMAT = 1
MANIFEST = "manifest.json"


class Manifest(BaseModel):
    """The content of manifest.json. source: sha256 of the code's archive. files: by name."""

    format: int = FORMAT
    paper: str
    run: str
    source: str
    files: dict[str, FileEntry]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())


def source_name(sha256: str) -> str:
    """What the archive of the code is called in the file of a run."""
    return f"source/{sha256}.tar.gz"


def refuse_damaged_weights(folder: Path, entries: dict[str, FileEntry], done: str) -> None:
    """The seal covers the checkpoints' manifests, and these the weights: see that they fit."""
    for name, digest in checkpoint_digests(folder).items():
        entry = entries.get(f"run/{CHECKPOINTS}/{name}")
        if entry is not None and entry.sha256 != digest:
            raise RunError(
                f"{folder / CHECKPOINTS / name}: damaged, its sha256 isn't what {MANIFEST} beside "
                f"it says. Nothing was {done}."
            )
