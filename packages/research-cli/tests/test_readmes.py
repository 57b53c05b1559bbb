"""READMEs: the commands, keys, links and members that they name are there."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from research_cli.app import app
from research_train import find_member, installed_members, load_config
from research_train.command_line.usage import evaluate_parser, reproduce_parser, train_parser

ROOT = Path(__file__).parents[3]
READMES = [
    path
    for path in sorted(ROOT.glob("**/*.md"))
    if path.name.endswith(("README.md", "_GUIDE.md"))
    and not {".venv", "assets", "node_modules"} & set(path.relative_to(ROOT).parts)
]
PARSERS = {"train": train_parser, "evaluate": evaluate_parser, "reproduce": reproduce_parser}


def commands(readme: Path) -> list[list[str]]:
    """The words of every command line: indented, after `$ `, or between backquotes after uv run."""
    text = readme.read_text(encoding="utf-8")
    lines = re.findall(r"^(?:    |\$ )((?:uv run |\.venv/bin/)?[a-z].*)$", text, re.M)
    lines += re.findall(r"`((?:uv run|research-cli) [^`\n]+)`", text)
    found = []
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # prose with an apostrophe
            continue
        for separator in ("&&", "|", ">", ">>", "2>&1"):
            words = words[: words.index(separator)] if separator in words else words
        found.append(words)
    return found


def tail_after(words: list[str], name: str) -> list[str] | None:
    """The words after a command's name, where `uv run` or nothing stands before it."""
    for place, word in enumerate(words):
        if word.removeprefix(".venv/bin/") == name:
            before = [each for each in words[:place] if "=" not in each]
            return words[place + 1 :] if not before or before[:2] == ["uv", "run"] else None
    return None


def problem_with_cli(words: list[str]) -> str | None:
    """A command or option of research-cli that there isn't."""
    command = typer.main.get_command(app)
    for word in words:
        if word.startswith("-"):
            options = {name for each in command.params for name in (*each.opts, "--help")}
            options |= {name for each in command.params for name in each.secondary_opts}
            if word == "--":
                return None
            if word.partition("=")[0] not in options:
                return f"no option {word}"
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return None if word == "..." else f"no command {word}"
            command = command.commands[word]
    return None


def problem_with_training(name: str, words: list[str], before: list[str]) -> str | None:
    """An option of train, evaluate or reproduce that there isn't, or a key that its paper lacks."""
    known = {option for action in PARSERS[name]()._actions for option in action.option_strings}
    for word in words:
        if word.startswith("--") and word.partition("=")[0] not in known:
            return f"no option {word}"
    if name != "train" or "--package" not in before:
        return None
    distribution = before[before.index("--package") + 1]
    members = [each for each in installed_members() if each.distribution == distribution]
    if not members or any("..." in word or "learning_rat=" in word for word in words):
        return None  # a paper that the README makes up, or the mistake that it shows
    member = find_member(members[0].name, installed_members())
    names = [word for word in words if "=" not in word and word in member.experiments]
    names += [f"{member.name}.{w}" for w in words if f"{member.name}.{w}" in member.experiments]
    experiment = member.experiment(names[0] if names else None)
    load_config(experiment, [word for word in words if "=" in word and not word.startswith("-")])
    return None


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_and_key_that_a_readme_names_exists(readme):
    problems = []
    for words in commands(readme):
        line = " ".join(words)
        if (tail := tail_after(words, "research-cli")) is not None:
            problems.append((line, problem_with_cli(tail)))
            continue
        for name in PARSERS:
            if (tail := tail_after(words, name)) is not None:
                before = words[: words.index(name)]
                problems.append((line, problem_with_training(name, tail, before)))
    assert [each for each in problems if each[1]] == []


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_readme_leads_somewhere(readme):
    links = re.findall(r"\]\(([^)\s]+)\)", readme.read_text(encoding="utf-8"))
    inside = [link.partition("#")[0] for link in links if "://" not in link]
    assert [link for link in inside if link and not (readme.parent / link).exists()] == []


def test_the_root_readme_names_every_member():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    members = [path.parent.relative_to(ROOT) for path in ROOT.glob("p*/*/pyproject.toml")]
    assert [str(path) for path in members if f"`{path}`" not in text] == []
