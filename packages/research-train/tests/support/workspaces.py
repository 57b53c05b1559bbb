"""A workspace with tiny papers in a folder of its own, and the real commands run in it."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fork_server
import pytest
from research_train import Experiment, find_member, installed_members

TINY = Path(__file__).parent / "tiny_paper"
OTHERS = ("second", "full", "shared", "phases")  # the tiny paper's further experiments
COMMANDS = Path(sys.executable).parent  # where the environment has `train` and `evaluate`


@dataclass
class Workspace:
    """A uv workspace. Its papers are installed as an editable install would, on `site`."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.site = self.root / "site"
        self.site.mkdir(parents=True)
        (self.root / "pyproject.toml").write_text(
            '[tool.uv.workspace]\nmembers = ["papers/*", "packages/*"]\n'
        )
        # The commands import thousands of files: let the first of them leave compiled ones.
        self.environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self.environment |= {
            "PYTHONPATH": str(self.site),
            "RESEARCH_ASSETS": str(self.root / "assets"),
            "UV_OFFLINE": "1",
        }

    @property
    def outputs(self) -> Path:
        return self.root / "assets" / "outputs"

    def add_paper(self, name: str = "tiny") -> Path:
        """Install a copy of the tiny paper under another name; returns its folder."""
        folder = copy_paper(self.root / "papers" / name)
        information = self.site / f"paper_{name}-0.1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(
            f"Metadata-Version: 2.3\nName: paper-{name}\nVersion: 0.1.0\n"
        )
        (information / "entry_points.txt").write_text(
            f"[research.experiments]\n{name} = paper_{name}\n"
            + "".join(f"{name}.{other} = paper_{name}.{other}\n" for other in OTHERS)
        )
        (information / "direct_url.json").write_text(
            json.dumps({"url": folder.as_uri(), "dir_info": {"editable": True}})
        )
        # What an editable install's .pth file does, for a folder that only PYTHONPATH names.
        (self.site / f"paper_{name}").symlink_to(folder / f"paper_{name}")
        return folder

    def add_package(self, name: str) -> Path:
        """Have the workspace hold one of our packages, as installed; returns its folder."""
        folder = self.root / "packages" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pyproject.toml").write_text(
            f'[project]\nname = "{name}"\nversion = "0.1.0.dev0"\nrequires-python = ">=3.11"\n'
        )
        return folder

    def copy_packages(self) -> Path:
        """Have the commands import copies of our packages, to be edited; returns their folder."""
        source = self.root / "src"
        for package in Path(__file__).parents[3].glob("research-*/src/*"):
            shutil.copytree(package, source / package.name)  # compiled files too, to start sooner
        self.environment["PYTHONPATH"] = f"{self.site}:{source}"
        return source

    def add_release(
        self, name: str, version: str, requires: Sequence[str] = (), inside: str | None = None
    ) -> Path:
        """Release the code that one of our packages has now under another version.

        requires: in place of what it requires of our packages. inside: the version that the wheel
        itself says.
        """
        module = name.replace("-", "_")
        information = f"{module}-{inside or version}.dist-info"
        source = Path(__file__).parents[3] / name / "src"
        releases = self.add_package(name) / "releases"
        releases.mkdir(exist_ok=True)
        wheel = releases / f"{module}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for file in sorted(source.rglob("*.py*")):
                if "__pycache__" not in file.parts:
                    archive.write(file, file.relative_to(source).as_posix())
            needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
            # The folder makes the wheel, and where it is unpacked, this test's own.
            archive.writestr(
                f"{information}/METADATA",
                f"Metadata-Version: 2.3\nName: {name}\nVersion: {inside or version}\n"
                f"Summary: of {self.root}\n{needs}",
            )
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        wheel.with_name(f"{wheel.name}.sha256").write_text(f"{digest}  {wheel.name}\n")
        return wheel

    def unpacked_releases(self) -> list[Path]:
        """Where releases of this workspace lie unpacked in the environment of the tests."""
        return [
            metadata.parent.parent
            for metadata in (Path(sys.prefix) / "research-releases").glob("*/*.dist-info/METADATA")
            if f"Summary: of {self.root}\n" in metadata.read_text()
        ]

    def require(self, *requirements: str, paper: str = "tiny") -> None:
        """Have a paper require this of our packages."""
        file = self.root / "papers" / paper / "pyproject.toml"
        listed = json.dumps(["torch", *requirements])
        file.write_text(
            re.sub(r"dependencies = \[.*?\]", f"dependencies = {listed}", file.read_text())
        )

    def import_here(self, monkeypatch: pytest.MonkeyPatch) -> Experiment:
        """The default experiment of `tiny`, importable in this process."""
        monkeypatch.syspath_prepend(str(self.site))
        monkeypatch.setenv("RESEARCH_ASSETS", str(self.root / "assets"))
        for module in [name for name in sys.modules if name.split(".")[0] == "paper_tiny"]:
            monkeypatch.delitem(sys.modules, module)
        return find_member("tiny", installed_members()).experiment()

    def start(self, command: str, *words: str, cwd: Path | None = None) -> fork_server.Child:
        return fork_server.start(command, list(words), cwd or self.root, self.environment)

    def run(self, command: str, *words: str, cwd: Path | None = None) -> "Result":
        process = self.start(command, *words, cwd=cwd)
        output, errors = process.communicate(timeout=120)
        assert process.returncode is not None
        return Result(process.returncode, output, errors)

    def run_program(self, *command: str) -> "Result":
        """Run a program in the workspace, a new interpreter where it is one of Python.

        Commands of the environment that runs the tests come first, however those were started.
        """
        path = os.pathsep.join([str(COMMANDS), os.environ.get("PATH", "")])
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**self.environment, "PATH": path},
            capture_output=True,
            text=True,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def typed(self, command: str, *words: str) -> "Result":
        """Run a command by its console script, all of it as at the keyboard."""
        return self.run_program(str(COMMANDS / command), *words)

    def train(self, *words: str, paper: str = "tiny") -> "Result":
        return self.run("train", "--paper", paper, *words)

    def stop(self, process: fork_server.Child, step: int, number: int) -> "Result":
        """Send a signal once any run of `tiny` has logged a step; wait for the end."""
        self.wait_for_step(process, step)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
        assert process.returncode is not None
        return Result(process.returncode, output, errors)

    def wait_for_step(self, process: fork_server.Child, step: int) -> None:
        """Until the newest run of `tiny` has logged a step, in a process that is at work."""
        deadline = time.monotonic() + 60
        while self.last_step() < step:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)

    def last_step(self) -> int:
        """The last step that the newest run of `tiny` has logged."""
        return [0, *self.last_steps()][-1]

    def last_steps(self) -> list[int]:
        """The last step that each run of `tiny` has logged, oldest run first."""
        files = sorted(self.outputs.glob("tiny/[!.]*/metrics.jsonl"))
        lines = [file.read_text().splitlines()[-1:] for file in files]
        return [json.loads(last[0])["step"] if last else 0 for last in lines]

    def records(self, paper: str = "tiny") -> list[dict[str, Any]]:
        """Every record of a paper, oldest first."""
        return [
            json.loads(path.read_text())
            for path in sorted((self.outputs / paper).glob("[!.]*/run.json"))
        ]


