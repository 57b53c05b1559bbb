"""Describe what a run ran on: machine, Python, CUDA, git."""

import platform
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from research_train.code.git import run_git
from research_train.errors import ConfigError
from research_train.processes.hash_seed import hash_seed

if TYPE_CHECKING:
    import torch

HEAD = "# branch.oid "  # in what `git status` prints, before the commit


class Environment(BaseModel):
    """The machine and interpreter; gpu and cuda are None without a usable GPU.

    threads: of torch on the CPU; the last bits of a sum depend on them. hash_seed: decides the
    order of sets, see processes/hash_seed.py. cpu_capability: the instructions that torch's own
    kernels use. compiler: what compiled the steps of `compile=step`, and its flags. None in older
    records.
    """

    model_config = ConfigDict(extra="allow")  # fields that a newer version adds are kept

    python: str
    platform: str
    cpu: str
    threads: int | None = None
    hash_seed: str | None = None
    cpu_capability: str | None = None
    compiler: str | None = None
    gpu: str | None
    cuda: str | None


class GitState(BaseModel):
    """The commit checked out (None outside git) and whether anything differs from it."""

    model_config = ConfigDict(extra="allow")

    commit: str | None
    dirty: bool | None


def describe_environment() -> Environment:
    """This machine and interpreter."""
    import torch  # imported here, because reading records doesn't need it

    usable = torch.cuda.is_available()
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=_cpu_name(),
        threads=torch.get_num_threads(),
        hash_seed=hash_seed(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        gpu=torch.cuda.get_device_name() if usable else None,
        cuda=torch.version.cuda if usable else None,
    )


def find_device(name: str) -> "torch.device":
    """The device of that name; `auto` is a GPU where there is one. Raises ConfigError."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device = {name!r} can't be used here: {reason}") from error
    return torch.device(name)


def host_name() -> str:
    """This machine's name."""
    return socket.gethostname()


def git_state(folder: Path) -> GitState:
    """The state of the repository around folder."""
    said = run_git(folder, "status", "--porcelain=v2", "--branch")
    if said is None:
        return GitState(commit=None, dirty=None)
    lines = said.decode(errors="replace").splitlines()
    head = [line.removeprefix(HEAD) for line in lines if line.startswith(HEAD)]
    return GitState(
        commit=next((commit for commit in head if commit != "(initial)"), None),
        dirty=any(not line.startswith("#") for line in lines),
    )


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
