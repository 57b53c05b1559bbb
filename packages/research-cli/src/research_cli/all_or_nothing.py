"""Changes to members that hold whole or not at all: files put back, uv's own words shown."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from research_data.durable import write_bytes
from research_data.errors import ResearchError
from research_train.pins import without_releases


def call(command: Sequence[str], folder: Path, problem: str) -> None:
    """Run a command in a folder. Raises ResearchError: the problem, and what the command said."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=without_releases(),
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise ResearchError(
            f"{problem}: there is no {command[0]} on the PATH.\nNothing was changed."
        ) from error
    if done.returncode != 0:
        said = done.stderr.strip().removeprefix("error: ") or f"exit code {done.returncode}"
        if "Traceback" in said:
            said = said.splitlines()[-1]
        raise ResearchError(f"{problem}: {said}\nNothing was changed.")


@contextmanager
def restored_on_failure(files: Sequence[Path]) -> Iterator[None]:
    """Put the files back as they are when this block is left by an exception."""
    contents = {file: file.read_bytes() if file.is_file() else None for file in files}
    try:
        yield
    except BaseException:
        for file, content in contents.items():
            if content is None:
                file.unlink(missing_ok=True)
            else:
                write_bytes(file, content)
        raise
