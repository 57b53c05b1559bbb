"""Do the steps of a Dockerfile that need no container: COPY, ENV, ARG and RUN after WORKDIR.

Before WORKDIR stand those that need a base image and its root. Options of RUN and COPY (mounts,
owners) are a container engine's.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path


def do_steps(
    dockerfile: Path, workspace: Path, image: Path, arguments: Mapping[str, str], programs: Path
) -> list[str]:
    """Build in the folder `image`, which stands for the WORKDIR; returns what each RUN printed.

    programs: a folder first on the PATH. Raises AssertionError with what a step that fails printed.
    """
    instructions = list(_instructions(dockerfile))
    after = [name for name, _ in instructions].index("WORKDIR") + 1
    ignore = dockerfile.with_name("Dockerfile.dockerignore")
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": os.environ["HOME"]}
    printed = []
    for name, words in instructions[after:]:
        parts = words.split()
        if name == "COPY":
            assert parts[0] == "--parents" and parts[-1] == "./", words
            for file in _sent(workspace, [p for p in parts[:-1] if p[:2] != "--"], ignore):
                (image / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(workspace / file, image / file)
        elif name == "ARG":
            key, _, default = words.partition("=")
            environment[key] = arguments.get(key, default)
        elif name == "RUN":
            command = re.sub(r"^(--\S+ +)*", "", words)
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                cwd=image,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            printed.append(done.stdout + done.stderr)
    return printed


def _instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """Each instruction and its words."""
    lines = dockerfile.read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line:
            name, _, words = line.partition(" ")
            yield name, words


def _sent(workspace: Path, asked: list[str], ignore: Path) -> Iterator[Path]:
    """The files that these words of a COPY name, less what the .dockerignore keeps back."""
    lines = [line for line in ignore.read_text().splitlines() if not line.startswith("#")]
    rules = [(_meaning(line.removeprefix("!")), line.startswith("!")) for line in lines]
    for named in (path for word in asked for path in workspace.glob(word)):
        for file in named.rglob("*") if named.is_dir() else [named]:
            place = file.relative_to(workspace)
            *_, last = (kept for rule, kept in rules if rule.match(place.as_posix()))
            if last and file.is_file():
                yield place


def _meaning(pattern: str) -> re.Pattern[str]:
    """A pattern of a .dockerignore: it matches a path, and with it all that lies in it."""
    words = {"**/": "(?:.*/)?", "*": "[^/]*"}
    parts = re.split(r"(\*\*/|\*)", pattern)
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts) + r"(?:/.*)?\Z")
