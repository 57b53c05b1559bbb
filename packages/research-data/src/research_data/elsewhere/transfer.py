"""Push files to a store and fetch them back: hashed on both ends, and going on after a kill.

A push sends the manifest last, so that a folder without one is never taken for a whole push. What
was sent is read back and hashed. Files that are there already, with the right size and hash, are
not sent or fetched again.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from research_data.assets.manifest import FileEntry
from research_data.assets.verify import OnBytes, sha256_of
from research_data.elsewhere.store import Store
from research_data.errors import StorageError, StoreError

TRIES = 2
PARTIAL = ".partial"


@dataclass(frozen=True)
class Pushed:
    """A push that is whole. address: of the folder with the manifest.

    files, size: of all that is there, without the manifest. sent: the bytes that this push sent; 0
    if everything was there.
    """

    address: str
    files: int
    size: int
    sent: int


def push_files(
    store: Store,
    files: Mapping[str, tuple[Path, FileEntry]],
    manifest: tuple[str, bytes],
    on_bytes: OnBytes,
) -> Pushed:
    """Send files to a store's folder and then their manifest, reading each file back.

    files: name -> path and entry. manifest: its name and content. on_bytes: called with bytes sent
    and with bytes read back, so with twice the size in all. Raises StoreError, also for a file that
    the store gives back with other bytes.
    """
    manifest_name, content = manifest
    there = store.sizes()
    for name in [n for n in there if n.endswith(PARTIAL) and n[:-21] in files]:
        store.remove(name)  # of a push that was killed
    whole = there.get(manifest_name) == len(content) and (
        store.read(manifest_name, len(content)) == content
    )
    if manifest_name in there and not whole:
        store.remove(manifest_name)  # until the files are those of the new one
    sent = []

    def push(name: str) -> None:
        path, entry = files[name]
        if there.get(name) == entry.size:
            if store.sha256(name, on_bytes) == entry.sha256:
                on_bytes(entry.size)
                return
            on_bytes(-entry.size)  # read back in vain
        for _ in range(TRIES):
            store.put(name, path, entry.sha256[:12], on_bytes)
            if (seen := store.sha256(name, on_bytes)) == entry.sha256:
                sent.append(entry.size)
                return
            on_bytes(-2 * entry.size)
        raise StoreError(
            f"{store.address}/{name} was sent {TRIES} times, and comes back with the sha256 {seen} "
            f"instead of {entry.sha256}. Either {path} is being changed, or the store or the way "
            "to it alters bytes."
        )

    _side_by_side(store, push, files)
    if not whole:
        store.write(manifest_name, content)
        if store.read(manifest_name, len(content)) != content:
            raise StoreError(f"{store.address}/{manifest_name} comes back with other bytes")
    return Pushed(
        store.address, len(files), sum(entry.size for _, entry in files.values()), sum(sent)
    )


def fetch_files(
    store: Store, files: Mapping[str, FileEntry], folder: Path, on_bytes: OnBytes
) -> None:
    """Fetch files into a folder, and verify each; what arrived before is kept and gone on with.

    files: checked name -> entry. on_bytes: negative when bytes have to be fetched again. Raises
    StoreError for a file that is missing or isn't what its entry says; StorageError.
    """

    def fetch(name: str) -> None:
        try:
            _fetch(store, name, files[name], folder, on_bytes)
        except OSError as error:
            raise StorageError(folder / name, error) from error

    _side_by_side(store, fetch, files)


def _fetch(store: Store, name: str, entry: FileEntry, folder: Path, on_bytes: OnBytes) -> None:
    path = folder / name
    if path.is_file():
        if path.stat().st_size == entry.size and sha256_of(path) == entry.sha256:
            on_bytes(entry.size)
            return
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Named by what it must become, so that bytes of two pushes never mix.
    own = hashlib.sha256(f"{name}\0{entry.sha256}".encode()).hexdigest()[:24]
    arriving = path.with_name(f".{own}{PARTIAL}")
    for _ in range(TRIES):
        ended, there = _fetch_rest(store, name, entry.size, arriving, on_bytes)
        if ended and there == entry.size and sha256_of(arriving) == entry.sha256:
            arriving.replace(path)
            return
        arriving.unlink()
        on_bytes(-there)
    raise StoreError(
        f"{store.address}/{name} isn't the file of its manifest, which has {entry.size} bytes and "
        f"the sha256 {entry.sha256}. It is damaged there, or was pushed again meanwhile. Nothing "
        "of it was kept."
    )


def _fetch_rest(
    store: Store, name: str, size: int, arriving: Path, on_bytes: OnBytes
) -> tuple[bool, int]:
    """Append to the file `arriving` what it lacks of `size` bytes.

    Returns whether the store's file ended there, and how many bytes are here.
    """
    with arriving.open("ab") as written:
        there = written.tell()
        if there > size:
            there = written.truncate(0)
        on_bytes(there)
        for chunk in store.chunks(name, there) if there < size else ():
            kept = chunk[: size - there]
            written.write(kept)
            written.flush()
            there += len(kept)
            on_bytes(len(kept))
            if len(kept) < len(chunk):
                return False, there
    return True, there


def _side_by_side(store: Store, work: Callable[[str], None], names: Iterable[str]) -> None:
    """Do the work for each name, several at once; the first failure ends it."""
    pool = ThreadPoolExecutor(store.at_once)
    try:
        for _ in pool.map(work, names):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
