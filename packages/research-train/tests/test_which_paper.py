"""A command never runs another paper than the one named: real `uv run`, two papers, any folder."""

import json
import re
import subprocess

import pytest
from research_train import MemberError
from research_train.command_line.which_paper import (
    UV_OPTIONS_WITH_VALUE,
    uv_run_options,
    which_member,
)

ALPHA, BETA = "experiments of alpha:", "experiments of beta:"


@pytest.mark.parametrize(
    ("cwd", "words", "shown"),
    [
        (".", ["run", "--package", "paper-alpha", "train"], ALPHA),
        (".", ["run", "--package=paper-beta", "train"], BETA),
        (".", ["run", "--no-sync", "-p", "3", "--package", "paper-beta", "--", "train"], BETA),
        (".", ["run", "--project", "papers/alpha", "train"], ALPHA),
        (".", ["--directory", "papers/beta", "run", "train"], BETA),
        (".", ["--directory", "papers", "run", "--project", "beta", "train"], BETA),
        ("papers/beta", ["run", "--package", "paper-alpha", "train"], ALPHA),
        ("papers/beta/paper_beta", ["run", "train"], BETA),
        ("papers/beta", ["run", "train", "--paper", "alpha"], ALPHA),
        (".", ["run", "--package", "paper-alpha", "train", "--paper", "beta"], BETA),
        # A shell inside `uv run`, and a shell in a shell.
        (".", ["run", "--package", "paper-alpha", "sh", "-c", "train --help; true"], ALPHA),
        ("papers/alpha", ["run", "--package", "paper-alpha", "sh", "-c", "train -h; true"], ALPHA),
        (
            ".",
            ["run", "--package", "paper-alpha", "sh", "-c", "uv run --package paper-beta train -h"],
            BETA,
        ),
        (".", ["run", "--python-preference", "system", "--package", "paper-alpha", "train"], ALPHA),
        ("papers/beta", ["run", "-qp", "3", "--package", "Paper_Alpha", "train"], ALPHA),
        ("papers/beta", ["run", "--package", "paper-alpha", "env", "train"], ALPHA),
        # What follows the command is the command's.
        (".", ["run", "--package", "paper-beta", "sh", "-c", "train -h", "--package", "x"], BETA),
    ],
)
def test_the_paper_named_is_the_paper_run(uv_workspace, cwd, words, shown):
    words = words if "sh" in words else [*words, "--help"]
    result = uv_workspace.uv(*words, cwd=cwd)
    assert result.code == 0, result.errors
    assert shown in result.output
    assert (ALPHA in result.output) != (BETA in result.output)


def test_a_folder_and_a_uv_run_further_up_that_disagree_are_refused(uv_workspace):
    words = ["run", "--package", "paper-alpha", "sh", "-c", "cd papers/beta; train; exit $?"]
    uv_workspace.uv(*words).refused(2, "in beta", "`uv run` for alpha", "--paper beta")


def test_several_papers_and_none_named_are_refused_with_their_names(uv_workspace):
    uv_workspace.uv("run", "train").refused(
        2, "which paper?", "alpha (paper-alpha)", "beta (paper-beta)"
    )


def test_a_paper_that_is_not_installed_is_refused(uv_workspace):
    result = uv_workspace.uv("run", "--package", "paper-alpha", "train", "--paper", "alfa")
    result.refused(2, "'alfa'", "Did you mean 'alpha'?")


def test_the_project_of_the_environment_is_uvs_too(uv_workspace):
    uv_workspace.environment["UV_PROJECT"] = str(uv_workspace.root / "papers" / "alpha")
    try:
        result = uv_workspace.uv("run", "train", "--help", cwd="papers/beta")
    finally:
        del uv_workspace.environment["UV_PROJECT"]
    assert ALPHA in result.output


def test_no_installed_paper_is_an_error():
    with pytest.raises(MemberError, match="no paper or project"):
        which_member(None, [])


def test_under_torchrun_too(uv_workspace):
    torchrun = ["python", "-m", "torch.distributed.run", "--nproc-per-node", "1", "--no-python"]
    words = ["run", "--package", "paper-alpha", *torchrun, "train", "second", "--json"]
    result = uv_workspace.uv(*words, cwd="papers/beta")
    assert result.code == 0, result.errors
    run = json.loads(result.output.splitlines()[-1])["run"]
    assert "/outputs/alpha/" in run


def test_the_options_that_take_a_value_are_those_of_this_uv():
    shown = subprocess.run(["uv", "run", "--help"], capture_output=True, text=True, check=True)
    lines = re.findall(r"^ +(?:(-\w), )?(--[\w-]+) <", shown.stdout, flags=re.MULTILINE)
    known = {name for pair in lines for name in pair if name}
    assert known - UV_OPTIONS_WITH_VALUE == set()
    assert len(known) > 30


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("uv run --package a train", {"--package": "a"}),
        ("/usr/bin/uv run --with x --package a train", {"--package": "a"}),
        ("uv run train --package a", {}),
        ("uv run -- train --package a", {}),
        ("uv run -v --package=a train", {"--package": "a"}),
        ("uv run -qp 3.12 --package a train", {"--package": "a"}),
        ("uv run -p3.12 --package a train", {"--package": "a"}),
        ("uv --project p run --package a", {"--project": "p", "--package": "a"}),
        ("uv run --project a --project b train", {"--project": "b"}),
        ("uv sync --package a", None),
        ("uvx run --package a", None),
        ("python run --package a", None),
        ("uv", None),
    ],
)
def test_options_of_a_uv_run_command_line(command, options):
    assert uv_run_options(command.split()) == options


@pytest.mark.parametrize(
    ("command", "child", "options"),
    [
        # An option that nobody here has heard of.
        ("uv run --new x --package a train y=1", "python bin/train y=1", {"--package": "a"}),
        (
            "uv run --package a train --package b",
            "python bin/train --package b",
            {"--package": "a"},
        ),
        ("uv run --package a timeout 60 train", "timeout 60 train", {"--package": "a"}),
        ("uv run --package a sh -c train", "python bin/train --package b", {"--package": "a"}),
        ("uv run sh wrap --package b x", "python bin/train x", {}),
    ],
)
def test_the_child_shows_where_its_command_begins(command, child, options):
    assert uv_run_options(command.split(), child.split()) == options
