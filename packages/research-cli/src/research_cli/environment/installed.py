"""Check the internal packages and the stack that they need."""

import importlib.metadata
import os
from dataclasses import dataclass
from pathlib import Path

from research_train.experiment.members import installed_from

from research_cli.environment.check import Check, Status
from research_cli.environment.declared import Declared


@dataclass(frozen=True)
class Package:
    """A package of the stack.

    module: what to import. For a package that loads its parts lazily, a module that loads the
    compiled ones, or the one that breaks most often; of a program what a notebook runs on.
    """

    name: str
    distribution: str
    module: str


STACK = (
    Package("NumPy", "numpy", "numpy"),
    Package("pandas", "pandas", "pandas"),
    Package("SciPy", "scipy", "scipy.special"),
    Package("scikit-learn", "scikit-learn", "sklearn"),
    Package("PyTorch", "torch", "torch"),
    Package("transformers", "transformers", "transformers.modeling_utils"),
    Package("datasets", "datasets", "datasets"),
    Package("huggingface_hub", "huggingface-hub", "huggingface_hub.hf_api"),
    Package("safetensors", "safetensors", "safetensors"),
    Package("matplotlib", "matplotlib", "matplotlib.pyplot"),
    Package("W&B", "wandb", "wandb"),
    Package("TensorBoard", "tensorboard", "tensorboard.summary.writer.event_file_writer"),
    Package("Jupyter", "jupyterlab", "ipykernel"),
)


def check_internal(name: str, workspace: Path | None) -> Check:
    """An internal package: it should be the workspace's own folder, installed editable."""
    needs = "editable, from this workspace"
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "fail", "not installed", needs, "`uv sync`")
    folder = installed_from(distribution)
    if folder and workspace and folder.is_relative_to(workspace):
        return Check(name, "ok", f"{distribution.version}, editable", needs)
    found = f"{distribution.version}, from {folder or 'a wheel'}"
    return Check(name, "warn", found, needs, "`uv sync` in the workspace; unset PYTHONPATH if set")


def check_package(package: Package, declared: Declared | None, error: str) -> Check:
    """A package of the stack: is it there, new enough, and could it be imported?

    error: what its import raised; empty when it succeeded.
    """
    name, distribution = package.name, package.distribution
    needs = str(declared.versions) if declared and declared.versions else "any version"
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        status: Status = "fail" if declared and declared.required else "warn"
        return Check(name, status, "not installed", needs, "`uv sync`")
    if declared and not declared.versions.contains(version, prereleases=True):
        return Check(name, "fail", version, needs, "`uv sync`")
    if error:
        return Check(
            name, "fail", f"{version}, but its import fails: {error}", needs, _import_fix(package)
        )
    return Check(name, "ok", version, needs)


def _import_fix(package: Package) -> str:
    reinstall = (
        f"`uv sync --reinstall-package {package.distribution}`; "
        f'`python -c "import {package.module}"` shows the whole error'
    )
    if path := os.environ.get("PYTHONPATH"):
        return f"unset PYTHONPATH (it is {path}), or {reinstall}"
    return reinstall
