"""The manifest of an asset (.asset.json): what it is, and its files with their hashes.

The file is hidden because `datasets.load_dataset(folder)` reads every visible .json as data. It was
called `asset.json` up to version 0.1, and assets with the old name can still be read.
"""

import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
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
from research_data.errors import AssetError, DamagedAssetError, StorageError

MANIFEST = ".asset.json"
OLD_MANIFEST = "asset.json"  # its name up to version 0.1
OWN_FILES = (MANIFEST, OLD_MANIFEST, ".verified.json", ".used", ".cache")  # beside an asset's files
# Names that tools act on wherever they find them: git, for example, runs hooks found in `.git`.
TOOLS_OWN = {".git", ".hg", ".svn", ".bzr", ".venv"}
STEERING = ("pyproject.toml", "uv.toml")  # uv reads these in the folder where it is started
SCHEMA = 1
LONGEST_PART = 255  # bytes of one component of a path, on every file system in use
LONGEST_NAME = 160  # characters of an asset's name; leaves room for the revision and suffixes
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
    """The content of .asset.json.

    source: where it comes from. repo_id: its id on the hub, or its name if it isn't from the hub.
    asked_as: every NAME or NAME@REVISION by which it was pulled. configs: config -> split -> files,
    for a dataset that was pulled in part, else empty. whole_configs: the configs here with every
    split. whole_splits: the splits here of every config. include: the patterns of files pulled in
    addition to a model's usual files. revision: the hub's commit, or the key of generated or
    imported data. files: path below the folder -> size and sha256.
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
        return {} if value == [] else value  # the first manifests had an empty list

    @model_validator(mode="after")
    def _stays_in_its_folder(self) -> "Manifest":
        if reason := why_no_name(self.repo_id):
            raise ValueError(f"repo_id {self.repo_id[:80]!r} {reason}")
        paths = (p for splits in self.configs.values() for ps in splits.values() for p in ps)
        if self.files and (strange := set(paths) - self.files.keys()):
            raise ValueError(f"configs lists {min(strange)[:80]!r}, but files doesn't")
        return self

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())

    @property
    def folder_name(self) -> str:
        """The name of its folder: `rajpurkar--squad@7b6d24c440a3`."""
        return folder_name(self.repo_id, self.revision)

    def write(self, folder: Path) -> None:
        """Write .asset.json into folder, and remove an old asset.json. Raises StorageError."""
        content = self.model_dump_json(by_alias=True, exclude_none=True, indent=1)
        write_bytes(folder / MANIFEST, (content + "\n").encode())
        with suppress(OSError):
            (folder / OLD_MANIFEST).unlink(missing_ok=True)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an asset's folder.

    Raises DamagedAssetError when it is missing, can't be read or names a file outside its folder;
    AssetError when a newer version wrote it.
    """
    for name in (MANIFEST, OLD_MANIFEST, MANIFEST):  # another process may rename it meanwhile
        try:
            content = (folder / name).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DamagedAssetError(folder, f"{name} can't be read: {error.strerror}") from error
        return parse_manifest(content, folder)
    raise DamagedAssetError(folder, f"{MANIFEST} is missing")


def read_own_manifest(folder: Path) -> Manifest:
    """The manifest of a folder in assets; one that belongs to another asset counts as damage.

    Raises like read_manifest.
    """
    manifest = read_manifest(folder)
    kind, called = manifest.kind, manifest.folder_name
    if (f"{kind}s", called) != (folder.parent.name, folder.name):
        raise DamagedAssetError(folder, f"{MANIFEST} says that this folder is the {kind} {called}")
    return manifest


def manifest_file(folder: Path) -> Path:
    """The path of an asset's manifest: that of the old name if only that one exists."""
    old = folder / OLD_MANIFEST
    return old if old.exists() and not (folder / MANIFEST).exists() else folder / MANIFEST


def has_manifest(folder: Path) -> bool:
    """Whether a folder has a manifest, and so is an asset."""
    return manifest_file(folder).exists()


