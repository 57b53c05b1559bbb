"""Test a wheel in a clean environment before it is released."""

import sys
import sysconfig
import zipfile
from collections.abc import Iterable
from pathlib import Path

from packaging.utils import canonicalize_name
from research_data.errors import ResearchError
from research_data.shown import say
from research_train.experiment.workspace_members import workspace_members

from research_cli.children import run, run_in_a_group
from research_cli.package.plan import Plan

# Run by the clean environment: that the wheel is whole, by itself, and says the right version.
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
print(f"{len(modules)} modules, {names} public names")
"""


def try_wheel(plan: Plan, workspace: Path, wheel: Path) -> None:
    """Import all of a wheel, and run the package's tests, in an environment made for it.

    It is what `uv sync` would make of this commit, but with the wheel in place of the package's
    source. What comes from outside is linked from this environment: nothing is downloaded.
    """
    say("clean environment: the wheel; all else as it is locked")
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
    try:
        imported = run([python, "-c", IMPORT_ALL, plan.name, plan.version, *_modules(wheel)], site)
    except ResearchError as error:
        raise ResearchError(
            f"{plan.folder}: its wheel can't be imported by itself: {error}. {plan.name} is not "
            "released, nothing was changed: is something not in src, or not declared?"
        ) from error
    say(f"imported from the wheel: {imported}; version {plan.version}")
    tests = (plan.folder / "tests").relative_to(plan.workspace)
    say(f"tests against the wheel: pytest {tests}")
    if code := run_in_a_group([python, "-m", "pytest", "--quiet", tests], workspace):
        raise ResearchError(
            f"{plan.folder / 'tests'}: fail against the wheel (exit code {code}, their output is "
            f"above). {plan.name} is not released, nothing was changed: correct it, commit, and "
            "try again."
        )


def _link_outside(ours: Iterable[str], site: Path) -> None:
    """Link what this environment has besides the workspace's own into another."""
    modules = {canonicalize_name(name).replace("-", "_") for name in ours}
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(folder).iterdir():
            # Our x.pth and x-0.1.0.dist-info, which may be of an older version.
            name = entry.name.removesuffix(".pth").split("-")[0]
            if name not in modules and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)


def _modules(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        files = [Path(name) for name in archive.namelist() if name.endswith(".py")]
    names = [file.parent if file.name == "__init__.py" else file.with_suffix("") for file in files]
    return [".".join(name.parts) for name in names if name.name != "__main__"]
