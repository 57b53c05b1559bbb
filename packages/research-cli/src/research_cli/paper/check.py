"""Check that papers and projects are complete; each problem is a line with its fix."""

import ast
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from functools import partial
from io import StringIO
from multiprocessing import get_context
from pathlib import Path

from research_data.assets.verify import count_cores
from research_data.errors import ResearchError
from research_data.plain_files import read_text
from research_train.errors import CommandError, MemberError
from research_train.experiment.members import GROUP, Member, find_member
from research_train.experiment.needs import hub_needs, needs_of
from research_train.experiment.workspace_members import TRAINABLE, kind_of, workspace_members
from research_train.processes.children import ask_for_death_signal, output_of
from research_train.results.readme import read_readme, readme_block
from research_train.results.recorded import RESULTS
from research_train.versions.hand_over import environment_under, has_releases

from research_cli.package.check import missing_sources, undeclared_imports
from research_cli.package.public_names import names_at_top
from research_cli.paper.facts import Fact, PaperFacts, paper_facts
from research_cli.paper.loading import problems_of

GUARD = r"""(?m)^if __name__ == ["']__main__["']:"""


@dataclass(frozen=True)
class PaperCheck:
    """What was found in a paper. notes: remarks that are no problems."""

    name: str
    kind: str
    problems: list[str]
    notes: list[str]


def check_papers(workspace: Path, names: Sequence[str] = ()) -> list[PaperCheck]:
    """Check papers and projects, all or those named. Raises MemberError for an unknown name."""
    every = workspace_members(workspace, TRAINABLE)
    chosen = [_find(name, every) for name in names] if names else every
    with _forks(count_cores()) or ThreadPoolExecutor() as pool:
        return list(pool.map(_check, chosen))


def _find(name: str, every: list[Member]) -> Member:
    try:
        return find_member(name, every)
    except MemberError as error:  # "installed" is not what matters here
        raise MemberError(
            str(error).replace(" is installed", "").replace("Installed:", "There are:")
        ) from error


def _check(member: Member) -> PaperCheck:
    try:
        return _checked(member)
    except ResearchError as error:  # it may be one that can't be sent to another process
        return PaperCheck(
            member.name, member.folder.parent.name.removesuffix("s"), [str(error)], []
        )


def _checked(member: Member) -> PaperCheck:
    problems: list[str] = []
    notes: list[str] = []
    kind = kind_of(member)
    files = (_structure, _code, _generated, missing_sources, undeclared_imports, _loading)
    looks: list[Callable[[], Iterable[str]]] = [partial(look, member) for look in files]
    if kind == "paper":
        facts = paper_facts(member)
        looks += [partial(_citation, facts), partial(_account, facts)]
    for look in looks:
        try:
            problems += look()
        except ResearchError as error:
            problems.append(str(error))
    try:
        for experiment in member.experiments:
            needs_of(member.experiment(experiment))
        for what, need, here in hub_needs(member):
            if not here:
                notes.append(f"{member.name}: the {what} {need} isn't here; `train` would pull it")
    except ResearchError as error:
        problems.append(str(error))
    notes += _silent_files(member)
    if kind == "paper" and not (member.folder / RESULTS).is_file():
        notes.append(
            f"{member.name}: nothing reproduced yet; "
            f"`uv run --package {member.distribution} reproduce`"
        )
    short = dict.fromkeys(each.replace(f"{member.workspace}/", "") for each in problems)
    return PaperCheck(member.name, kind, list(short), notes)


def _structure(member: Member) -> Iterator[str]:
    folder = member.folder
    expected = {"README.md": "what the paper says, what we did, published and reproduced"}
    if kind_of(member) == "paper":
        expected["claims.yaml"] = "the published numbers that `reproduce` tests"
    for name, what in expected.items():
        if not (folder / name).is_file():
            yield f"{folder}: has no {name}. Write one: {what}"
    if not list(folder.glob("tests/**/test_*.py")):
        yield f"{folder}: has no tests. Write tests/test_{member.name.replace('-', '_')}.py"
    if not member.experiments:
        yield (
            f"{folder / 'pyproject.toml'}: names no experiment, so nothing can be trained. Add "
            f'[project.entry-points."{GROUP}"] {member.name} = "MODULE"'
        )


def _code(member: Member) -> Iterator[str]:
    """Experiments whose files lack a config, a Config or the function `train`."""
    pyproject = member.folder / "pyproject.toml"
    for name, module in member.experiments.items():
        code = _folder(member, module)
        if code is None:
            yield f"{pyproject}: {name} = {module!r}, but there is no such folder. Correct it"
            continue
        config = member.folder / "config.yaml" if name == member.name else code / "config.yaml"
        train = _module(code / "train")
        for file, what in (
            (config, "the value of each key"),
            (_module(code / "config"), "class Config(TrainConfig), the type of each key"),
            (train, "train(config, run) -> Metrics"),
        ):
            if not file.is_file():
                yield f"{file}: is missing. It holds {what}"
        if train.is_file() and not _defines(train, "train"):
            yield f"{train}: defines no function train(config, run). Write it"


