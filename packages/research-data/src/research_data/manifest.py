"""asset.json: what an asset is, and its files; written last, it lists only what is whole."""

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from research_data.durable import write_bytes
from research_data.errors import AssetError, DamagedAssetError

MANIFEST = "asset.json"
SCHEMA = 1
LONGEST_NAME = 255  # bytes, of one component of a path, on every file system in use

Kind = Literal["dataset", "model"]


class FileEntry(BaseModel):
    """A file of an asset: its size in bytes, and its sha256 in hex."""

    model_config = ConfigDict(frozen=True)

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """The content of asset.json.

    source: where it comes from. repo_id: its id on the hub, or its name where it is from no hub.
    configs: of a dataset of which only a part was pulled: config -> split -> files. whole_configs:
    those with every split. include: patterns asked for beside the usual files of a model.
    revision: the hub's commit, or the key of what was generated or imported. files: path below
    the folder -> size and sha256.
    """

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    schema_: Annotated[int, Field(alias="schema")] = SCHEMA
    kind: Kind
    source: Literal["hub", "local", "generated"]
    repo_id: str
    endpoint: str | None = None
    configs: dict[str, dict[str, list[str]]] = {}
    whole_configs: list[str] = []
    include: list[str] = []
    requested_revision: str | None = None
    revision: Annotated[str, Field(pattern="^[0-9a-f]{12,64}$")]
    licence: str | None = None
    generator: str | None = None
    package: dict[str, str] | None = None
    arguments: dict[str, object] | None = None
    files: dict[str, FileEntry]
    pulled_at: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))

    @field_validator("configs", mode="before")
    @classmethod
    def _as_mapping(cls, value: object) -> object:
        return {} if value == [] else value  # as the first manifests had it

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())

    @property
    def folder_name(self) -> str:
        """What its folder is called: `rajpurkar--squad@7b6d24c440a3`."""
        return folder_name(self.repo_id, self.revision)

    def write(self, folder: Path) -> None:
        """Write asset.json into folder. Raises StorageError."""
        content = self.model_dump_json(by_alias=True, exclude_none=True, indent=1)
        write_bytes(folder / MANIFEST, (content + "\n").encode())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an asset's folder.

    Raises DamagedAssetError when it is missing, can't be read or names a file outside its folder;
    AssetError when a newer version wrote it.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise DamagedAssetError(folder, f"{MANIFEST} is missing or unreadable") from error
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        if newer := re.search(rb'"schema"\s*:\s*(\d+)', content[:200]):
            _refuse_newer(folder, int(newer.group(1)))
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DamagedAssetError(
            folder, f"{MANIFEST} can't be understood: {where}: {first['msg']}"
        ) from error
    _refuse_newer(folder, manifest.schema_)
    try:
        check_file_names(manifest.files)
    except AssetError as error:
        raise DamagedAssetError(folder, f"{MANIFEST}: {error}") from error
    return manifest


def folder_name(repo_id: str, revision: str) -> str:
    """What the folder of a revision of an asset is called."""
    return f"{repo_id.replace('/', '--')}@{revision[:12]}"


def check_file_names(names: Iterable[str]) -> None:
    """Refuse names that would leave their folder, or meet each other on some file system.

    Raises AssetError naming the first.
    """
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name in names:
        if reason := _why_unsafe(name):
            raise AssetError(f"the file name {name[:80]!r} is refused: it {reason}")
        key = _folded(name)
        if key in seen:
            raise AssetError(
                f"the file names {seen[key]!r} and {name!r} differ only by case: they would be one "
                "file on some machines"
            )
        seen[key] = name
        folders.update(
            {_folded(str(p)): name for p in PurePosixPath(name).parents if str(p) != "."}
        )
    for key in seen.keys() & folders.keys():
        raise AssetError(f"{seen[key]!r} is a file, and a folder in {folders[key]!r}")


def _refuse_newer(folder: Path, schema: int) -> None:
    if schema > SCHEMA:
        raise AssetError(
            f"{folder}: {MANIFEST} has schema {schema}, this version of research-data reads up to "
            f"{SCHEMA}. Use the version that wrote it, or a newer one."
        )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _why_unsafe(name: str) -> str | None:
    parts = name.split("/")
    if not name or "" in parts or "." in parts:
        return "is empty, absolute, or has an empty part"
    if ".." in parts:
        return "leads out of its folder"
    if "\\" in name or re.match(r"^[A-Za-z]:", name):
        return "is a path of another system"
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "holds control characters"
    if any(len(part.encode(errors="surrogatepass")) > LONGEST_NAME for part in parts):
        return f"is longer than the {LONGEST_NAME} bytes a file system takes"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is no valid Unicode"
    if parts[0] in (MANIFEST, ".verified.json", ".cache"):
        return "is one that this package keeps for itself"
    return None
