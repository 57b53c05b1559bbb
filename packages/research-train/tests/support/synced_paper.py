"""A paper in a workspace that uv alone syncs, offline, and whose code uv can install elsewhere."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from workspaces import Result, copy_paper

# Stands for research-train and torch, which no test can install from an index: it shows the paper
# the packages that the tests run with.
OUTER = f"""
import os
import site
import sys

site.addsitedir({sysconfig.get_path("purelib")!r})


def train():
    from research_train.launch import train_command

    sys.exit(train_command())


def reproduce():
    from research_train.reproduce_command import reproduce_command

    show_modules()
    sys.exit(reproduce_command())


def research_cli():
    from research_cli.app import app

    show_modules()
    app()


def show_modules():
    # To the processes that are started as modules, not as commands.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path[1:]))
"""
OUTER_PYPROJECT = """
[project]
name = "outer"
version = "0.1.0"
requires-python = ">=3.11"

[project.scripts]
train = "outer:train"
reproduce = "outer:reproduce"
research-cli = "outer:research_cli"

[build-system]
requires = ["uv_build>=0.9"]
build-backend = "uv_build"
"""
SOURCES = """[tool.uv.sources]
outer = { workspace = true }

[build-system]"""


class SyncedPaper:
    """The paper alpha in a workspace that uv alone syncs, offline.

    FACTOR and PAUSE in the environment change what its training gives and how long it takes.
    """

    def __init__(self, root: Path):
        self.root, self.folder = root, root / "papers" / "alpha"
        self.outputs = root / "assets" / "outputs"
        outer = root / "packages" / "outer" / "src" / "outer"
        outer.mkdir(parents=True)
        (outer / "__init__.py").write_text(OUTER)
        (root / "packages" / "outer" / "pyproject.toml").write_text(OUTER_PYPROJECT)
        members = '[tool.uv.workspace]\nmembers = ["packages/*", "papers/*"]\n'
        (root / "pyproject.toml").write_text(members)
        copy_paper(self.folder)
        self.edit("pyproject.toml", "dependencies = []", 'dependencies = ["outer"]')
        self.edit("pyproject.toml", "[build-system]", SOURCES)
        self.edit("paper_alpha/train.py", "import time\n", "import os\nimport time\n")
        self.edit("paper_alpha/train.py", "(config.sleep)", '(float(os.environ.get("PAUSE", 0)))')
        self.edit(
            "paper_alpha/train.py",
            "* (float",
            '* float(os.environ.get("FACTOR", 1)) * (float',
        )
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        self.environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("UV_", "VIRTUAL_ENV"))
        } | {"UV_OFFLINE": "1", "RESEARCH_ASSETS": str(root / "assets")}

    def train(self, *words: str, **environment: str) -> Result:
        return self.typed(*self.command("train", *words), **environment)

    def reproduce(self, *words: str, **environment: str) -> Result:
        return self.typed(*self.command("reproduce", *words), **environment)

    def cli(self, *words: str, **environment: str) -> Result:
        return self.typed(*self.command("research-cli", *words), **environment)

    def command(self, *words: str) -> list[str]:
        python = ("--python", f"{sys.version_info.major}.{sys.version_info.minor}")
        return ["uv", "run", *python, "--package", "paper-alpha", *words]

    def edit(self, file: str, before: str, after: str) -> None:
        text = (self.folder / file).read_text()
        assert before in text
        (self.folder / file).write_text(text.replace(before, after))

    def typed(self, *command: str, **environment: str) -> Result:
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment | environment,
            capture_output=True,
            text=True,
        )
        return Result(done.returncode, done.stdout, done.stderr)
