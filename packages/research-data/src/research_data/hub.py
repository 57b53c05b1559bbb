"""What is asked of a hub, through huggingface_hub: which commit, which files, and their bytes.

Every error of the client becomes a sentence of ours here, without tokens and signed addresses.
"""

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from research_data.errors import AssetError, HubError, StorageError, UsageError
from research_data.manifest import Kind
from research_data.verify import CHUNK, OnBytes

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Result = TypeVar("Result")

ATTEMPTS = 3  # at one file whose bytes are not those that were promised
METADATA_TIMEOUT = 10.0  # seconds until a hub that doesn't answer counts as down
CLIENT_FILES = ".cache"  # what huggingface_hub keeps beside the files it downloads
COMMIT = re.compile("[0-9a-f]{40}")
SHOWN = 10


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. sha256: of a large one; git_sha1: of its git blob, of a small one."""

    name: str
    size: int
    sha256: str | None
    git_sha1: str


@dataclass(frozen=True)
class HubRepository:
    """A repository at a commit. repo_id: its canonical id. revision: the commit's full sha."""

    kind: Kind
    repo_id: str
    endpoint: str
    revision: str
    licence: str | None
    files: tuple[HubFile, ...]


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE says that no request may be made."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def find_repository(kind: Kind, name: str, revision: str | None) -> HubRepository:
    """Ask the hub for a repository by id or canonical name, at a branch, tag or commit.

    revision: may be the first digits of a commit; None is the main branch. Raises UsageError when
    there is no such name or revision, HubError when the hub refuses or can't be reached.
    """
    api = _client()

    def ask() -> HubRepository:
        with client_errors(kind, name, revision):
            commit = revision
            if revision and re.fullmatch("[0-9a-f]{7,39}", revision):
                commit = _whole_commit(api, kind, name, revision)
            info = api.repo_info(name, revision=commit, repo_type=kind, timeout=METADATA_TIMEOUT)
            sha = str(info.sha)
            if not COMMIT.fullmatch(sha):  # it becomes part of a path
                raise HubError(f"{api.endpoint} names {sha[:60]!r} as a commit of {name}")
            tree = api.list_repo_tree(info.id, recursive=True, revision=sha, repo_type=kind)
            files = tuple(_hub_file(entry) for entry in tree if hasattr(entry, "blob_id"))
            return HubRepository(kind, info.id, api.endpoint, sha, _licence(info), files)

    return _patiently(ask)


def download_file(repository: HubRepository, file: HubFile, folder: Path, on_bytes: OnBytes) -> str:
    """Download one file to its place below folder; returns its sha256, equal to the hub's.

    A file that is there already with the right bytes is kept. on_bytes: told the bytes as they
    arrive, negative when they have to come again; what it raises stops the download. Raises
    HubError, StorageError.
    """
    from huggingface_hub import hf_hub_download

    path = folder / file.name
    if path.is_file() and (sha256 := _right_sha256(path, file)):
        on_bytes(file.size)
        return sha256
    path.unlink(missing_ok=True)
    seen = 0

    def count(more: int) -> None:
        nonlocal seen
        seen += more
        on_bytes(more)

    def fetch(force: bool = False) -> None:
        with client_errors(repository.kind, repository.repo_id, repository.revision, path):
            hf_hub_download(
                repository.repo_id,
                file.name,
                repo_type=repository.kind,
                revision=repository.revision,
                endpoint=repository.endpoint,
                local_dir=folder,
                etag_timeout=METADATA_TIMEOUT,
                force_download=force,
                tqdm_class=_counting(count),
            )

    for attempt in range(ATTEMPTS):
        _patiently(partial(fetch, force=attempt > 0))  # at first the client's own cache will do
        if sha256 := _right_sha256(path, file):
            on_bytes(file.size - seen)
            return sha256
        path.unlink()
        on_bytes(-seen)
        seen = 0
    raise HubError(
        f"{repository.repo_id}: {file.name} arrived {ATTEMPTS} times with other bytes than the "
        "hub's own hash of it. Something between here and the hub alters them, or the hub's copy "
        "is damaged. Nothing of it was kept."
    )


def list_revisions(kind: Kind, repo_id: str) -> list[str]:
    """Branches and tags of a repository."""
    refs = _client().list_repo_refs(repo_id, repo_type=kind)
    return [ref.name for ref in (*refs.branches, *refs.tags)]


def remove_client_files(folder: Path) -> None:
    """Remove what huggingface_hub left beside the files it downloaded."""
    shutil.rmtree(folder / CLIENT_FILES, ignore_errors=True)


def redact(text: str) -> str:
    """Text without tokens, passwords in addresses, and the queries that sign an address."""
    text = re.sub(r"(https?://)[^/\s@'\"]*@", r"\1", text)
    text = re.sub(r"(https?://[^\s?'\"<>]+)\?[^\s'\"<>]+", r"\1", text)
    text = re.sub(r"[^\s(]*=[^\s)]*&[^\s)]*", "***", text)  # the end of one, as the client cuts it
    text = re.sub(r"(?i)\b(bearer|basic|authorization:)(\s+(bearer|basic))?\s+\S+", r"\1 ***", text)
    return re.sub(r"hf_[A-Za-z0-9]{8,}", "hf_***", text)


