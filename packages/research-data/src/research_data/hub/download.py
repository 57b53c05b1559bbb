"""Download one file of a hub: continue an interrupted try, and verify the hash."""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from research_data.assets.verify import CHUNK, OnBytes
from research_data.errors import HubError
from research_data.hub.client import ATTEMPTS, CLIENT_FILES, HubFile, HubRepository, patiently
from research_data.hub.errors import client_errors


def download_file(repository: HubRepository, file: HubFile, folder: Path, on_bytes: OnBytes) -> str:
    """Download one file to its place below folder; returns its sha256, equal to the hub's.

    A file that is already there and has the right hash is kept; an interrupted download continues
    with the missing bytes. on_bytes: called with the number of bytes that arrived, negative when
    bytes have to be fetched again; an exception from it stops the download. Raises HubError,
    StorageError.
    """
    path = folder / file.name
    if path.is_file():
        if sha256 := _right_sha256(path, file):
            on_bytes(file.size)
            return sha256
        path.unlink()
    # Its name has the hash that it must have, so that bytes of different revisions never mix, and a
    # hash of the file's name, so that two files with equal content don't share it.
    own = hashlib.sha256(file.name.encode()).hexdigest()[:8]
    arriving = folder / CLIENT_FILES / f"{file.sha256 or file.git_sha1}-{own}.incomplete"
    with client_errors(repository.kind, repository.repo_id, repository.revision, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        arriving.parent.mkdir(parents=True, exist_ok=True)
    told = 0

    def tell(there: int) -> None:
        nonlocal told
        change, told = there - told, there
        on_bytes(change)

    for _ in range(ATTEMPTS):
        patiently(lambda: _fetch_rest(repository, file, arriving, tell))
        if sha256 := _right_sha256(arriving, file):
            arriving.replace(path)
            tell(file.size)
            return sha256
        arriving.unlink()  # try again from the first byte
        tell(0)
    raise HubError(
        f"{repository.repo_id}: {file.name} arrived {ATTEMPTS} times with bytes that don't match "
        "the hub's hash. Something between here and the hub alters them, or the hub's copy is "
        "damaged. Nothing of it was kept."
    )


def _fetch_rest(
    repository: HubRepository, file: HubFile, arriving: Path, tell: Callable[[int], None]
) -> None:
    """Complete the file `arriving`, requesting only the bytes that it lacks.

    tell: called repeatedly with the number of bytes that are there.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    with client_errors(repository.kind, repository.repo_id, repository.revision, arriving):
        address = hf_hub_url(
            repository.repo_id,
            file.name,
            repo_type=repository.kind,
            revision=repository.revision,
            endpoint=repository.endpoint,
        )
        other_size = HubError(
            f"{repository.repo_id}: {file.name} arrived with a size other than the hub announced",
            transient=True,
        )
        fetch_rest(
            address, build_hf_headers(), file.size, arriving, tell, hf_raise_for_status, other_size
        )


def fetch_rest(
    address: str,
    headers: Mapping[str, str],
    size: int,
    arriving: Path,
    tell: Callable[[int], None],
    refuse: Callable[[Any], object],
    other_size: Exception,
) -> None:
    """Complete the file `arriving`, of `size` bytes, from an address: only the bytes it lacks.

    tell: called repeatedly with the number of bytes that are there. refuse: called with a response
    of status 400 or above, to raise. other_size: raised if another number of bytes arrives; nothing
    is kept then unless fewer came. Raises the errors of the HTTP library.
    """
    from huggingface_hub import constants, get_session

    with arriving.open("ab", buffering=0) as written:
        there = written.tell()
        if there > size:
            there = written.truncate(0)
        tell(there)
        if there == size:
            return  # complete; the caller checks its hash
        asked = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
        with get_session().stream(
            "GET",
            address,
            headers={**headers, **asked},
            timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
            follow_redirects=True,  # the HTTP library sends the token only to the hub itself
        ) as response:
            if response.status_code >= 400:
                response.read()
                if there:  # for example 416: the server can't continue from this byte
                    written.truncate(0)
                refuse(response)
            if there and not _goes_on(response, there, size):
                there = written.truncate(0)
                if response.status_code != 200:
                    raise other_size
            for chunk in response.iter_bytes():
                there += len(chunk)
                if there > size:
                    written.truncate(0)
                    raise other_size
                written.write(chunk)
                tell(there)
        if there < size:
            raise other_size


def _goes_on(response: Any, there: int, size: int) -> bool:
    """Whether a response contains the rest of a file, from byte `there` on."""
    said = str(response.headers.get("Content-Range") or "")
    found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", said.strip())
    return (
        response.status_code == 206
        and found is not None
        and int(found.group(1)) == there
        and found.group(3) in (str(size), "*")
    )


def _right_sha256(path: Path, file: HubFile) -> str | None:
    """The sha256 of a file if its size and hash are those that the hub gives; else None."""
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
