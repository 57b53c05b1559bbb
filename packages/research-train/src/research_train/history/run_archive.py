"""The file format of an exported run: enough to inspect, verify and repeat it.

It is a plain tar, so that `tar tf` lists its content. First comes manifest.json, with size and
sha256 of every other file; then run/ with record, config, metrics, media, evaluation, figures and
the chosen checkpoints; and source/<sha256>.tar.gz, the code. Equal content gives equal bytes. The
folders of trackers are left out, since they repeat metrics.jsonl. An import checks that the content
is consistent, but not who made it: trust an export as you trust its sender.
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

    @property
    def content(self) -> bytes:
        """The bytes of manifest.json."""
        return self.model_dump_json(indent=1).encode() + b"\n"


def source_name(sha256: str) -> str:
    """The name of the source archive in an exported run."""
    return f"source/{sha256}.tar.gz"


def refuse_damaged_weights(folder: Path, entries: dict[str, FileEntry], done: str) -> None:
    """Refuse weights that don't fit the checkpoints' manifests, which the seal covers."""
    for name, digest in checkpoint_digests(folder).items():
        entry = entries.get(f"run/{CHECKPOINTS}/{name}")
        if entry is not None and entry.sha256 != digest:
            raise RunError(
                f"{folder / CHECKPOINTS / name}: damaged, its sha256 isn't the one in the "
                f"{MANIFEST} beside it. Nothing was {done}."
            )
