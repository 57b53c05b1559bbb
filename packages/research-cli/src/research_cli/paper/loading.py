"""Check that a paper can be loaded, in a process under its requirements.

    python -m research_cli.paper.loading paper-mnist1d

prints a JSON list of problems. `paper check` starts it. The paper may run releases of research-data
and research-train, so this module imports only public names that version 0.1.0 already has.
"""

import json
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout

from research_data.errors import ResearchError
from research_train import Member, find_member, installed_members, load_config

GROUP = (
    "research.experiments"  # of entry points; written out because its constant moved after 0.1.0
)


def loading_problems(member: Member) -> Iterator[str]:
    """Experiments not installed as pyproject.toml declares, and configs that can't be loaded."""
    pyproject = member.folder / "pyproject.toml"
    try:
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        points = dict(project.get("entry-points", {}).get(GROUP, {}))
    except (OSError, ValueError, RecursionError, LookupError, AttributeError, TypeError) as error:
        yield f"{pyproject}: cannot be read ({error}). Correct it"
        return
    if points != member.experiments:
        yield f"{pyproject}: its experiments are not the installed ones. `uv sync` installs them"
    for name in sorted(points.keys() & member.experiments.keys()):
        try:
            load_config(member.experiment(name))
        except ResearchError as error:
            yield str(error)
        except Exception as error:  # the paper's own code may do anything
            why = f"{type(error).__name__}: {error}"
            yield f"{member.folder}: the config of {name} can't be imported: {why}"


def problems_of(name: str) -> list[str]:
    """The problems of the paper of this name. What its code prints goes to stderr."""
    with redirect_stdout(sys.stderr):
        try:
            return list(loading_problems(find_member(name, installed_members())))
        except ResearchError as error:
            return [f"{error}. `uv sync` installs the workspace's papers"]


def main(words: Sequence[str]) -> int:
    """Print the problems of the paper that the first word names."""
    print(json.dumps(problems_of(words[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
