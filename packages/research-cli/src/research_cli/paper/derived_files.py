"""Write files that follow from a member's pyproject.toml, but never over what somebody changed."""

from collections.abc import Mapping
from pathlib import Path

from research_data.durable import write_bytes
from research_data.errors import ResearchError


def write_derived(files: Mapping[Path, str], command: str, force: bool = False) -> list[Path]:
    """Write the files; returns those that were not there with this content already.

    command: what writes and shows them, for the message. Raises ResearchError, and writes nothing,
    if one of them exists and differs; with force it is replaced.
    """
    contents = {file: content.encode() for file, content in files.items()}
    changed = [file for file, content in contents.items() if _bytes_of(file) != content]
    for file in changed:
        if not force and file.exists():
            raise ResearchError(
                f"{file}: differs from what would be written: it was changed by hand, or what it "
                f"is made from has changed. `{command} --print` shows what would be written, and "
                "--force replaces the file. Nothing was written."
            )
    for file in changed:
        file.parent.mkdir(exist_ok=True)
        write_bytes(file, contents[file])
    return changed


def _bytes_of(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
