"""Verify an asset's files by hash; unchanged files may be trusted by size and time.

A stamp is the size, modification time and inode of a file when it was last hashed. Stamps are kept
in `.verified.json` in the asset's folder and are of no use on another machine.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from research_data.assets.manifest import MANIFEST, Manifest, read_manifest
from research_data.durable import write_bytes
from research_data.errors import DamagedAssetError, StorageError

STAMPS = ".verified.json"
CHUNK = 1 << 20

Stamps = dict[str, list[int]]
OnBytes = Callable[[int], None]


def check_asset(folder: Path) -> Manifest:
    """The manifest of an intact asset; hashes only the files changed since the last hashing.

    Raises DamagedAssetError.
    """
    manifest = read_manifest(folder)
    stamps = take_stamps(folder, manifest.files)  # before hashing: see verify_asset
    if touched := touched_files(folder, manifest):
        _raise_if_damaged(folder, find_damage(folder, manifest, touched))
        write_stamps(folder, stamps)
    return manifest


def verify_asset(folder: Path, on_bytes: OnBytes = lambda count: None) -> Manifest:
    """Hash every file of an asset against its .asset.json, files in parallel; returns the manifest.

    on_bytes: called with the number of bytes hashed, from several threads. Raises
    DamagedAssetError, which names the damaged files.
    """
    manifest = read_manifest(folder)
    stamps = take_stamps(folder, manifest.files)  # before hashing: a change meanwhile is noticed
    _raise_if_damaged(folder, find_damage(folder, manifest, manifest.files, on_bytes))
    write_stamps(folder, stamps)
    return manifest


def find_damage(
    folder: Path,
    manifest: Manifest,
    names: Iterable[str],
    on_bytes: OnBytes = lambda count: None,
) -> dict[str, str]:
    """Hash the named files of an asset in parallel; returns what is wrong with each damaged one."""
    largest_first = sorted(names, key=lambda name: -manifest.files[name].size)

    def look(name: str) -> str | None:
        path, entry = folder / name, manifest.files[name]
        if not os.path.lexists(path):
            return "is missing"
        way = [path, *(folder / parent for parent in Path(name).parents[:-1])]
        if any(step.is_symlink() for step in way) or not path.is_file():
            return "is not a plain file of this folder"
        try:
            if (size := path.stat().st_size) != entry.size:
                return f"has {size} bytes, {MANIFEST} says {entry.size}"
            if (seen := sha256_of(path, on_bytes)) != entry.sha256:
                return f"is damaged: its sha256 is {seen}, {MANIFEST} says {entry.sha256}"
        except OSError as error:
            return f"can't be read: {error.strerror}"
        return None

    with ThreadPoolExecutor(count_cores()) as pool:
        found = zip(largest_first, pool.map(look, largest_first), strict=True)
        return {name: wrong for name, wrong in found if wrong is not None}


def sha256_of(path: Path, on_bytes: OnBytes = lambda count: None) -> str:
    """The sha256 of a file, in hex; other threads run meanwhile."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            on_bytes(count)
    return digest.hexdigest()


def touched_files(folder: Path, manifest: Manifest) -> list[str]:
    """The files of an asset whose stamps changed since they were last hashed."""
    known = _read_stamps(folder)
    return [
        name
        for name, stamp in take_stamps(folder, manifest.files).items()
        if stamp != known.get(name)
    ]


def take_stamps(folder: Path, names: Iterable[str]) -> Stamps:
    """The stamp of each file as it is now."""
    return {name: _stamp(folder / name) for name in names}


def write_stamps(folder: Path, stamps: Stamps) -> None:
    """Save the stamps of files that were found intact; not saved in a read-only folder."""
    with suppress(StorageError):
        write_bytes(folder / STAMPS, json.dumps(stamps).encode())


def _read_stamps(folder: Path) -> Stamps:
    try:
        stamps = json.loads((folder / STAMPS).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _stamp(path: Path) -> list[int]:
    try:
        status = path.lstat()
    except OSError:
        return [-1, 0, 0]  # no file has this stamp
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _raise_if_damaged(folder: Path, damage: dict[str, str]) -> None:
    if damage:
        what = "; ".join(f"{name} {wrong}" for name, wrong in sorted(damage.items())[:10])
        more = f"; and {len(damage) - 10} more files" if len(damage) > 10 else ""
        raise DamagedAssetError(folder, what + more)


def count_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
