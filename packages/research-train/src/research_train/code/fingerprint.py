"""Compute the fingerprint that tells whether two runs are the same experiment.

It is a hash of all that can change a number, and of nothing else: the config, the data's revisions,
the code that the training reaches (reached_code.py), the other files beside that code, and the
versions of the packages it uses. Comments, docstrings, formatting, annotations, and code that the
training doesn't reach don't change it.
"""

import hashlib
import importlib.metadata
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from packaging.utils import canonicalize_name

from research_train.code.parsed_files import ParsedFiles
from research_train.code.places import PYTHON, files_in, module_folder
from research_train.code.reached_code import ReachedCode, SharedWalks, reached_code
from research_train.experiment.config import TrainConfig
from research_train.experiment.members import Experiment
from research_train.versions.requirements import installed_metadata, installed_version

SCHEME = 2  # 1, up to 0.1.0, hashed every Python file of the member and of the packages it imports

# Keys that cannot change what is computed. The seed is here as well: runs that differ only in their
# seed are the same experiment, and the record holds the seed beside the fingerprint.
NEUTRAL_KEYS = frozenset(
    {
        "seed",
        "log_every",
        "checkpoint_every",
        "checkpoint_failure",
        "keep_checkpoints",
        "keep_every",
        "max_minutes",
        "tensorboard",
        "trackers",
        "wandb",
    }
)


# Keys that came after runs were recorded -> the value at which everything is as it was before them.
NEWER_KEYS = {"parallel": "ddp"}

# Files of a member that describe it or hold its results, and so can't change a number.
OF_THE_RECORD = frozenset(
    {"README.md", "claims.yaml", "config.yaml", "pyproject.toml", "results.json"}
)
# Folders of a member that hold results or texts for people, and no input of a training.
NO_INPUTS = frozenset({"docker", "docs", "figures", "notebooks"})
ENDING = re.compile(r"\*?\.[A-Za-z0-9]+")  # a string like ".csv" or "*.csv"


