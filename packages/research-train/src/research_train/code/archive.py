"""Archive the code of a run, so that it still runs when commits are gone.

It holds the root pyproject, uv.lock, the member's folder and the internal packages that it reaches,
with uncommitted changes and untracked files. Once it is unpacked, `uv run --frozen` runs it. Links
are followed, and all files of the member's import package are in it, even those that git ignores,
since the fingerprint counts them. Secrets are left out.
"""

import ast
import gzip
import hashlib
import io
import os
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from research_data.durable import write_bytes

from research_train.code.git import Listing, list_files
from research_train.code.parsed_files import ParsedFiles
from research_train.code.places import files_in, is_cache, module_folder
from research_train.code.secret_files import holds_secret, is_secret_name, without_secrets
from research_train.experiment.members import Member
from research_train.versions.requirements import internal_packages

LARGEST_FILE = (
    10_000_000  # bytes; code is smaller, and a stray dataset must not enter every archive
)


def archive_source(member: Member, packages: Iterable[str], folder: Path) -> str:
    """Store the code in folder as <sha256>.tar.gz, unless it is there; returns the sha256.

    packages: the internal packages to include. Equal code gives equal bytes. An archive that is
    already there gets a new modification time, so that `remove_runs` keeps it for the run that is
    starting. A warning on stderr names the files left out: those that are too large, and those that
    may hold a secret (secret_files.py).
    """
    files = [
        (name, 0o755 if path.stat().st_mode & 0o100 else 0o644, stored)
        for name, path, stored in _stored_files(member, packages, say=True)
    ]
    # To compress them takes longer than all else, so the name that they gave before is kept.
    known = ParsedFiles()
    key = f"archive {_digest(files)}"
    sha256 = known.recall(key)
    if isinstance(sha256, str) and _is_there(folder / f"{sha256}.tar.gz"):
        return sha256
    content = _compressed(files)
    sha256 = hashlib.sha256(content).hexdigest()
    target = folder / f"{sha256}.tar.gz"
    if not _is_there(target):
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(target, content)
    known.keep(key, sha256)
    known.save()
    return sha256


def _digest(files: Iterable[tuple[str, int, bytes]]) -> str:
    """A hash of (name, mode, content) of each file, and of what compresses them."""
    found = hashlib.sha256(zlib.ZLIB_RUNTIME_VERSION.encode())
    for name, mode, stored in files:
        found.update(f"{len(stored)} {mode} {name}\0".encode(errors="surrogateescape"))
        found.update(stored)
    return found.hexdigest()


def _compressed(files: Iterable[tuple[str, int, bytes]]) -> bytes:
    """A tar.gz of (name, mode, content) of each file."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=buffer, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, mode, stored in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(stored), mode
            archive.addfile(entry, io.BytesIO(stored))
    return buffer.getvalue()


def _is_there(archive: Path) -> bool:
    """Whether it is; it gets a new modification time."""
    try:
        os.utime(archive)
    except FileNotFoundError:
        return False
    except PermissionError:  # another user's, in a folder that is shared
        pass
    return True


def changed_files(member: Member, packages: Iterable[str], archive: Path) -> list[str]:
    """The files that can change a number and differ between an archive and the present code.

    These are Python files other than tests, and all files in the member's import package.
    """
    inside = {_name(folder, member.workspace) for folder in import_packages(member)}

    def counts(name: str) -> bool:
        return _is_code(name) or any(name.startswith(f"{folder}/") for folder in inside)

    now = {
        name: hashlib.sha256(content).digest()
        for name, _, content in _stored_files(member, packages, say=False)
        if counts(name)
    }
    then = {
        name: hashlib.sha256(content).digest() for name, content in archived_files(archive, counts)
    }
    return sorted(
        shown_name(name) for name in now.keys() | then.keys() if now.get(name) != then.get(name)
    )


def archived_files(
    archive: Path, wanted: Callable[[str], bool] = lambda name: True
) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in a source archive whose name is wanted.

    Raises OSError, EOFError, ValueError, tarfile.TarError or zlib.error for a damaged archive.
    """
    with tarfile.open(archive) as stored:
        for entry in stored:
            content = stored.extractfile(entry) if wanted(entry.name) else None
            if content is not None:
                yield entry.name, content.read()