class UvWorkspace:
    """A workspace that uv itself has synced, offline, with papers `alpha` and `beta`.

    Its environment sees the packages of the one the tests run in, and has the command `train` as
    an install of research-train would make it.
    """

    def __init__(self, root: Path):
        self.root = root
        self.environment = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("UV_", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"))
        }
        self.environment |= {
            "UV_OFFLINE": "1",
            "UV_PYTHON": sys.executable,
            "RESEARCH_ASSETS": str(root / "assets"),
        }
        (root / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["papers/*"]\n')
        for name in ("alpha", "beta"):
            copy_paper(root / "papers" / name)
        synced = self.uv("sync", "--all-packages")
        assert synced.code == 0, synced.errors
        [packages] = root.glob(".venv/lib/python*/site-packages")
        outer = sysconfig.get_path("purelib")
        (packages / "outer.pth").write_text(f"import site; site.addsitedir({outer!r})\n")
        program = root / ".venv" / "train"
        program.write_text(
            "import sys\n"
            "from research_train.launch import train_command\n"
            "sys.exit(train_command())\n"
        )
        command = root / ".venv" / "bin" / "train"
        command.write_text(f"#!/bin/sh\nexec '{root}/.venv/bin/python' '{program}' \"$@\"\n")
        command.chmod(0o755)

    def uv(self, *words: str, cwd: str = ".") -> "Result":
        """Run uv in a folder of the workspace."""
        done = subprocess.run(
            ["uv", *words],
            cwd=self.root / cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)


@dataclass
class Result:
    """How a command ended."""

    code: int
    output: str
    errors: str

    @property
    def folder(self) -> Path:
        """The run folder: the last line that `train` prints."""
        assert self.code == 0, self.errors
        return Path(self.output.splitlines()[-1])

    def refused_after(self, *parts: str) -> None:
        """The command failed: another program said why, and its own message has all the parts."""
        assert self.code == 1, self.errors
        assert "Traceback" not in self.errors
        message = self.errors.splitlines()[-1]
        assert message.startswith("error: ")
        for part in parts:
            assert part in message

    def refused(self, code: int, *parts: str) -> None:
        """The command ended with code, one message with all the parts, and no traceback."""
        assert self.code == code, self.errors
        message = self.errors[self.errors.index("error: ") :]
        assert "Traceback" not in self.errors
        assert message.count("error: ") == 1
        for part in parts:
            assert part in message


def comparable(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics without what depends on the machine."""
    return [
        {
            name: value
            for name, value in json.loads(line).items()
            if name != "time" and not name.startswith(("speed/", "memory/"))
        }
        for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]


def copy_paper(folder: Path) -> Path:
    """Copy the tiny paper to a folder, by whose name it is then called."""
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in folder.rglob("*.*"):
        if file.is_file():
            file.write_text(file.read_text().replace("tiny", folder.name))
    (folder / "paper_tiny").rename(folder / f"paper_{folder.name}")
    return folder
