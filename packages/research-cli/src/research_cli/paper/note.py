"""Add a dated one-off experiment to a project: its folder, its entry point, a row of the README.

It trains at once, on a placeholder. A process that is killed leaves a project that still trains:
the folder comes first, and then the pyproject.toml that names it.
"""

import re
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from string import Template
from typing import Any

import tomlkit
from research_data.durable import write_bytes
from research_data.errors import ResearchError, UsageError
from research_data.shown import did_you_mean
from research_train.experiment.members import Member
from research_train.experiment.pyproject import GROUP
from research_train.experiment.workspace_members import workspace_members

from research_cli.paper.all_or_nothing import alone, call, restored_on_failure
from research_cli.paper.half_deleted import refuse_leftovers
from research_cli.paper.names import FORM, check_line
from research_cli.paper.templates import SUFFIX, TEMPLATES

HEAD = "| date | experiment | question | result |\n|---|---|---|---|\n"


@dataclass(frozen=True)
class Note:
    """A new one-off experiment. name: `exploratory.topic`. train: the command that trains it."""

    name: str
    module: str
    folder: Path
    train: str


def add_note(topic: str, question: str, project: str, workspace: Path) -> Note:
    """Add an experiment to a project. Changes nothing when a step fails.

    topic: its name in `train TOPIC`. question: a sentence, for its docstring and the README.
    Raises UsageError for a topic that isn't valid or is taken, or an unknown project;
    ResearchError when uv fails or the pyproject.toml isn't written as `project new` does.
    """
    refuse_leftovers(workspace)
    check_line("--question", question)
    if set(question) & {'"', "\\", "|"}:
        raise UsageError(f'--question {question!r}: leave out ", \\ and |, which would break files')
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", topic) or len(topic) > 40:
        raise UsageError(f"topic {topic!r}: must be {FORM}, at most 40 characters")
    with alone(workspace):
        member = _project(project, workspace)
        name = f"{member.name}.{topic}"
        if topic == member.name or name in member.experiments:
            taken = member.experiments.get(name, "the project itself")
            raise UsageError(f"topic {topic!r}: taken, by {taken}. Choose another")
        today = date.today()
        module = f"{member.name}_{topic}_{today:%Y_%m_%d}".replace("-", "_")
        pyproject, readme = member.folder / "pyproject.toml", member.folder / "README.md"
        changed, root = _with_experiment(pyproject, name, module)
        note = Note(
            name, module, root / module, f"uv run --package {member.distribution} train {topic}"
        )
        if note.folder.exists():
            raise UsageError(f"{note.folder} is there already. Choose another topic")
        values = {
            "date": str(today),
            "question": question if question[-1] in ".?!" else f"{question}.",
            "distribution": member.distribution,
            "topic": topic,
            "module": module,
        }
        with restored_on_failure([pyproject, readme]):
            try:
                _fill_in(note.folder, values)
                write_bytes(pyproject, changed.encode())
                row = f"| {today} | `{topic}` | {values['question']} | see its runs |\n"
                write_bytes(readme, _with_row(readme, row).encode())
                install = ["uv", "sync", "--inexact", "--frozen", "--package", member.distribution]
                call(install, workspace, f"{name} can't be installed")
            except BaseException:
                shutil.rmtree(note.folder, ignore_errors=True)
                raise
    return note


def _project(name: str, workspace: Path) -> Member:
    projects = workspace_members(workspace, ["project"])
    for member in projects:
        if name in (member.name, member.distribution):
            return member
    known = [member.name for member in projects]
    raise UsageError(
        f"there is no project {name!r} in {workspace}.{did_you_mean(name, known)} "
        f"`research-cli project new {name}` makes it"
    )


def _with_experiment(file: Path, name: str, module: str) -> tuple[str, Path]:
    """The pyproject.toml with one more experiment, and the folder of its modules."""
    content: Any = tomlkit.parse(file.read_text(encoding="utf-8"))
    try:
        entries = content["project"]["entry-points"][GROUP]
        build = content["tool"]["uv"]["build-backend"]
        modules = build["module-name"]
        root = file.parent / str(build.get("module-root", "src"))
        if not isinstance(modules, list):
            raise TypeError
    except (KeyError, TypeError) as error:
        raise ResearchError(
            f"{file}: must list its experiments under [project.entry-points] and "
            "[tool.uv.build-backend] module-name, as `research-cli project new` writes it"
        ) from error
    entries[name] = module
    modules.append(module)
    return tomlkit.dumps(content), root


def _fill_in(folder: Path, values: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for template in sorted((TEMPLATES / "note").glob(f"*{SUFFIX}")):
        text = Template(template.read_text(encoding="utf-8")).substitute(values)
        (folder / template.name.removesuffix(SUFFIX)).write_text(text, encoding="utf-8")


def _with_row(readme: Path, row: str) -> str:
    """The README with a row more at the end of its table of experiments, or with such a table."""
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    head, begin, rest = text.partition(HEAD)
    if not begin:
        return f"{text.rstrip()}\n\n{HEAD}{row}".lstrip()
    lines = rest.splitlines(keepends=True)
    end = next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return "".join([head, begin, *lines[:end], row, *lines[end:]])
