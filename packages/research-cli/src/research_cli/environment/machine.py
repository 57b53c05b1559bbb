"""Check the platform, Python, uv, git, the disk, and whether links can be made on it."""

import importlib.metadata
import platform
import shutil
import tempfile
from pathlib import Path

from packaging.specifiers import SpecifierSet
from research_data import AssetError, get_assets_dir
from research_data.shown import shown_size
from research_train.errors import CommandError
from research_train.processes.children import output_of

from research_cli.environment.check import Check, Status

GB = 1e9
LITTLE_DISK = 10 * GB  # room for a small dataset and a few runs
NO_DISK = 1 * GB

OTHER_FOLDER = "set RESEARCH_ASSETS to a folder that you can write to"


def check_platform() -> Check:
    """The operating system. On Windows no command starts: research-data's import says why."""
    needs = "Linux or macOS"
    found = f"{platform.system()} {platform.machine()}"
    if platform.system() in ("Linux", "Darwin"):
        return Check("platform", "ok", found, needs)
    return Check("platform", "warn", found, needs, "nobody has tried this one; run the tests")


def check_python() -> Check:
    """The interpreter against requires-python."""
    found = platform.python_version()
    needs = importlib.metadata.metadata("research-cli")["Requires-Python"]
    if SpecifierSet(needs).contains(found, prereleases=True):
        return Check("Python", "ok", found, needs)
    return Check("Python", "fail", found, needs, f"`uv sync --python '{needs}'`")


def check_uv() -> Check:
    """Whether uv is here."""
    if version := _version_of("uv"):
        return Check("uv", "ok", version, "any version")
    return Check("uv", "fail", "not found", "any version", "install it: `pip install --user uv`")


def check_git() -> Check:
    """Whether git is here."""
    if version := _version_of("git"):
        return Check("git", "ok", version, "any version")
    fix = "install it: without git, the record of a run names no commit"
    return Check("git", "warn", "not found", "any version", fix)


def check_disk() -> Check:
    """How much room there is for assets."""
    needs = f">={LITTLE_DISK / GB:.0f} GB"
    try:
        folder = get_assets_dir()
        free = shutil.disk_usage(_existing(folder)).free
    except (AssetError, OSError) as error:
        return Check("free disk", "fail", _one_line(error), needs, OTHER_FOLDER)
    found = f"{free / GB:.1f} GB at {folder}"
    if free >= LITTLE_DISK:
        return Check("free disk", "ok", found, needs)
    status: Status = "warn" if free >= NO_DISK else "fail"
    return Check(
        "free disk",
        status,
        found,
        needs,
        "free some space, or set RESEARCH_ASSETS to a larger disk",
    )


def check_compiled() -> Check:
    """How large the kernels are that `compile=step` keeps; they can be made again."""
    needs = "any size"
    try:
        folder = get_assets_dir() / "compiled"
    except AssetError as error:
        return Check("compiled steps", "fail", _one_line(error), needs, OTHER_FOLDER)
    size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    return Check("compiled steps", "ok", f"{shown_size(size)} in {folder}; may be removed", needs)


def check_links() -> Check:
    """Whether the assets folder can be written, and holds links: data is linked into papers."""
    needs = "a writable folder that supports links"
    try:
        folder = get_assets_dir()
        with tempfile.TemporaryDirectory(
            prefix=".research-cli.", dir=_existing(folder)
        ) as temporary:
            problem = _link_problem(Path(temporary))
    except (AssetError, OSError) as error:
        return Check("links", "fail", _one_line(error), needs, OTHER_FOLDER)
    if problem:
        fix = "set RESEARCH_ASSETS to a folder on a disk that supports symbolic links"
        return Check("links", "warn", problem, needs, fix)
    found = "can be made" if folder.is_dir() else f"can be made; {folder} is created on first use"
    return Check("links", "ok", found, needs)


def _link_problem(folder: Path) -> str:
    """Make a folder and a link to it in folder, and read through the link."""
    target, link = folder / "target", folder / "link"
    target.mkdir()
    (target / "file").write_text("linked")
    try:
        link.symlink_to(target.name)
        followed = (link / "file").read_text()
    except OSError as error:
        return f"links can't be made: {_one_line(error)}"
    return "" if followed == "linked" else "a link was made but leads elsewhere"


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest parent that exists, in which it would be created."""
    return next(above for above in (folder, *folder.parents) if above.exists())


def _version_of(tool: str) -> str | None:
    """The number in what `tool --version` prints; None where it can't be run."""
    try:
        words = output_of([tool, "--version"], patience=20).decode(errors="replace").split()
    except (OSError, CommandError):
        return None
    return next((word for word in words if word[0].isdigit()), None)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