def _silent_files(member: Member) -> Iterator[str]:
    """The files train.py and evaluate.py that do nothing where Python is given them."""
    for module in member.experiments.values():
        code = _folder(member, module)
        for part in ("train", "evaluate"):
            file = _module(code / part) if code else None
            if file and file.is_file() and not re.search(GUARD, read_text(file)):
                yield (
                    f"{member.name}: `python {file.relative_to(member.workspace)}` does nothing. "
                    "At its end add: if __name__ == '__main__': research_train.run_file(__file__)"
                )


def _generated(member: Member) -> Iterator[str]:
    """Generated datasets that aren't where the pyproject says."""
    for name, where in member.pyproject.generated.items():
        module, _, attribute = where.partition(":")
        code = _folder(member, module.partition(".")[0])
        if code is None:
            continue  # not of the member's own code
        file = _module(code.parent / Path(*module.split(".")))
        if not file.is_file() or not _defines(file, attribute):
            yield (
                f"{member.folder / 'pyproject.toml'}: [tool.research.generated] {name} = "
                f"{where!r}: {file} defines no {attribute or 'dataset'}. Correct either"
            )


def _folder(member: Member, module: str) -> Path | None:
    """Where a package of the member's own lies."""
    path = Path(*module.split("."))
    roots = [member.folder / path, member.folder / "experiments" / path]
    return next((root for root in roots if root.is_dir()), None)


def _module(place: Path) -> Path:
    """The file of a module: place/__init__.py where it is a package, else place.py."""
    inside = place / "__init__.py"
    return inside if inside.is_file() else place.with_name(f"{place.name}.py")


def _defines(file: Path, name: str) -> bool:
    """Whether a module binds a name at its top; one that is no Python, ruff and pytest report."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return name in names_at_top(tree)


def _forks(number: int) -> ProcessPoolExecutor | None:
    """Forks of this process, which has imported what they need; None elsewhere than on Linux."""
    if sys.platform != "linux":
        return None
    return ProcessPoolExecutor(number, get_context("fork"), _begin)


def _begin() -> None:
    """Begin as a fork, which Ctrl-C ends without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ask_for_death_signal()


def _loading(member: Member) -> list[str]:
    """What doesn't load, in a process of its own: under the releases that the member requires."""
    if not has_releases(member) and (pool := _forks(1)):
        with pool, suppress(Exception, SystemExit):  # else the process below says what is wrong
            return pool.submit(_loading_here, member).result()
    command = [sys.executable, "-P", "-m", "research_cli.paper.loading", member.distribution]
    try:
        told = output_of(command, member.folder, environment_under(member))
    except CommandError as error:
        last = (error.said or str(error)).splitlines()[-1]
        return [f"{member.folder}: can't be loaded: {last}"]
    problems: list[str] = json.loads(told)
    return problems


def _loading_here(member: Member) -> list[str]:
    os.chdir(member.folder)
    with redirect_stderr(StringIO()):
        return problems_of(member.distribution)


def _citation(facts: PaperFacts) -> Iterator[str]:
    """Errors in title, year, arXiv identifier and authors, which lists and reports show."""
    cited: tuple[Fact, ...] = ("title", "year", "arxiv", "authors")
    for fact in cited:
        if error := facts.errors.get(fact):
            yield str(error)
        elif fact == "title" and not facts.title:
            file = facts.member.folder / "pyproject.toml"
            yield f'{file}: [tool.research] has no title. Add title = "...", the paper\'s'


def _account(facts: PaperFacts) -> Iterator[str]:
    """Where claims, results and the README's table don't agree."""
    member, results = facts.member, facts.results
    if error := facts.errors.get("claims"):
        raise error
    readme = read_readme(member)
    if error := facts.errors.get("results"):
        raise error
    again = f"`uv run --package {member.distribution} reproduce` makes it again"
    if results is None:
        if readme.block.strip():
            yield f"{readme.path}: shows a table, but there is no {RESULTS}. {again}"
        return
    found = {each.name: each for each in facts.standings}
    doubts = [f"claim {name}: {doubt}" for name, each in found.items() for doubt in each.doubts]
    for doubt in doubts:
        yield f"{member.folder / RESULTS}: {doubt}. {again}"
    if not doubts:
        ordered = [found[claim.name].finding for claim in results.claims]
        findings = [finding for finding in ordered if finding]
        if readme.block != readme_block(findings, results.costs, results.model_dump()):
            yield f"{readme.path}: its table doesn't agree with {RESULTS}. {again}"
