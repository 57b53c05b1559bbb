"""Find, verify and unpack the released wheels of our packages.

    packages/research-train/releases/research_train-0.1.0-py3-none-any.whl
    packages/research-train/releases/research_train-0.1.0-py3-none-any.whl.sha256

The second file is what `sha256sum` writes. A paper that requires a released version runs it from a
copy unpacked in the environment (hand_over.py), which is compared with the wheel at every start.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version
from research_data.lock import locked
from research_data.shown import say

from research_train.errors import RequirementError
from research_train.versions.requirements import Metadata, parse_metadata

RELEASES = "releases"
HASH = ".sha256"
CACHE = "research-releases"  # the folder of unpacked releases in an environment


@dataclass(frozen=True)
class Release:
    """A released version of an internal package; wheel: its file, which may be gone."""

    name: str
    version: Version
    wheel: Path

    @property
    def sha256(self) -> str:
        """What the wheel's hash was when it was released. Raises RequirementError."""
        file = hash_file(self.wheel)
        try:
            return file.read_text(encoding="utf-8").split()[0]
        except (OSError, IndexError, UnicodeDecodeError) as error:
            raise RequirementError(
                f"{file}: can't be read, so {self.wheel.name} can't be verified. {_from_git(file)}"
            ) from error

    def read(self) -> bytes:
        """The wheel's bytes, as they were released. Raises RequirementError."""
        try:
            content = self.wheel.read_bytes()
        except OSError as error:
            raise RequirementError(
                f"{self.wheel}: {self.name} {self.version} was released, but its wheel is not "
                f"here ({error.strerror}). {_from_git(self.wheel)}"
            ) from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise RequirementError(
                f"{self.wheel}: this is not {self.name} {self.version} as it was released: its "
                f"sha256 is {found}, released was {self.sha256}. {_from_git(self.wheel)}"
            )
        return content

    def metadata(self) -> Metadata:
        """The wheel's metadata. Raises RequirementError if it is of another package or version."""
        self.read()
        with zipfile.ZipFile(self.wheel) as archive:
            [name] = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
            metadata = parse_metadata(archive.read(name).decode())
        if (canonicalize_name(metadata.name), metadata.version) != (self.name, str(self.version)):
            raise RequirementError(
                f"{self.wheel}: named {self.name} {self.version}, but inside it is "
                f"{metadata.name} {metadata.version}. {_from_git(self.wheel)}"
            )
        return metadata


def hash_file(wheel: Path) -> Path:
    """Where a wheel's hash is kept."""
    return wheel.with_name(wheel.name + HASH)


def releases(package: Path) -> list[Release]:
    """The releases of an internal package, the newest first.

    package: its folder, packages/research-train. Raises RequirementError for a wheel or hash whose
    name isn't one of the package's.
    """
    folder = package / RELEASES
    wheels = {folder / path.name.removesuffix(HASH) for path in folder.glob("*.whl*")}
    found = []
    for wheel in wheels:
        try:
            name, version, _, _ = parse_wheel_filename(wheel.name)
        except InvalidWheelFilename as error:
            raise RequirementError(f"{wheel}: no release has such a name ({error})") from error
        if name != package.name:
            raise RequirementError(f"{wheel}: a release of {name}, not of {package.name}")
        found.append(Release(name, version, wheel))
    return sorted(found, key=lambda release: release.version, reverse=True)


def unpacked(release: Release) -> Path:
    """The folder of the environment in which a release lies unpacked, for sys.path.

    It is made if it is missing, and made anew, with a warning, if it differs from the wheel. Safe
    for several processes at once. Raises RequirementError, OSError.
    """
    release.metadata()
    sha256 = release.sha256
    target = cache() / f"{release.name}-{release.version}-{sha256[:12]}"
    if target.is_dir() and not differences(release.wheel, target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.parent / ".lock"):
        if target.is_dir():
            if not (different := differences(release.wheel, target)):
                return target  # another process has made it meanwhile
            say(f"warning: {target} was changed ({', '.join(different[:3])}): unpacked anew")
            # Renamed, not removed: a process that runs from it may still import from it.
            aside = tempfile.mkdtemp(prefix=f".{target.name}.changed-", dir=target.parent)
            target.rename(Path(aside) / target.name)
        beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            with zipfile.ZipFile(release.wheel) as archive:
                archive.extractall(beside)  # keeps every name inside of the folder
            beside.chmod(0o755)
            beside.rename(target)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    return target


def cache() -> Path:
    """Where this environment keeps unpacked releases."""
    return Path(sys.prefix) / CACHE


def differences(wheel: Path, folder: Path) -> list[str]:
    """The files that are not the same in a wheel and where it was unpacked."""
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        expected = [name for name in archive.namelist() if not name.endswith("/")]
        changed = [
            name
            for name in expected
            if name not in there or (folder / name).read_bytes() != archive.read(name)
        ]
    return sorted({*changed, *(there - set(expected))})


def _from_git(file: Path) -> str:
    return f"`git checkout -- {os.path.relpath(file)}` brings it back."
