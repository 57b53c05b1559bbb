"""A workspace for new papers: uv locks and installs them, and has nothing to fetch.

Our packages are there by name alone, torch and NumPy overridden away. The environment that uv makes
sees those of the one the tests run in, and has `train` as an install of research-train would.
"""

import os
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import fork_server

ROOT = """\
[tool.uv]
override-dependencies = ["numpy; python_version < '3'", "torch; python_version < '3'"]

[tool.uv.workspace]
members = ["packages/*", "papers/*", "projects/*"]
"""
PACKAGE = """\
[project]
name = "{name}"
version = "{version}"
requires-python = ">=3.11"

[tool.uv]
package = false
"""
HERE = Path(sys.executable).parent


class NewMembers:
    """The workspace, empty."""

    def __init__(self, root: Path):
        self.root = root
        for name in ("research-data", "research-models", "research-train", "research-viz"):
            folder = root / "packages" / name
            folder.mkdir(parents=True)
            text = PACKAGE.format(name=name, version=version(name))
            (folder / "pyproject.toml").write_text(text)
        (root / "pyproject.toml").write_text(ROOT)
        self.environment = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("UV_", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "PYTEST_"))
        } | {
            "OMP_NUM_THREADS": "1",  # threads of a tiny model wait for each other on a busy machine
            "UV_OFFLINE": "1",
            "UV_PYTHON": sys.executable,
            "RESEARCH_ASSETS": str(root / "assets"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a second saved
        }

    def see_packages(self) -> None:
        """Have the environment, once uv has made it, see the packages of this one."""
        [packages] = self.root.glob(".venv/lib/python*/site-packages")
        outer = sysconfig.get_path("purelib")
        (packages / "outer.pth").write_text(f"import site; site.addsitedir({outer!r})\n")
        code = "import sys\nfrom research_train.launch import train_command as train\n"
        command = self.root / ".venv" / "bin" / "train"
        command.write_text(f"#!{self.root}/.venv/bin/python\n{code}sys.exit(train())\n")
        command.chmod(0o755)

    def run(self, *command: str | Path, code: int = 0) -> str:
        """Run a program in the workspace; returns stdout, or stderr where it fails as expected."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return _as_expected(done, code)

    def research_cli(self, *words: str, code: int = 0) -> str:
        """Run `research-cli` of the tests' environment in the workspace."""
        return _as_expected(
            fork_server.run("research-cli", words, self.root, self.environment), code
        )

    def python(self, *words: str, code: int = 0) -> str:
        """Run Python of the workspace's own environment, which has the new members installed."""
        return self.run(self.root / ".venv/bin/python", *words, code=code)

    def inside(self, *words: str, code: int = 0) -> str:
        """Run `research-cli` of the workspace's own environment."""
        program = "import sys; from research_cli.app import app; app(sys.argv[1:])"
        return self.python("-c", program, *words, code=code)


def _as_expected(done: subprocess.CompletedProcess[str], code: int) -> str:
    """What a command printed that ended with this code."""
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr
