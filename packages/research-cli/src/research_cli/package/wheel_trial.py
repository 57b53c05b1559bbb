"""Test a wheel in a clean environment before it is released."""

import sys
import sysconfig
import zipfile
from collections.abc import Iterable
from pathlib import Path

from packaging.utils import canonicalize_name
from research_data.errors import ResearchError
from research_data.shown import counted, say
from research_train.experiment.workspace_members import workspace_members

from research_cli.children import run, run_in_a_group
from research_cli.package.plan import Plan

# Run in the clean environment: the wheel is complete, stands by itself, and has the right version.
IMPORT_ALL = """\
import importlib, importlib.metadata, sys
name, version, *modules = sys.argv[1:]
assert importlib.metadata.version(name) == version, importlib.metadata.version(name)
names = 0
for module in map(importlib.import_module, modules):
    assert module.__file__.startswith(sys.prefix), module.__file__
    for public in getattr(module, "__all__", ()):
        getattr(module, public)
        names += 1
print(len(modules), names)
"""


def try_wheel(plan: Plan, workspace: Path, wheel: Path) -> None:
    """Import all of a wheel, and run the package's tests, in an environment made for it.

    The environment is what `uv sync` would make of this commit, but with the wheel in place of the
    package's source. External packages are linked from the present environment, so nothing is
    downloaded.
    """
    say("clean environment: the wheel, and all other packages as locked")
    environment = workspace / ".venv"
    python = environment / "bin" / "python"
    run(["uv", "venv", "--quiet", "--python", sys.executable, environment], workspace)
    install: list[object] = ["uv", "pip", "install", "--quiet", "--no-deps", "--offline"]
    install += ["--python", python]
    ours = {each.distribution: each.folder for each in workspace_members(workspace)}
    for name, folder in ours.items():
        install += [wheel] if name == plan.name else ["--editable", folder]
    run(install, workspace)
    [site] = environment.glob("lib/python*/site-packages")
    _link_outside(ours, site)
    _link_programs(environment / "bin")
    try:
        printed = run([python, "-c", IMPORT_ALL, plan.name, plan.version, *_modules(wheel)], site)
    except ResearchError as error:
        raise ResearchError(
            f"{plan.folder}: its wheel can't be imported by itself: {error}. {plan.name} is not "
            "released, and nothing was changed. Is a module missing from src, or a dependency not "
            "declared?"
        ) from error
    modules, names = map(int, printed.split())
    imported = f"{counted(modules, 'module')}, {counted(names, 'public name')}"
    say(f"imported from the wheel: {imported}; version {plan.version}")
    tests = (plan.folder / "tests").relative_to(plan.workspace)
    say(f"tests against the wheel: pytest {tests}")
    if code := run_in_a_group([python, "-m", "pytest", "--quiet", tests], workspace):
        raise ResearchError(
            f"{plan.folder / 'tests'}: fail against the wheel (exit code {code}, their output is "
            f"above). {plan.name} is not released, and nothing was changed. Correct it, commit, "
            "and try again."
        )


def _link_outside(ours: Iterable[str], site: Path) -> None:
    """Link the external packages of the present environment into another one."""
    modules = {canonicalize_name(name).replace("-", "_") for name in ours}
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(folder).iterdir():
            # Not x.pth and x-0.1.0.dist-info of internal packages: they may be of older versions.
            name = entry.name.removesuffix(".pth").split("-")[0]
            if name not in modules and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)


def _link_programs(folder: Path) -> None:
    """Link the programs of external packages, such as ruff, into another environment.

    Scripts are left out: they name the interpreter of the environment that they were made for.
    """
    for entry in Path(sysconfig.get_path("scripts")).iterdir():
        if entry.is_file() and not entry.is_symlink() and not (folder / entry.name).exists():
            with entry.open("rb") as program:
                binary = program.read(4) == b"\x7fELF"
            if binary:
                (folder / entry.name).symlink_to(entry)


def _modules(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        files = [Path(name) for name in archive.namelist() if name.endswith(".py")]
    names = [file.parent if file.name == "__init__.py" else file.with_suffix("") for file in files]
    return [".".join(name.parts) for name in names if name.name != "__main__"]