@contextmanager
def client_errors(
    kind: Kind, name: str, revision: str | None, path: Path | None = None
) -> Iterator[None]:
    """Turn what huggingface_hub raises in this block into errors of ours; quiet its own log.

    path: what is being written.
    """
    logger = logging.getLogger("huggingface_hub")
    hide = _RedactingFilter()
    handlers = [*logger.handlers, *logging.getLogger().handlers]
    for handler in handlers:
        handler.addFilter(hide)
    try:
        yield
    except (AssetError, UsageError):
        raise
    except Exception as error:  # the client's own, and those of the HTTP library it uses by now
        error.__context__ = None  # it would carry signed addresses into a traceback
        raise _translated(error, kind, name, revision, path) from None
    finally:
        for handler in handlers:
            handler.removeFilter(hide)


class _RedactingFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        return record.levelno >= logging.ERROR  # what it tries again is no news to anyone


def _translated(
    error: Exception, kind: Kind, name: str, revision: str | None, path: Path | None
) -> Exception:
    from huggingface_hub import errors

    endpoint = redact(_client().endpoint)
    page = f"{endpoint}/{'datasets/' if kind == 'dataset' else ''}{name}"
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"{name!r} is no name of a {kind}: {redact(str(error))}")
    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"{name} is gated: its authors want its terms accepted first. Do that at {page} while "
            "logged in, then `hf auth login` here (or set HF_TOKEN), and pull again."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(f"{name} has no revision {revision!r}.{_revisions(kind, name)}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UsageError(
            f"there is no {kind} {name!r} at {endpoint}, or it is private. If it is private: "
            "`hf auth login` with an account that may read it, then pull again."
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubError(f"{name}: HF_HUB_OFFLINE is set, so nothing is asked of {endpoint}")
    cause = error.__cause__ or error  # the client wraps what happened in a guess
    response = getattr(error, "response", None) or getattr(cause, "response", None)
    if response is not None:
        reason = {401: "who you are is not known there: `hf auth login`", 403: "not allowed"}
        status = response.status_code
        return HubError(
            f"{endpoint} answered {status} for {name}: "
            f"{reason.get(status, 'that is its own trouble; try again later')}",
            transient=status >= 500 or status == 429,
        )
    if isinstance(error, OSError) and error.errno is not None and path is not None:
        return StorageError(path, error)
    if "Consistency check failed" in str(error):
        return HubError(f"{name}: {path} arrived with another size than promised", transient=True)
    what = redact(f"{type(cause).__name__}: {cause}".splitlines()[0])
    return HubError(
        f"{name}: {endpoint} can't be reached, or broke off ({what}). What arrived whole is "
        "kept: pull again.",
        transient=True,  # a connection, a length, an answer cut off in the middle of its JSON
    )


def _client() -> "HfApi":
    # Asked by no one who pulls here; and files of Xet storage come over plain HTTP as well.
    for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_XET"):
        os.environ.setdefault(name, "1")
    from huggingface_hub import HfApi

    # Given, and not left to the client: it looks only when it is imported.
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT", "").rstrip("/") or None)


def _revisions(kind: Kind, name: str) -> str:
    try:
        names = list_revisions(kind, name)
    except Exception:  # a hint only: the error it belongs to is said all the same
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f" It has {', '.join(names[:SHOWN])}{more}, and every commit's sha."


def _whole_commit(api: "HfApi", kind: Kind, name: str, digits: str) -> str:
    refs = api.list_repo_refs(name, repo_type=kind)
    if digits in [ref.name for ref in (*refs.branches, *refs.tags)]:
        return digits
    found = [
        commit.commit_id
        for ref in (*refs.branches, *refs.tags)
        for commit in api.list_repo_commits(name, repo_type=kind, revision=ref.name)
        if commit.commit_id.startswith(digits)
    ]
    return found[0] if found else digits


def _hub_file(entry: Any) -> HubFile:
    if entry.lfs is None:
        return HubFile(entry.path, int(entry.size), None, str(entry.blob_id))
    # Size and hash of the content, not of the pointer that git holds in its place.
    return HubFile(entry.path, int(entry.lfs.size), str(entry.lfs.sha256), str(entry.blob_id))


def _patiently(action: Callable[[], Result]) -> Result:
    """The result of action, which is tried again a moment after a transient HubError.

    The client itself does so only when a connection breaks in the middle of a file.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return action()
        except HubError as error:
            if not error.transient:
                raise
            time.sleep(attempt)
    return action()


def _licence(info: object) -> str | None:
    tags = getattr(info, "tags", None) or []
    named = [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    card = getattr(info, "card_data", None)
    stated = card.get("license") if card is not None else None
    stated = ", ".join(map(str, stated)) if isinstance(stated, list) else stated
    return str(stated) if stated else (", ".join(named) or None)


def _right_sha256(path: Path, file: HubFile) -> str | None:
    """The sha256 of a file that has the size and hash that the hub gives it; None otherwise."""
    if path.stat().st_size != file.size:
        return None
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(f"blob {file.size}\0".encode())
    buffer = memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as opened:
        while count := opened.readinto(buffer):
            sha256.update(buffer[:count])
            if file.sha256 is None:
                sha1.update(buffer[:count])
    right = sha256.hexdigest() == file.sha256 if file.sha256 else sha1.hexdigest() == file.git_sha1
    return sha256.hexdigest() if right else None


def _counting(on_bytes: OnBytes) -> type:
    """What huggingface_hub takes for a progress bar, and only passes on how many bytes came."""

    class Counter:
        def __init__(self, *args: object, initial: int = 0, **options: object):
            on_bytes(initial)

        def update(self, count: int | float | None = 1) -> None:
            on_bytes(int(count or 0))

        def set_postfix_str(self, *args: object, **options: object) -> None: ...
        def close(self) -> None: ...
        def __enter__(self) -> "Counter":
            return self

        def __exit__(self, *args: object) -> None: ...

    return Counter
