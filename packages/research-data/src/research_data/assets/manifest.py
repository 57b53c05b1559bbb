"""The manifest of an asset (.asset.json): what it is, and its files with their hashes.

Its name is hidden: `datasets.load_dataset(folder)` takes every visible .json for data. It was
`asset.json` up to version 0.1, and assets that have it under that name are read as ever.
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
# What programs look for in a folder and obey, data or not: git runs the hooks that it finds there.
TOOLS_OWN = {".git", ".hg", ".svn", ".bzr", ".venv"}
STEERING = ("pyproject.toml", "uv.toml")  # what uv reads where it is started, and builds
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
    """The content of .asset.json.

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
        """Write .asset.json into folder, in place of one of the old name. Raises StorageError."""
        content = self.model_dump_json(by_alias=True, exclude_none=True, indent=1)
        write_bytes(folder / MANIFEST, (content + "\n").encode())
        with suppress(OSError):
            (folder / OLD_MANIFEST).unlink(missing_ok=True)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an asset's folder.

    Raises DamagedAssetError when it is missing, can't be read or names a file outside its folder;
    AssetError when a newer version wrote it.
    """
    for name in (MANIFEST, OLD_MANIFEST, MANIFEST):  # it may be renamed between two looks
        try:
            content = (folder / name).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DamagedAssetError(folder, f"{name} can't be read: {error.strerror}") from error
        return parse_manifest(content, folder)
    raise DamagedAssetError(folder, f"{MANIFEST} is missing")


def read_own_manifest(folder: Path) -> Manifest:
    """The manifest of a folder among assets; one that is of another asset is none.

    Raises as read_manifest does.
    """
    manifest = read_manifest(folder)
    kind, called = manifest.kind, manifest.folder_name
    if (f"{kind}s", called) != (folder.parent.name, folder.name):
        raise DamagedAssetError(folder, f"{MANIFEST} says that it is the {kind} {called}")
    return manifest


def manifest_file(folder: Path) -> Path:
    """Where an asset's manifest is, under the old name where it has that one alone."""
    old = folder / OLD_MANIFEST
    return old if old.exists() and not (folder / MANIFEST).exists() else folder / MANIFEST


def has_manifest(folder: Path) -> bool:
    """Whether a folder says that it is an asset."""
    return manifest_file(folder).exists()


def hide_manifest(folder: Path) -> None:
    """Give an asset's manifest of the old name the hidden one, where its folder can be written to.

    Until then `datasets.load_dataset(folder)` may take it for data.
    """
    with suppress(OSError):
        if (folder / MANIFEST).exists():
            (folder / OLD_MANIFEST).unlink(missing_ok=True)
        else:
            (folder / OLD_MANIFEST).rename(folder / MANIFEST)


def show_manifest(folder: Path) -> None:
    """Put a copy of an asset's manifest under the old name, which version 0.1 looks for."""
    with suppress(OSError, StorageError):
        if not (folder / OLD_MANIFEST).exists():
            write_bytes(folder / OLD_MANIFEST, (folder / MANIFEST).read_bytes())


def parse_manifest(content: bytes, folder: Path) -> Manifest:
    """The manifest in content; errors, as those of read_manifest, say that it is of folder."""
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        if newer := re.search(rb'"schema"\s*:\s*(\d{1,6})\b', content[:200]):
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


def refuse_steering(names: Iterable[str]) -> None:
    """Refuse files that would steer uv when it is started in an asset's folder. Raises AssetError.

    Told from check_file_names, as what is here already is read all the same.
    """
    if found := sorted(name for name in names if _as_seen_by_all(name) in STEERING):
        raise AssetError(
            f"the file name {found[0]!r} is refused: `uv run` in the data's folder would build and "
            "run what it says. Pull a part without it: --config, or --include for a model."
        )


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
    if _as_seen_by_all(parts[0]) in OWN_FILES:
        return "is one that this package keeps for itself"
    for part in map(_as_seen_by_all, parts):
        if part in TOOLS_OWN or re.fullmatch(r"(git|hg|svn|bzr)~\d+", part):
            return "is one that git or another tool would obey, and no data"
    return None


def _as_seen_by_all(part: str) -> str:
    """One component of a path as the most forgiving file system takes it: `.GIT.` is `.git`."""
    visible = (c for c in unicodedata.normalize("NFKC", part) if unicodedata.category(c) != "Cf")
    return "".join(visible).casefold().partition(":")[0].rstrip(". ")