def shown_name(name: str) -> str:
    """The name of a file to show to a person: bytes that aren't UTF-8 appear as `\\xff`."""
    return os.fsencode(name).decode(errors="backslashreplace")


def import_packages(member: Member) -> list[Path]:
    """The folders of the packages that the member's experiments are imported from."""
    tops = dict.fromkeys(module.split(".")[0] for module in member.experiments.values())
    found = [folder.resolve() for top in tops if (folder := module_folder(top)) is not None]
    return [each for each in found if each.is_dir() and each.is_relative_to(member.folder)]


def member_code(member: Member) -> list[Path]:
    """The Python files of a member except its tests, sorted."""
    return [
        file
        for file in _files(member.folder, list_files([member.folder])[member.folder])
        if file.suffix == ".py" and "tests" not in file.relative_to(member.folder).parts
    ]


def imports(file: Path, anywhere: bool) -> Iterator[str]:
    """Top-level names of the modules that a Python file imports."""
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except SyntaxError:
        return  # importing it will say so
    for node in ast.walk(tree) if anywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def _is_code(name: str) -> bool:
    return name.endswith(".py") and "tests" not in name.split("/")


def _stored_files(
    member: Member, packages: Iterable[str], say: bool
) -> Iterator[tuple[str, Path, bytes]]:
    """For each file its name in the archive, its path and the bytes to store, sorted by name.

    Files that hold a secret and aren't tracked by git are left out. In Python code a token is
    replaced by stars instead, so that the archived code still runs.
    """
    workspace = member.workspace
    internal = internal_packages(workspace)
    folders = [member.folder, *(internal[name] for name in packages)]
    listings = list_files(folders)
    tracked = set().union(*(each.tracked for each in listings.values() if each))
    files = {file for folder, listing in listings.items() for file in _files(folder, listing)}
    files.update(file for folder in import_packages(member) for file in files_in(folder))
    root = [workspace / name for name in ("pyproject.toml", "uv.lock")]
    files.update(file for file in root if file.is_file())
    secrets, large = [], []
    for name, file in sorted((_name(file, workspace), file) for file in files):
        if file.stat().st_size > LARGEST_FILE:
            large.append(name)
            continue
        content = file.read_bytes()
        if file in tracked or file in root:  # its repository has it, and hands it on
            yield name, file, content
            continue
        if file.suffix != ".py" and (is_secret_name(name) or holds_secret(content)):
            secrets.append(name)
            continue
        kept = without_secrets(content)
        if kept != content:
            secrets.append(f"{name} (the token in it)")
        yield name, file, kept
    if say and large:
        print(f"warning: too large for the source archive: {_listed(large)}", file=sys.stderr)
    if say and secrets:
        print(
            f"warning: left out of the source archive, as secrets: {_listed(secrets)}",
            file=sys.stderr,
        )


def _listed(names: list[str]) -> str:
    return ", ".join(shown_name(name) for name in names)


def _name(file: Path, workspace: Path) -> str:
    return file.relative_to(workspace).as_posix()


def _files(folder: Path, listing: Listing | None) -> list[Path]:
    """The source files of a folder, sorted: tracked by git or not ignored, and no links."""
    everything: set[Path] = set()
    for place, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(".")]
        everything.update(Path(place, name) for name in names if not name.startswith("."))
    # Without git: an unpacked archive or a zip. With it, Python files count even where ignored: a
    # module may be called `runs`.
    paths = {path for path in everything if listing is None or path.suffix == ".py"}
    for path in (listing.tracked | listing.others) if listing else ():
        paths.update(files_in(path) if path.is_dir() and not path.is_symlink() else [path])
    return sorted(
        path
        for path in paths
        if path.is_file()
        and not path.is_symlink()
        and not any(is_cache(part) for part in (path, *path.parents))
    )
