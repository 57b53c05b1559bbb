"""A small Hugging Face hub on 127.0.0.1 for tests: real clients reach it through HF_ENDPOINT.

Run ``python hub.py ROOT`` and it prints its address; or import it and use ``running_hub(ROOT)``.
Repositories are plain folders, read anew for every request, so a test may change them meanwhile::

    ROOT/<models|datasets>/<org>/<name>/<40 hex commit>/...files
    ROOT/<kind>/<org>/<name>/refs.json        {"main": sha, "v1": sha, "refs/convert/parquet": sha}
    ROOT/<kind>/<org>/<name>/repo.json        gated, gated_status, private, aliases, tags,
                                              lfs_threshold
    ROOT/<kind>/<org>/<name>/extra_tree.json  raw tree entries for names no disk would hold
    ROOT/<kind>/<org>/<name>/commits.json     parents and dates, written by ``add_repo``

A ref named like ``v1`` or ``refs/tags/x`` is a tag, ``refs/convert/x`` a conversion, any other
a branch. Large files are answered by a redirect to a signed address on a second port, because the
clients follow redirects that stay on the hub's own origin and then miss the file's sha256.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import posixpath
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, quote, unquote, urlencode

# The only valid one; may read everything. In parts, so that no export of our code warns of it.
TOKEN = "hf_" + "testtoken" * 3 + "00"
SIGNATURE = "SECRET-SIGNATURE"  # must never show up in a log
GENERIC_BODY = b"what the hub serves for an entry of extra_tree.json\n"
LFS_ENDINGS = (".parquet", ".safetensors", ".arrow", ".bin")
LFS_THRESHOLD = 10 * 2**20
PAGE, EXPANDED_PAGE = 1000, 50  # the real hub's page sizes
CHUNK = 2**20
HARNESSES = "/api/agent-harnesses"
CONTROL = ("/_requests", "/_faults")
LAST_COMMIT = ("id", "title", "date")
SHA = re.compile(r"[0-9a-f]{40}")
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)

_VERBS = "revision|tree|refs|commits|paths-info|resolve"
_ID = rf"[^/]+(?:/(?!(?:{_VERBS})(?:/|$))[^/]+)?"  # org/name, or a bare name
_REV = r"refs/(?:convert|pr)/[^/]+|[^/]+"  # datasets leaves the slashes of these refs as they are
API_PATH = re.compile(
    rf"/api/(models|datasets)/({_ID})(?:/(revision|tree|refs|commits|paths-info)"
    rf"(?:/({_REV})(?:/(.*))?)?)?"
)
FILE_PATH = re.compile(rf"/(datasets/)?({_ID})/resolve/({_REV})/(.*)", re.DOTALL)


class ApiError(Exception):
    """An answer other than success, with the headers by which clients choose their exception."""

    def __init__(self, status: int, code: str | None, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.headers = {"X-Error-Message": message, **headers}
        if code:
            self.headers["X-Error-Code"] = code


# --- repositories on disk ---------------------------------------------------------------------


def _read_json(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return default


def _write_json(path: Path, value: Any) -> None:
    # The server may read at any moment: it sees the old file or the new one.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(value, indent=1), "utf-8")
    temporary.replace(path)


def _date(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _is_plain(path: str) -> bool:
    parts = path.split("/")
    return not {"", ".", ".."} & set(parts) and "\0" not in path and max(map(len, parts)) < 250


def _blob_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def add_repo(
    root: str | os.PathLike[str],
    kind: str,
    repo_id: str,
    files: Mapping[str, bytes],
    branch: str = "main",
    **settings: Any,
) -> str:
    """Commit files to a repository, point a branch (or tag, or any ref) at it, return its sha.

    Settings go to repo.json and stay for later commits; ``extra_tree`` goes to its own file.
    """
    folder = Path(root, kind, *repo_id.split("/"))
    digest = hashlib.sha1(f"{kind}/{repo_id}".encode())
    for path, content in sorted(files.items()):
        if not _is_plain(path):
            raise ValueError(f"{path!r} can't be a file on disk: offer it through extra_tree")
        digest.update(b"\0%d %s %d\0" % (len(path.encode()), path.encode(), len(content)) + content)
    sha = digest.hexdigest()
    (folder / sha).mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        target = folder / sha / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    if "extra_tree" in settings:
        _write_json(folder / "extra_tree.json", settings.pop("extra_tree"))
    if settings:
        _write_json(folder / "repo.json", _read_json(folder / "repo.json", {}) | settings)
    refs, commits = _read_json(folder / "refs.json", {}), _read_json(folder / "commits.json", {})
    date = _date(EPOCH + timedelta(hours=len(commits)))  # later commits have later dates
    commits.setdefault(sha, {"parent": refs.get(branch), "date": date})
    _write_json(folder / "commits.json", commits)
    _write_json(folder / "refs.json", refs | {branch: sha})
    return sha


@dataclass
class File:
    """Bytes to be served: a file on disk, or the generic body if it has no source."""

    path: str
    source: Path | None
    size: int
    oid: str  # of the git blob; for an LFS file that blob is its pointer
    sha256: str | None = None  # LFS files only
    pointer_size: int = 0

    def entry(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "file", "oid": self.oid, "size": self.size}
        if self.sha256:
            size, pointer = self.size, self.pointer_size
            found["lfs"] = {"oid": self.sha256, "size": size, "pointerSize": pointer}
        return found | {"path": self.path}


_hashes: dict[tuple[str, str, int, int], str] = {}


def _file_hash(source: Path, name: str) -> str:
    """The sha256 or git blob sha1 of a file, computed once for each state of it."""
    stat = source.stat()
    key = (name, str(source), stat.st_size, stat.st_mtime_ns)
    if key not in _hashes:
        start = b"blob %d\0" % stat.st_size if name == "sha1" else b""
        with source.open("rb") as stream:
            _hashes[key] = hashlib.file_digest(stream, lambda: hashlib.new(name, start)).hexdigest()
    return _hashes[key]


@dataclass
class Repo:
    """One repository folder, as it is on disk now."""

    kind: str
    repo_id: str
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def refs(self) -> dict[str, str]:
        return _read_json(self.folder / "refs.json", {})

    def listed_refs(self, pull_requests: bool) -> dict[str, list[dict[str, str]]]:
        kinds = ["branches", "converts", "tags"] + ["pullRequests"] * pull_requests
        found: dict[str, list[dict[str, str]]] = {kind: [] for kind in kinds}
        for ref, sha in self.refs().items():
            if not ref.startswith("refs/"):
                ref = f"refs/{'tags' if re.match(r'v[0-9]', ref) else 'heads'}/{ref}"
            _, kind, name = ref.split("/", 2)
            kind = {"tags": "tags", "convert": "converts", "pr": "pullRequests"}.get(kind, kinds[0])
            if kind in found:
                found[kind].append({"name": name, "ref": ref, "targetCommit": sha})
        return found

    def commit(self, revision: str) -> str:
        refs = self.refs()
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if name in refs:
                return refs[name]
        if SHA.fullmatch(revision) and (self.folder / revision).is_dir():
            return revision
        raise ApiError(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    def history(self, sha: str | None) -> Iterator[dict[str, Any]]:
        known = _read_json(self.folder / "commits.json", {})
        while sha:
            yield {
                "id": sha,
                "title": f"Commit {sha[:7]}",
                "message": "",
                "authors": [{"user": "tester", "avatar": "/avatars/tester.svg"}],
                "date": known.get(sha, {}).get("date", _date(EPOCH)),
            }
            sha = known.get(sha, {}).get("parent")

    def extra(self) -> list[dict[str, Any]]:
        generic = {"type": "file", "oid": _blob_sha1(GENERIC_BODY), "size": len(GENERIC_BODY)}
        return [generic | entry for entry in _read_json(self.folder / "extra_tree.json", [])]

    def file(self, sha: str, path: str) -> File | None:
        source = self.folder / sha / path
        if _is_plain(path) and source.is_file():
            size = source.stat().st_size
            limit = self.settings.get("lfs_threshold", LFS_THRESHOLD)
            if size <= limit and not path.endswith(LFS_ENDINGS):
                return File(path, source, size, _file_hash(source, "sha1"))
            sha256 = _file_hash(source, "sha256")
            version = "version https://git-lfs.github.com/spec/v1"
            pointer = f"{version}\noid sha256:{sha256}\nsize {size}\n".encode()
            return File(path, source, size, _blob_sha1(pointer), sha256, len(pointer))
        for entry in self.extra():
            if entry["path"] == path and entry["type"] == "file":
                return File(path, None, len(GENERIC_BODY), entry["oid"])
        return None

    def entries(self, sha: str, below: str = "", recursive: bool = True) -> list[dict[str, Any]]:
        top = self.folder / sha
        if below and not (_is_plain(below) and (top / below).is_dir()):
            raise ApiError(404, "EntryNotFound", f'{below} does not exist on "{sha}"')
        found = []
        for folder, names, files in os.walk(top / below, followlinks=True):
            names.sort()
            place = Path(folder).relative_to(top)
            for name in names:
                path = (place / name).as_posix()
                oid = hashlib.sha1(f"{sha}/{path}".encode()).hexdigest()
                found.append({"type": "directory", "oid": oid, "size": 0, "path": path})
            for name in sorted(files):
                if file := self.file(sha, (place / name).as_posix()):
                    found.append(file.entry())
            if not recursive:
                break
        return found if below else found + self.extra()

    def card(self, sha: str) -> dict[str, Any] | None:
        """The YAML at the head of README.md."""
        from huggingface_hub import metadata_load  # here: tests set its variables before

        readme = self.folder / sha / "README.md"
        try:
            card = metadata_load(readme) if readme.is_file() else None
        except Exception:  # no YAML, which a hub takes all the same
            card = None
        return json.loads(json.dumps(card, default=str)) if card else None

    def info(self, sha: str, blobs: bool) -> dict[str, Any]:
        card, siblings = self.card(sha), []
        for entry in self.entries(sha):
            if entry["type"] == "file":
                sibling = {"rfilename": entry["path"]}
                if blobs:
                    sibling |= {"size": entry["size"], "blobId": entry["oid"]}
                    if lfs := entry.get("lfs"):
                        sibling["lfs"] = {"sha256": lfs["oid"]} | lfs
                siblings.append(sibling)
        tags = list(self.settings.get("tags", []))
        licenses = (card or {}).get("license") or []
        tags += [f"license:{n}" for n in ([licenses] if isinstance(licenses, str) else licenses)]
        found = {
            "_id": hashlib.sha1(self.repo_id.encode()).hexdigest()[:24],
            "id": self.repo_id,
            "author": self.repo_id.split("/")[0],
            "sha": sha,
            "createdAt": _date(EPOCH),
            "lastModified": next(self.history(sha))["date"],
            "private": self.settings.get("private", False),
            "gated": self.settings.get("gated", False),
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": tags,
            "siblings": siblings,
        }
        if card is not None:
            found["cardData"] = card
        return found | ({"modelId": self.repo_id} if self.kind == "models" else {})


def find_repo(root: Path, kind: str, repo_id: str) -> Repo | None:
    """The repository of that id or alias; its own ``repo_id`` is the canonical one."""
    if "/" in repo_id and _is_plain(repo_id) and (root / kind / repo_id).is_dir():
        folder = root / kind / repo_id
        return Repo(kind, repo_id, folder, _read_json(folder / "repo.json", {}))
    for path in (root / kind).glob("*/*/repo.json"):
        settings = _read_json(path, {})
        if repo_id in settings.get("aliases", []):
            name = path.parent.relative_to(root / kind).as_posix()
            return Repo(kind, name, path.parent, settings)
    return None


# --- the server -------------------------------------------------------------------------------


@dataclass
class Fault:
    """What goes wrong, for which paths, and how many times more (-1: for ever)."""

    pattern: str
    kind: str
    times: int = -1
    options: dict[str, Any] = field(default_factory=dict)


BEFORE_ANSWER = {"status", "hang", "down"}
IN_BODY = {"cut", "slow", "flip", "short"}  # only answers with a body use these up
IN_RANGE = {"whole", "shifted"}  # only answers to a request for a part use these up


class State:
    """What the threads of the server share."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cdn = ""  # origin of the signed addresses
        self.signed: dict[str, File] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, int, str | None]] = []
        self.lock = threading.Lock()

    def take_fault(self, path: str, kinds: set[str]) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                # Clients ask for this list when their cache is new: no fault is meant for that.
                aside = fault.times > 0 and path == HARNESSES
                wanted = fault.kind in kinds and fault.times and not aside
                if wanted and re.search(fault.pattern, path):
                    fault.times -= fault.times > 0
                    return fault
        return None


class Handler(BaseHTTPRequestHandler):
    """Answers for both ports."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes
    state: State

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: tests ask for the requests instead."""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else b""
        self.raw_path, _, query = self.path.partition("?")
        self.query = {name: values[-1] for name, values in parse_qs(query).items()}
        try:
            if self.raw_path in CONTROL:
                self.control()
            elif self.before_answer():
                self.route()
        except ApiError as error:
            self.answer_json({"error": error.message}, error.status, error.headers)
        except ConnectionError:
            self.close_connection = True  # the client went away

    do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815

    def control(self) -> None:
        state = self.state
        with state.lock:
            kept = state.requests if self.raw_path == "/_requests" else state.faults
            if self.command == "DELETE":
                kept.clear()
            elif self.command == "POST":
                state.faults.append(Fault(**json.loads(self.body)))
            answer = list(state.requests)
        self.answer_json(answer)

    def before_answer(self) -> bool:
        """Apply a fault that comes before the answer; whether the request is still to be served."""
        fault = self.state.take_fault(self.path, BEFORE_ANSWER)
        if fault is None:
            return True
        if fault.kind == "hang":
            time.sleep(fault.options.get("seconds", 60))
            return True
        if fault.kind == "down":
            self.note(0)
            self.close_connection = True
            return False
        status, after = fault.options.get("status", 500), fault.options.get("retry_after")
        headers = {} if after is None else {"Retry-After": str(after)}
        message = fault.options.get("message", HTTPStatus(status).phrase)
        raise ApiError(status, fault.options.get("code"), message, **headers)

    def authorized(self) -> bool:
        value = self.headers.get("Authorization")
        if value not in (None, f"Bearer {TOKEN}"):
            # The real hub sends no code with this one, and says so even for public repositories.
            raise ApiError(401, None, "Invalid credentials in Authorization header")
        return value is not None

    def route(self) -> None:
        path = self.raw_path
        if path.startswith("/_cdn/"):
            self.signed_file()
        elif path == "/api/whoami-v2":
            if not self.authorized():
                raise ApiError(401, None, "Invalid username or password.")
            auth = {"type": "access_token", "accessToken": {"displayName": "t", "role": "read"}}
            self.answer_json({"type": "user", "name": "tester", "orgs": [], "auth": auth})
        elif path == HARNESSES:
            self.answer_json({"standardEnvVars": [], "harnesses": {}})
        elif match := API_PATH.fullmatch(path):
            repo = self.repo(match, redirect=match[3] not in (None, "revision"))
            self.api(repo, match[3], unquote(match[4] or "main"), unquote(match[5] or ""))
        elif match := FILE_PATH.fullmatch(path):
            self.resolve(self.repo(match), unquote(match[3]), unquote(match[4]))
        else:
            raise ApiError(404, None, "Sorry, we can't find the page you are looking for.")

    def repo(self, match: re.Match[str], redirect: bool = True) -> Repo:
        """The repository of a path, if it may be seen; an alias is sent to its canonical id."""
        kind, repo_id, authorized = match[1] or "models", unquote(match[2]), self.authorized()
        repo = find_repo(self.state.root, kind.strip("/"), repo_id)
        if repo is None or (repo.settings.get("private") and not authorized):
            # Without a token the hub doesn't say whether the repository exists.
            if authorized:
                raise ApiError(404, "RepoNotFound", "Repository not found")
            raise ApiError(401, "RepoNotFound", "Invalid username or password.")
        if redirect and repo.repo_id != repo_id:
            location = self.path[: match.start(2)] + repo.repo_id + self.path[match.end(2) :]
            raise ApiError(307, None, "Temporary Redirect", Location=location)
        return repo

    def api(self, repo: Repo, verb: str | None, revision: str, below: str) -> None:
        if verb == "refs":
            self.answer_json(repo.listed_refs(self.flag("include_prs")))
            return
        sha = repo.commit(revision)
        if verb == "commits":
            self.answer_pages(list(repo.history(sha)), EXPANDED_PAGE)
        elif verb in ("tree", "paths-info"):
            form = parse_qs(self.body.decode())
            if verb == "tree":
                entries = repo.entries(sha, below.strip("/"), self.flag("recursive"))
            else:
                entries = [e for e in repo.entries(sha) if e["path"] in form.get("paths", [])]
            expand = self.flag("expand") or form.get("expand") == ["true"]
            if expand:
                last = {n: v for n, v in next(repo.history(sha)).items() if n in LAST_COMMIT}
                entries = [entry | {"lastCommit": last} for entry in entries]
            self.answer_pages(entries, EXPANDED_PAGE if expand else PAGE)
        else:
            self.answer_json(repo.info(sha, self.flag("blobs")))

    def resolve(self, repo: Repo, revision: str, path: str) -> None:
        gated = repo.settings.get("gated", False)
        if gated and not self.authorized():
            # The listing of a gated repository is open, its files aren't. (Without any token the
            # real hub is said to answer 401 with the same code: set gated_status for that.)
            message = (
                f"Access to {repo.kind[:-1]} {repo.repo_id} is restricted and you are not in the "
                f"authorized list. Visit https://huggingface.co/{repo.repo_id} to ask for access."
            )
            raise ApiError(repo.settings.get("gated_status", 403), "GatedRepo", message)
        sha = repo.commit(revision)
        headers = {"X-Repo-Commit": sha}
        file = repo.file(sha, path)
        if file is None:
            raise ApiError(404, "EntryNotFound", "Entry not found", **headers)
        if not file.sha256:
            self.answer_file(file, headers | {"ETag": f'"{file.oid}"'})
            return
        self.state.signed[file.sha256] = file
        name = quote(posixpath.basename(path))
        # The name stands in the address as on the real hub, so that faults can be aimed at a file.
        shown = f"inline; filename*=UTF-8''{name}; filename=\"{name}\";"
        signature = {"Expires": "4102444800", "Signature": SIGNATURE, "Key-Pair-Id": "TEST"}
        query = urlencode({"response-content-disposition": shown} | signature)
        headers |= {
            "Location": f"{self.state.cdn}/_cdn/{file.sha256}?{query}",
            "X-Linked-Etag": f'"{file.sha256}"',
            "X-Linked-Size": str(file.size),
            "Accept-Ranges": "bytes",
            "Content-Length": "0",
        }
        self.answer(302, headers)

    def signed_file(self) -> None:
        file = self.state.signed.get(self.raw_path.rpartition("/")[2])
        if file is None or self.query.get("Signature") != SIGNATURE:
            raise ApiError(403, None, "Access denied")
        self.answer_file(file, {"ETag": f'"{file.sha256}"'})

    # --- answers ---

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("true", "1")

    def note(self, status: int) -> None:
        if self.raw_path not in CONTROL:
            said = (self.headers.get("Authorization"), self.headers.get("Range"))
            entry = (self.command, self.path, status, *said)
            self.state.requests.append(entry)

    def answer(self, status: int, headers: Mapping[str, str]) -> None:
        self.note(status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def answer_json(
        self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        content = json.dumps(value).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
        self.answer_body(status, headers, io.BytesIO(content), (0, len(content)))

    def answer_pages(self, entries: list[dict[str, Any]], size: int) -> None:
        size = min(size, int(self.query.get("limit", size)))
        start = int(self.query.get("cursor", 0))
        headers = {}
        if start + size < len(entries):
            query = urlencode(self.query | {"cursor": str(start + size)})
            following = f"http://{self.headers['Host']}{self.raw_path}?{query}"
            headers["Link"] = f'<{following}>; rel="next"'
        self.answer_json(entries[start : start + size], headers=headers)

    def answer_file(self, file: File, headers: Mapping[str, str]) -> None:
        start, stop, status = 0, file.size, 200
        kind = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
        asked = self.headers.get("Range", "")
        fault = self.state.take_fault(self.path, IN_RANGE) if asked else None
        if fault and fault.kind == "whole":
            asked = ""
        if match := re.fullmatch(r"bytes=(\d*)-(\d*)", asked):
            first, last = match.groups()
            start = int(first) if first else max(0, file.size - int(last or 0))
            stop = min(file.size, int(last) + 1) if first and last else file.size
            if start >= stop:
                size = {"Content-Range": f"bytes */{file.size}"}
                raise ApiError(416, None, "Range Not Satisfiable", **size)
            status = 206
            start -= 1 if fault else 0  # another part than was asked for
            kind["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
        if file.source is None:
            self.answer_body(status, kind, io.BytesIO(GENERIC_BODY), (start, stop))
        else:
            with file.source.open("rb") as stream:
                self.answer_body(status, kind, stream, (start, stop))

    def answer_body(
        self, status: int, headers: Mapping[str, str], content: BinaryIO, span: tuple[int, int]
    ) -> None:
        """Send the bytes of that span, or what a fault leaves of them."""
        fault, (start, stop) = None, span
        if self.command != "HEAD" and status in (200, 206) and self.raw_path not in CONTROL:
            fault = self.state.take_fault(self.path, IN_BODY)
        kind, options = (fault.kind, fault.options) if fault else ("", {})
        if kind == "short":
            stop = min(stop, start + options.get("bytes", (stop - start) // 2))
        self.answer(status, {**headers, "Content-Length": str(stop - start)})
        if self.command == "HEAD" or start == stop:
            return
        if fault is None:  # the fast way; writes plainly where the content is in memory
            self.connection.sendfile(content, start, stop - start)
            return
        if kind == "cut":
            stop = min(stop, start + options.get("after", 0))
            self.close_connection = True
        rate = options.get("bytes_per_second", 0) if kind == "slow" else 0
        step = max(1, rate // 20) if rate else CHUNK
        while start < stop:
            until = min(stop, start + step)
            content.seek(start)
            piece = bytearray(content.read(until - start))
            if kind == "flip" and start <= options.get("byte", 0) < until:
                piece[options.get("byte", 0) - start] ^= 1
            self.wfile.write(piece)
            start = until
            if rate:
                time.sleep(len(piece) / rate)


class Server(ThreadingHTTPServer):
    """Its threads end with the process, even while clients keep their connections."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    parser = argparse.ArgumentParser(description="A small Hugging Face hub for tests.")
    parser.add_argument("root", type=Path)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    state = State(arguments.root)
    handler = type("BoundHandler", (Handler,), {"state": state})
    hub, cdn = (Server(("127.0.0.1", port), handler) for port in (arguments.port, 0))
    state.cdn = f"http://127.0.0.1:{cdn.server_port}"
    for server in (hub, cdn):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{hub.server_port}", flush=True)
    sys.stdin.buffer.read()  # whoever started the hub closes this, also by dying


# --- for tests --------------------------------------------------------------------------------


class Hub:
    """A hub in its own process, as a test sees it."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url
        # Proxies of the environment are nothing to do with this hub.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def _ask(self, method: str, route: str, value: Any = None) -> Any:
        content = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(self.url + route, content, method=method)
        with self._opener.open(request, timeout=30) as answer:
            return json.load(answer)

    def requests(self) -> list[tuple[str, str, int, str | None, str | None]]:
        """(method, path with query, status, Authorization, Range) since the start or last clear.

        The status is 0 where the connection was closed without an answer.
        """
        return [tuple(entry) for entry in self._ask("GET", "/_requests")]

    def clear(self) -> None:
        self._ask("DELETE", "/_requests")

    def fault(self, pattern: str, kind: str, times: int = -1, **options: Any) -> None:
        """Make requests go wrong whose path (as sent, with its query) contains the pattern.

        status(status, retry_after, code, message), hang(seconds), down(), and for bodies
        cut(after), slow(bytes_per_second), flip(byte), short(bytes), and for those of a part
        whole() and shifted(). A large file has its name
        both in the path that redirects and in the signed address, which begins with /_cdn/.
        """
        if kind not in BEFORE_ANSWER | IN_BODY | IN_RANGE:
            raise ValueError(f"no fault is called {kind!r}")
        re.compile(pattern)
        value = {"pattern": pattern, "kind": kind, "times": times, "options": options}
        self._ask("POST", "/_faults", value)

    def clear_faults(self) -> None:
        self._ask("DELETE", "/_faults")

    def stop(self) -> None:
        """End the process: connections to its address are refused from now on."""
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def running_hub(root: str | os.PathLike[str], port: int = 0) -> Iterator[Hub]:
    """A hub over that folder for the length of a ``with`` block."""
    command = [sys.executable, str(Path(__file__)), str(root), "--port", str(port)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        url = process.stdout.readline().strip() if process.stdout else ""
        if not url:
            raise RuntimeError("the hub didn't start")
        hub = Hub(process, url)
        try:
            yield hub
        finally:
            hub.stop()


if __name__ == "__main__":
    main()