def hide_manifest(folder: Path) -> None:
    """Rename an asset's manifest from the old name to the hidden one, if its folder is writable.

    Until then `datasets.load_dataset(folder)` may read it as data.
    """
    with suppress(OSError):
        if (folder / MANIFEST).exists():
            (folder / OLD_MANIFEST).unlink(missing_ok=True)
        else:
            (folder / OLD_MANIFEST).rename(folder / MANIFEST)


def show_manifest(folder: Path) -> None:
    """Copy an asset's manifest to the old name, which version 0.1 looks for."""
    with suppress(OSError, StorageError):
        if not (folder / OLD_MANIFEST).exists():
            write_bytes(folder / OLD_MANIFEST, (folder / MANIFEST).read_bytes())


def parse_manifest(content: bytes, folder: Path) -> Manifest:
    """The manifest in content. Raises like read_manifest; folder is named in the errors."""
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        if newer := re.search(rb'"schema"\s*:\s*(\d{1,6})\b', content[:200]):
            _refuse_newer(folder, int(newer.group(1)))
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise DamagedAssetError(
            folder, f"{MANIFEST} is not a valid manifest: {where}{first['msg']}"
        ) from error
    _refuse_newer(folder, manifest.schema_)
    try:
        check_file_names(manifest.files)
    except AssetError as error:
        raise DamagedAssetError(folder, f"{MANIFEST}: {error}") from error
    return manifest


def folder_name(repo_id: str, revision: str) -> str:
    """The name of the folder of an asset at a revision."""
    return f"{repo_id.replace('/', '--')}@{revision[:12]}"


def why_no_name(name: str) -> str | None:
    """Why an asset can't have this name, to follow the name in a sentence; None when it can."""
    if not NAME.fullmatch(name) or ".." in name:
        return "must be letters, digits and . _ - with at most one / between owner and name"
    if len(name) > LONGEST_NAME:
        return f"is {len(name)} characters long, but at most {LONGEST_NAME} are allowed"
    return None


def check_file_names(names: Iterable[str]) -> None:
    """Refuse file names that lead out of their folder, or that collide on some file system.

    Raises AssetError for the first such name.
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
        raise AssetError(f"{seen[key]!r} is a file, but {folders[key]!r} needs it to be a folder")


def refuse_steering(names: Iterable[str]) -> None:
    """Refuse files that would configure uv if it were started in an asset's folder.

    Raises AssetError. Not part of check_file_names, so that an asset pulled earlier, which may have
    such a file, can still be read.
    """
    if found := sorted(name for name in names if _as_seen_by_all(name) in STEERING):
        raise AssetError(
            f"the file name {found[0]!r} is refused: `uv run` in the data's folder would obey it "
            "and could run code. Pull a part without it: --config, or --include for a model."
        )


def _refuse_newer(folder: Path, schema: int) -> None:
    if schema > SCHEMA:
        raise AssetError(
            f"{folder}: {MANIFEST} has schema {schema}, but this version of research-data reads "
            f"only schemas up to {SCHEMA}. Use the version that wrote it, or a newer one."
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
        return "is a Windows path"
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "holds control characters"
    if any(len(part.encode(errors="surrogatepass")) > LONGEST_PART for part in parts):
        return f"is longer than the {LONGEST_PART} bytes that a file system allows"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if _as_seen_by_all(parts[0]) in OWN_FILES:
        return "is one that this package keeps for itself"
    for part in map(_as_seen_by_all, parts):
        if part in TOOLS_OWN or re.fullmatch(r"(git|hg|svn|bzr)~\d+", part):
            return "is one that git or another tool would obey"
    return None


def _as_seen_by_all(part: str) -> str:
    """One component of a path as the most tolerant file system reads it: `.GIT.` is `.git`."""
    visible = (c for c in unicodedata.normalize("NFKC", part) if unicodedata.category(c) != "Cf")
    return "".join(visible).casefold().partition(":")[0].rstrip(". ")
