"""asset.json: what an asset is, and its files; written last, it lists only what is whole."""

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from research_data.durable import write_bytes
from research_data.errors import AssetError, DamagedAssetError

MANIFEST = "asset.json"
OWN_FILES = (MANIFEST, ".verified.json", ".used", ".cache")  # beside the files of an asset
SCHEMA = 1
LONGEST_PART = 255  # bytes of one component of a path, on every file system in use
LONGEST_NAME = 160  # characters of an asset's: a revision and the clients' suffixes come on top
NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)  # of an asset, with or without an owner

Kind = Literal["dataset", "model"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class FileEntry(BaseModel):
    """A file of an asset: its size in bytes, and its sha256 in hex."""

    model_config = ConfigDict(frozen=True)

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """The content of asset.json.

    source: where it comes from. repo_id: its id on the hub, or its name where it is from no hub.
    asked_as: every NAME or NAME@REVISION that it answers to. configs: of a dataset of which only
    a part was pulled: config -> split -> files. whole_configs: those with every split.
    whole_splits: those with every config. include: patterns asked for beside the usual files of a
    model. revision: the hub's commit, or the key of what was generated or imported. files: path
    below the folder -> size and sha256.
    """

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    schema_: Annotated[int, Field(alias="schema")] = SCHEMA
    kind: Kind
    source: Literal["hub", "local", "generated"]
    repo_id: str
    endpoint: str | None = None
    asked_as: list[str] = []
    configs: dict[str, dict[str, list[str]]] = {}
    whole_configs: list[str] = []
    whole_splits: list[str] = []
    include: list[str] = []
    requested_revision: str | None = None
    revision: Annotated[str, Field(pattern="^[0-9a-f]{12,64}$")]
    licence: str | None = None
    generator: str | None = None
    package: dict[str, str] | None = None
    arguments: dict[str, object] | None = None
    files: dict[str, FileEntry]
    pulled_at: str = Field(default_factory=_now)

    @field_validator("configs", mode="before")
    @classmethod
    def _as_mapping(cls, value: object) -> object:
        return {} if value == [] else value  # as the first manifests had it

    @model_validator(mode="after")
    def _stays_in_its_folder(self) -> "Manifest":
        if reason := why_no_name(self.repo_id):
            raise ValueError(f"repo_id {self.repo_id[:80]!r} {reason}")
        paths = (p for splits in self.configs.values() for ps in splits.values() for p in ps)
        if self.files and (strange := set(paths) - self.files.keys()):
            raise ValueError(f"configs names {min(strange)[:80]!r}, which files doesn't")
        return self

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
    return parse_manifest(content, folder)


def parse_manifest(content: bytes, folder: Path) -> Manifest:
    """The manifest in content; errors, as those of read_manifest, say that it is of folder."""
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        if newer := re.search(rb'"schema"\s*:\s*(\d+)', content[:200]):
            _refuse_newer(folder, int(newer.group(1)))
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise DamagedAssetError(
            folder, f"{MANIFEST} can't be understood: {where}{first['msg']}"
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


def why_no_name(name: str) -> str | None:
    """Why name can be no asset's, for a sentence that begins with it; None when it can."""
    if not NAME.fullmatch(name) or ".." in name:
        return "must be letters, digits and . _ - with at most one / between owner and name"
    if len(name) > LONGEST_NAME:
        return f"is {len(name)} characters long, {LONGEST_NAME} is the most"
    return None


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
    if any(len(part.encode(errors="surrogatepass")) > LONGEST_PART for part in parts):
        return f"is longer than the {LONGEST_PART} bytes a file system takes"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is no valid Unicode"
    if parts[0].casefold() in OWN_FILES:
        return "is one that this package keeps for itself"
    return None