def fingerprint(
    experiment: Experiment,
    config: TrainConfig,
    assets: Mapping[str, str],
    code: Mapping[str, object] | None = None,
) -> str:
    """Hash of all that can change an experiment's numbers, in hex.

    assets: name -> revision of its data. code: the result of `code_identity`, if already computed.
    """
    identity = {
        "scheme": SCHEME,
        "experiment": experiment.name,
        "config": {
            key: value
            for key, value in config.model_dump(mode="json").items()
            if key not in NEUTRAL_KEYS and value != NEWER_KEYS.get(key, ...)
        },
        "assets": dict(assets),
        **(code or code_identity(experiment)),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def code_identity(
    experiment: Experiment, parsed: ParsedFiles | None = None, shared: SharedWalks | None = None
) -> dict[str, object]:
    """The part of a fingerprint that is the same for every config of an experiment.

    modules: name -> digest of the parts that are reached. files: name -> sha256 of each file beside
    the code. packages: versions of the external packages that the code uses, and of all packages
    that those require. parsed: the cache to use, if the caller has opened it already. shared: as
    for `reached_code`.
    """
    parsed = parsed or ParsedFiles()
    code = reached_code(experiment, parsed, shared)
    files = {name: parsed.sha256(file) for name, file in files_beside(experiment, code).items()}
    packages = package_versions(code.external, parsed, shared.versions if shared else None)
    parsed.save()
    return {"modules": code.modules, "files": files, "packages": packages}


def files_beside(experiment: Experiment, code: ReachedCode) -> dict[str, Path]:
    """The files in the member's import package that aren't Python: a table, a vocabulary, a .cu.

    name in the package -> file, whether or not git ignores it. The YAMLs of experiments are left
    out, since their values are the config. The folder of another experiment is left out unless its
    code is reached, or the reached code may read it, since it names the folder or lists folders.
    Added are files that the code names: files elsewhere in the member's folder, hidden files, and
    scripts that it starts.
    """
    place = module_folder(experiment.module.split(".")[0])
    if place is None or not place.is_dir():
        return {}
    modules = experiment.member.experiments.values()
    yamls = {Path(*module.split(".")[1:], "config.yaml") for module in modules}
    yamls -= {Path("config.yaml")}  # the default experiment's YAML lies beside the package
    others = {
        Path(*module.split(".")[1:])
        for module in modules
        if module != experiment.module and "." in module
    }
    reached = {file.parent for file in code.files}
    foreign = {
        folder
        for folder in others
        if not any(parent.is_relative_to(place / folder) for parent in reached)
        and not code.lists_files
        and not any(folder.name in text.split("/") for text in code.strings)
    }
    found = {}
    for file in files_in(place):
        name = file.relative_to(place)
        if file.suffix in PYTHON or name in yamls or foreign.intersection(name.parents):
            continue
        found[_shown(name)] = file
    for file in _named_files(experiment, code, place.resolve()):
        found[f"../{_shown(file.relative_to(experiment.member.folder))}"] = file
    return {name: file for name, file in found.items() if file.is_file()}


def _named_files(experiment: Experiment, code: ReachedCode, place: Path) -> Iterator[Path]:
    """The files of the member that strings in its code name, except those that count already.

    A string may name a file, `Path(__file__).parents[1] / "x.csv"`, its folder, its ending, as in
    f"{name}.csv" and glob("*.csv"), or the module of a script, as `python -m` does.
    """
    named = {text.rpartition("/")[2] for text in code.strings} - OF_THE_RECORD
    folders = {text.strip("/") for text in code.strings} - NO_INPUTS
    endings = {text.removeprefix("*") for text in named if ENDING.fullmatch(text)}
    root = experiment.member.folder
    reached = cache(lambda: {file.resolve() for file in code.files})  # rarely asked for
    for above, inner, names in os.walk(root):
        inner[:] = [each for each in inner if not each.startswith(".") and each != "tests"]
        for name in names:
            file = Path(above, name)
            outside = not file.is_relative_to(place)
            if file.suffix in PYTHON:
                module = ".".join(file.relative_to(root).with_suffix("").parts)
                counts = (name in named or module in code.strings) and file not in reached()
            elif outside and name not in OF_THE_RECORD:
                within = file.relative_to(root).parts[:-1]
                counts = name in named or file.suffix in endings or not folders.isdisjoint(within)
            else:
                counts = name in named and name.startswith(".")
            if counts:
                yield file


def _shown(name: Path) -> str:
    """The name as text; bytes that aren't UTF-8 appear as `\\xff`."""
    return os.fsencode(name).decode(errors="backslashreplace")


def package_versions(
    modules: Iterable[str],
    parsed: ParsedFiles,
    known: dict[frozenset[str], dict[str, str]] | None = None,
) -> dict[str, str]:
    """Distribution -> version of what provides the modules, and of what that requires.

    known: answers so far, for a caller that asks for several members, of which many use the same.
    """
    asked, known = frozenset(modules), {} if known is None else known
    if asked not in known:
        known[asked] = _package_versions(asked, parsed)
    return dict(known[asked])


def _package_versions(modules: Iterable[str], parsed: ParsedFiles) -> dict[str, str]:
    found: dict[str, str] = {}
    waiting: list[tuple[str, frozenset[str]]] = []
    for module in sorted(modules):
        if distribution := _distribution(module, parsed):
            waiting.append((distribution, frozenset()))
        else:
            found[module] = "not installed" if module_folder(module) is None else "unknown"
    seen = set()
    while waiting:
        item = waiting.pop()
        name, extras = item
        if item in seen or (there := installed_metadata(name)) is None:
            continue
        seen.add(item)
        found[name] = there.version
        waiting += [
            (canonicalize_name(each.name), frozenset(each.extras))
            for each in there.applying(extras)
        ]
    return found


def _distribution(module: str, parsed: ParsedFiles) -> str | None:
    """The distribution that provides a top-level module: `scikit-learn` for sklearn."""
    name = canonicalize_name(module)
    if installed_version(name) is not None:
        return name
    # Reading the contents of all distributions takes a third of a second, so the result is cached;
    # an installation changes a folder's time, and so the key of the cache.
    folders = [Path(each) for each in sys.path if each.endswith(("site-packages", "dist-packages"))]
    state = [f"{each} {each.stat().st_mtime_ns}" for each in folders if each.is_dir()]
    providers = parsed.remembered(f"providers {' '.join(state)}", _providers)
    return providers.get(module)


def _providers() -> dict[str, str]:
    """Top-level module -> distribution."""
    providers = importlib.metadata.packages_distributions()
    return {module: canonicalize_name(names[0]) for module, names in providers.items()}
