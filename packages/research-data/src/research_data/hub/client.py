"""Ask a hub, through huggingface_hub, for a commit and its files with their hashes.

download.py fetches the files' bytes, and errors.py turns errors into messages.
"""

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from research_data.assets.manifest import Kind
from research_data.errors import HubError
from research_data.hub.address import hub_address
from research_data.hub.errors import client_errors
from research_data.shown import first_few, say

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Result = TypeVar("Result")

ATTEMPTS = 3  # for one request, and for one file that arrives with the wrong bytes
LONGEST_PAUSE = 30.0  # seconds in all to wait for one request when a hub asks for pauses
METADATA_TIMEOUT = 10.0  # seconds until a hub that doesn't answer counts as down
CLIENT_FILES = ".cache"  # in the folder being filled: files that haven't arrived completely
COMMIT = re.compile("[0-9a-f]{40}")
SHOWN = 10


@dataclass(frozen=True)
class HubFile:
    """A file of a repository.

    sha256: of the content, which the hub gives only for large (LFS) files. git_sha1: of its git
    blob, by which small files are verified.
    """

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


def find_repository(kind: Kind, name: str, revision: str | None) -> HubRepository:
    """Ask the hub for a repository by id or canonical name, at a branch, tag or commit.

    revision: may also be the first digits of a commit; None is the main branch. Raises UsageError
    when there is no such name or revision, HubError when the hub refuses or can't be reached.
    """

    def ask() -> HubRepository:
        with client_errors(kind, name, revision, hint=lambda: _revisions(kind, name)):
            api = _client()
            commit = revision
            if revision and re.fullmatch("[0-9a-f]{7,39}", revision):
                commit = _whole_commit(api, kind, name, revision)
            info = api.repo_info(name, revision=commit, repo_type=kind, timeout=METADATA_TIMEOUT)
            sha = str(info.sha)
            if not COMMIT.fullmatch(sha):  # it becomes part of a path
                raise HubError(
                    f"{api.endpoint} gives {sha[:60]!r} as a commit of {name}, which is not a sha"
                )
            tree = api.list_repo_tree(info.id, recursive=True, revision=sha, repo_type=kind)
            files = tuple(_hub_file(entry) for entry in tree if hasattr(entry, "blob_id"))
            return HubRepository(kind, info.id, api.endpoint, sha, _licence(info), files)

    return patiently(ask)


def list_revisions(kind: Kind, repo_id: str) -> list[str]:
    """Branches and tags of a repository."""
    refs = _client().list_repo_refs(repo_id, repo_type=kind)
    return [ref.name for ref in (*refs.branches, *refs.tags)]


def remove_client_files(folder: Path) -> None:
    """Remove the files that haven't arrived completely."""
    shutil.rmtree(folder / CLIENT_FILES, ignore_errors=True)


def patiently(action: Callable[[], Result]) -> Result:
    """The result of action; after a transient HubError it is tried again a moment later.

    When a hub asks for a pause, this waits, up to LONGEST_PAUSE in all, and prints a line.
    """
    waited = 0.0
    for attempt in range(1, ATTEMPTS):
        try:
            return action()
        except HubError as error:
            left = LONGEST_PAUSE - waited
            if not error.transient or (error.pause and left <= 0):
                raise
            pause = float(attempt) if error.pause is None else min(error.pause, left)
            if error.pause is not None:
                waited += pause
                _say_pause(error.pause, pause)
            time.sleep(pause)
    return action()


_said_until = [0.0]


def _say_pause(asked: float, pause: float) -> None:
    """Print one line for all files that wait at the same time."""
    now = time.monotonic()
    if now >= _said_until[0]:
        _said_until[0] = now + pause
        most = f" (at most {LONGEST_PAUSE:.0f} s in all)" if pause < asked else ""
        say(f"the hub asks for a pause of {asked:.0f} s: waiting {pause:.0f} s{most}")


def _client() -> "HfApi":
    from huggingface_hub import HfApi

    # The endpoint is passed because the client reads HF_ENDPOINT only when it is imported.
    return HfApi(endpoint=hub_address())


def _revisions(kind: Kind, name: str) -> str:
    try:
        names = list_revisions(kind, name)
    except Exception:  # only a hint: the error it belongs to is raised without it
        return ""
    return f" It has {first_few(names, SHOWN)}, and every commit by its sha."


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
    # Size and hash of the content, not of the LFS pointer that git stores in its place.
    return HubFile(entry.path, int(entry.lfs.size), str(entry.lfs.sha256), str(entry.blob_id))


def _licence(info: object) -> str | None:
    tags = getattr(info, "tags", None) or []
    named = [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    card = getattr(info, "card_data", None)
    stated = card.get("license") if card is not None else None
    stated = ", ".join(map(str, stated)) if isinstance(stated, list) else stated
    return str(stated) if stated else (", ".join(named) or None)
