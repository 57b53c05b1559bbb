"""A git repository that is a uv workspace of two tiny packages and a paper; commands run in it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import fork_server

COMMAND = Path(sys.executable).with_name("research-cli")

PYPROJECT = """\
[project]
name = "{name}"
version = "0.1.0.dev0"
requires-python = ">=3.11"
dependencies = [{requirements}]

[tool.uv.sources]
tiny-lib = {{ workspace = true }}

[build-system]
requires = ["uv_build>=0.9"]
build-backend = "uv_build"
"""

CHANGELOG = """\
# Changelog

## Unreleased

### Added

- `double`: twice as much,
  of anything.
"""

# Waits where a test wants to do something in the middle of a release.
TEST = """\
import importlib.metadata, os, pathlib, sys, time
import tiny_lib

def test_double():
    assert tiny_lib.double(2) == 4
    assert tiny_lib.__file__.startswith(sys.prefix)  # the wheel's, not the source
    if waiting := os.environ.get("TINY_WAITS"):
        pathlib.Path(waiting, "pid").write_text(str(os.getpid()))
        while not pathlib.Path(waiting, "go").exists():
            time.sleep(0.02)
"""


class TinyPackages:
    """The workspace. Its packages are known to the commands through `site`, as if installed."""

    def __init__(self, root: Path):
        self.root = root
        self.site = root.parent / f"{root.name}-site"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
            "PYTHONPATH": str(self.site),
            "UV_OFFLINE": "1",  # nothing is needed from outside
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a second saved in each release
        }

    @classmethod
    def new(cls, root: Path) -> "TinyPackages":
        tiny = cls(root)
        tiny.write("pyproject.toml", '[tool.uv.workspace]\nmembers = ["packages/*", "papers/*"]\n')
        tiny.write(".gitignore", ".venv/\n__pycache__/\n.pytest_cache/\ndist/\n*.whl\n")
        for name, requirements in (("tiny-lib", ""), ("tiny-top", '"tiny-lib>=0.1"')):
            folder, module = f"packages/{name}", name.replace("-", "_")
            text = PYPROJECT.format(name=name, requirements=requirements)
            tiny.write(f"{folder}/pyproject.toml", text)
            tiny.write(f"{folder}/CHANGELOG.md", CHANGELOG)
            code = '__all__ = ["double"]\n\n\ndef double(x):\n    return 2 * x\n'
            tiny.write(f"{folder}/src/{module}/__init__.py", code)
        tiny.write("packages/tiny-lib/tests/test_tiny.py", TEST)
        tiny.add_paper("first", "tiny-lib")
        tiny.git("init", "--quiet", "--initial-branch=main")
        tiny.git("config", "user.name", "Someone")
        tiny.git("config", "user.email", "someone@example.org")
        tiny.commit("Begin")
        return tiny

    def add_paper(self, name: str, requirement: str, code: str = "import tiny_lib\n") -> None:
        text = PYPROJECT.format(name=f"paper-{name}", requirements=f'"{requirement}"')
        text += '\n[tool.uv.build-backend]\nmodule-root = ""\n'
        self.write(f"papers/{name}/pyproject.toml", text)
        self.write(f"papers/{name}/paper_{name}/__init__.py", code)

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new))

    def sync(self) -> None:
        """Let the commands know the packages' versions, as `uv sync` would."""
        for file in self.root.glob("packages/*/pyproject.toml"):
            project: dict[str, Any] = tomllib.loads(file.read_text())["project"]
            for old in self.site.glob(f"{file.parent.name.replace('-', '_')}-*/METADATA"):
                old.unlink()
                old.parent.rmdir()
            name, version = project["name"], project["version"]
            information = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
            information.mkdir(parents=True)
            fields = [f"Name: {name}", f"Version: {version}"]
            fields += [f"Requires-Dist: {each}" for each in project["dependencies"]]
            (information / "METADATA").write_text("\n".join(["Metadata-Version: 2.3", *fields, ""]))

    def commit(self, message: str) -> None:
        subprocess.run(["uv", "lock", "--quiet"], cwd=self.root, env=self.environment, check=True)
        self.git("add", "--all", "--force", "--", ".")
        self.git("commit", "--quiet", "--message", message)
        self.sync()

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def state(self) -> dict[str, str]:
        """What a release that was not made leaves as it was."""
        return {
            "head": self.git("log", "-1", "--decorate", "--format=%H %D"),
            "tags": self.git("tag"),
            "status": self.git("status", "--porcelain", "--ignored"),
            "trees": str(self.git("worktree", "list", "--porcelain").count("worktree ")),
        }

    def package(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `research-cli package ...`."""
        done = fork_server.run("research-cli", ["package", *words], self.root, self.environment)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [COMMAND, "package", *words],
            cwd=self.root,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
