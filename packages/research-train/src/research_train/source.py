"""The code of a run: an archive that still runs when commits are gone, and its fingerprint.

The archive holds the root pyproject, uv.lock, the member's folder and the internal packages that
it reaches, uncommitted changes and untracked files included; unpacked, `uv run --frozen` runs it.
The fingerprint says whether two runs are the same experiment: code, config and data that can
change its numbers, and nothing else.
"""

import ast
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from research_data.durable import write_bytes

from research_train.config import TrainConfig
from research_train.members import Experiment, Member
from research_train.requirements import dependency_closure, internal_packages

LARGEST_FILE = (
    10_000_000  # bytes; code is smaller, and a stray dataset must not enter every archive
)

# Keys that cannot change what is computed. The seed is left out as well: runs that differ only in
# it are the same experiment, and the record holds it beside the fingerprint.
NEUTRAL_KEYS = frozenset(
    {
        "seed",
        "log_every",
        "checkpoint_every",
        "checkpoint_failure",
        "keep_checkpoints",
        "keep_every",
        "tensorboard",
        "wandb",
    }
)


def archive_source(member: Member, packages: Iterable[str], folder: Path) -> str:
    """Store the code in folder as <sha256>.tar.gz, unless it is there; returns the sha256.

    packages: the internal packages to include. Equal code gives equal bytes. An archive that is
    there becomes as young as a new one: `remove_runs` leaves it to the run that begins.
    """
    buffer = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=buffer, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path in _source_files(member, packages).items():
            entry = tarfile.TarInfo(name)
            entry.size = path.stat().st_size
            entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            with path.open("rb") as file:
                archive.addfile(entry, file)
    content = buffer.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    target = folder / f"{sha256}.tar.gz"
    try:
        os.utime(target)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(target, content)
    except PermissionError:  # another user's, in a folder that is shared
        pass
    return sha256


def changed_files(member: Member, packages: Iterable[str], archive: Path) -> list[str]:
    """The Python files, tests apart, that differ between an archive and the code as it is now."""
    now = {
        name: hashlib.sha256(path.read_bytes()).digest()
        for name, path in _source_files(member, packages).items()
        if _is_code(name)
    }
    then: dict[str, bytes] = {}
    with tarfile.open(archive) as stored:
        for entry in stored:
            content = stored.extractfile(entry) if _is_code(entry.name) else None
            if content is not None:
                then[entry.name] = hashlib.sha256(content.read()).digest()
    return sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))


def fingerprint(
    experiment: Experiment,
    config: TrainConfig,
    assets: Mapping[str, str],
    code: Mapping[str, object] | None = None,
) -> str:
    """Hash of all that can change an experiment's numbers, in hex.

    The member's Python files (tests apart), its config, the internal packages it imports, the
    versions of everything else it depends on, and the revisions of its data (name -> revision).
    code: of `code_identity`, where it is known already.
    """
    identity = {
        "experiment": experiment.name,
        "config": {
            key: value
            for key, value in config.model_dump(mode="json").items()
            if key not in NEUTRAL_KEYS
        },
        "assets": dict(assets),
        **(code or code_identity(experiment.member)),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def code_identity(member: Member) -> dict[str, object]:
    """What of a fingerprint is the same for every experiment and config of a member."""
    internal = internal_packages(member.workspace)
    imported = _imported_packages(member, internal)
    unused = internal.keys() - imported.keys()
    return {
        "member": _hash_files(member_code(member), member.folder),
        "internal": {
            name: _hash_files(sorted(folder.rglob("*.py")), folder)
            for name, folder in imported.items()
        },
        "packages": {
            name: version
            for name, version in dependency_closure(member, without=unused).items()
            if name not in internal and name != member.distribution
        },
    }


def member_code(member: Member) -> list[Path]:
    """The Python files of a member, tests apart, sorted."""
    return [
        file
        for file in _files(member.folder)
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


def _imported_packages(member: Member, internal: Mapping[str, Path]) -> dict[str, Path]:
    """Internal packages that the member imports, directly or through others -> their code.

    Of an internal package only imports at module level count: what it imports inside a function
    (research-train draws figures with research-viz) is not on the way to a weight.
    """
    names = {name.replace("-", "_"): name for name in internal}
    found: dict[str, Path] = {}
    waiting = [module for file in member_code(member) for module in imports(file, anywhere=True)]
    while waiting:
        module = waiting.pop()
        if module not in names or names[module] in found:
            continue
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            continue
        folder = Path(spec.origin).parent
        found[names[module]] = folder
        unknown = [module for module, name in names.items() if name not in found]
        for file in folder.rglob("*.py"):
            content = file.read_bytes()
            if any(module.encode() in content for module in unknown):  # parsing takes far longer
                waiting.extend(imports(file, anywhere=False))
    return dict(sorted(found.items()))


def _hash_files(files: Iterable[Path], root: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _source_files(member: Member, packages: Iterable[str]) -> dict[str, Path]:
    """Name in the archive -> file, sorted by name."""
    workspace = member.workspace
    internal = internal_packages(workspace)
    folders = [member.folder, *(internal[name] for name in packages)]
    files = [file for folder in folders for file in _files(folder)]
    files += [
        file for name in ("pyproject.toml", "uv.lock") if (file := workspace / name).is_file()
    ]
    named = {file.relative_to(workspace).as_posix(): file for file in files}
    large = [name for name, file in named.items() if file.stat().st_size > LARGEST_FILE]
    for name in large:
        print(f"warning: {name} is too large for the source archive, left out", file=sys.stderr)
        del named[name]
    return dict(sorted(named.items()))


def _files(folder: Path) -> list[Path]:
    """The files of a folder that are source: what git tracks or could, no links. Sorted."""
    everything = [
        path
        for path in folder.rglob("*")
        if not any(
            part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts
        )
    ]
    listed = _listed_by_git(folder)
    # Without git: an unpacked archive or a zip. With it, Python files count even where ignored: a
    # module may be called `runs`.
    paths = {path for path in everything if not listed or path.suffix == ".py"} | listed
    return sorted(path for path in paths if path.is_file() and not path.is_symlink())


def _listed_by_git(folder: Path) -> set[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return set()
    names = [name.decode() for name in listing.stdout.split(b"\0") if name]
    # A repository may not ignore what Python compiles.
    return {folder / name for name in names if "__pycache__" not in name.split("/")}
