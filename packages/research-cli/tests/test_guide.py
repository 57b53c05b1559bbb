"""The guides are true: every command in them is run, and printed what stands there.

UPDATE_GUIDE=1 writes what they print now into the guides.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import fork_server
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import add_repo, running_hub
from new_members import PACKAGE, NewMembers
from safetensors.numpy import save

PACKAGES = Path(__file__).parents[2]
HUB = PACKAGES / "research-data" / "HUGGINGFACE_GUIDE.md"
FIRST_PAPER = PACKAGES / "research-cli" / "FIRST_PAPER_GUIDE.md"
LATER = [
    PACKAGES / "research-train" / "RECORDS_GUIDE.md",
    PACKAGES / "research-cli" / "SWEEPS_GUIDE.md",
    PACKAGES / "research-cli" / "RELEASES_GUIDE.md",
]
SUPPORT = Path(__file__).with_name("support")
BLOCK = re.compile(r"```console\n(.*?)```|```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.S)
WRITTEN = r'```\w+ file=(?P<path>\S+)(?: after="(?P<after>.+?)")?\n(?P<content>.*?)```'
STEP = re.compile(f"{BLOCK.pattern}|{WRITTEN}", re.S)
# How far a sweep is.
MEANWHILE = re.compile(r"^(done: |\d+ trials?( of \d+)?, \d+ runs? done).*\n", re.M)


def parquet(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def card(licence, **configs):
    lines = ["---", f"license: {licence}", "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split in splits:
            lines += [f"  - split: {split}", f"    path: {config}/{split}-*"]
    return "\n".join([*lines, "---", "# As on the hub, with a few rows", ""]).encode()


def fill(root):
    """The repositories that the guide names."""
    questions = {
        "id": [str(i) for i in range(300)],
        "context": [f"The number {i} is followed by {i + 1}." for i in range(300)],
        "question": [f"What follows {i}?" for i in range(300)],
    }
    squad = {
        "README.md": card("cc-by-sa-4.0", plain_text=["train", "validation"]),
        "plain_text/train-00000-of-00001.parquet": parquet(**questions),
        "plain_text/validation-00000-of-00001.parquet": parquet(
            **{name: column[:30] for name, column in questions.items()}
        ),
    }
    add_repo(root, "datasets", "rajpurkar/squad", squad, aliases=["squad"])
    glue = {"README.md": card("other", sst2=["train", "test"], cola=["train", "test"])}
    for config in ("sst2", "cola"):
        for split in ("train", "test"):
            rows = parquet(sentence=[f"{config} {i}" for i in range(200)], label=[1, 0] * 100)
            glue[f"{config}/{split}-00000-of-00001.parquet"] = rows
    add_repo(root, "datasets", "nyu-mll/glue", glue)
    add_repo(root, "datasets", "org/gated", {"rows.csv": b"a\n1\n"}, gated="manual")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = {"[UNK]": 0, "What": 1, "follows": 2, "?": 3, "The": 4, "number": 5, "is": 6}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}
    bert = {
        "README.md": b"---\nlicense: apache-2.0\n---\n# BERT\n",
        "config.json": b'{"model_type": "bert"}',
        "model.safetensors": save({"embeddings": np.zeros((100, 64), np.float32)}),
        "pytorch_model.bin": b"pickled",
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": json.dumps(settings).encode(),
    }
    name = "google-bert/bert-base-uncased"
    add_repo(root, "models", name, bert, aliases=["bert-base-uncased"])


def run_block(match, folder, environment):
    """The block again, with what its commands print now."""
    console, python = match.group(1), match.group(2)
    if console is None:
        done = subprocess.run(
            [sys.executable, "-"],
            input=python, cwd=folder, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return f"```python\n{python}```\n\n```text\n{done.stdout}```\n"
    lines = []
    for line in console.splitlines():
        if line.startswith("$ "):
            done = subprocess.run(
                ["sh", "-c", f"{line[2:]} 2>&1"],
                cwd=folder, env=environment, capture_output=True, text=True,
            )  # fmt: skip
            assert "Traceback" not in done.stdout, done.stdout
            printed = done.stdout.splitlines()
            # Where other tests use the cores, a tracker may need more than a run's patience.
            lines += [line, *(each for each in printed if "is still at work;" not in each)]
    return "```console\n" + "\n".join(line.rstrip() for line in lines) + "\n```"


def comparable(text):
    """Text without what differs from run to run and with the versions of libraries."""
    text = re.sub(r"[0-9a-f]{12,64}", "HEX", text)
    text = re.sub(r"\d{4}-\d\d-\d\d(T[\d:.]+\+00:00)?( \d\d:\d\d)?", "DATE", text)
    text = re.sub(r"\d+(\.\d+)? [kMG]?B\b|\d+ bytes", "SIZE", text)
    text = re.sub(r"\d{8}-\d{6}\.\d{3}", "RUN", text)
    text = re.sub(r"\d+ entr(y|ies)|\d+ files?\b", "COUNT", text)
    text = re.sub(r"\d+\.\d+\.\d+(\.dev\d+)?", "VERSION", text)
    text = re.sub(r"(\d+(\.\d+)? ?(s|min)\b ?)+", "TIME ", text)
    text = re.sub(r"\d\.\d{3,}|± 0\.\d+", "NUMBER", text)  # of another processor
    return re.sub(r"[ ]+", " ", text)


@pytest.mark.usefixtures("alone_in_exploratory")
def test_the_guide_shows_what_its_commands_print(tmp_path):
    root, folder = tmp_path / "hub", tmp_path / "research"
    fill(root)
    (folder / "carried").mkdir(parents=True)
    commands = tmp_path / "bin"
    commands.mkdir()
    fork_server.put_on_path("research-cli", commands)
    with running_hub(root) as server:
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(commands), os.environ["PATH"]]),
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "RESEARCH_ASSETS": str(folder / "assets"),
        }
        environment.pop("HF_TOKEN", None)
        text = HUB.read_text(encoding="utf-8")
        now = BLOCK.sub(lambda match: run_block(match, folder, environment), text)
        for place, name in ((server.url, "https://huggingface.co"), (folder, "/data/research")):
            now = now.replace(str(place), name)
    same_as_before(HUB, now.replace(str(PACKAGES.parent), "/data/research"))


def same_as_before(guide, now):
    """Compare a guide with what its commands print now, or write that into it."""
    text = guide.read_text(encoding="utf-8")
    if os.environ.get("UPDATE_GUIDE"):
        guide.write_text(now, encoding="utf-8")
    elif comparable(now) != comparable(text):
        for line, expected in zip(now.splitlines(), text.splitlines(), strict=False):
            assert comparable(line) == comparable(expected)
        pytest.fail("the guide ends otherwise")


def first_workspace(root):
    """A workspace of our packages, of which uv installs the names alone; returns its environment.

    research-models is there as a whole, others with what the guide needs of them.
    """
    workspace = NewMembers(root)
    packages = root / "packages"
    shutil.copytree(
        PACKAGES / "research-models", packages / "research-models",
        ignore=shutil.ignore_patterns("pyproject.toml", "__pycache__", "figures", "releases"),
        dirs_exist_ok=True,
    )  # fmt: skip
    shutil.copytree(SUPPORT, packages / SUPPORT.relative_to(PACKAGES))
    stub = PACKAGE.format(name="research-cli", version=version("research-cli"))
    (packages / "research-cli" / "pyproject.toml").write_text(stub)
    for file in PACKAGES.glob("research-[dmtv]*/releases/*-0.2.0-*"):
        copy = packages / file.relative_to(PACKAGES)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)
    for file in PACKAGES.glob("*/CHANGELOG.md"):
        shutil.copyfile(file, packages / file.relative_to(PACKAGES))
    (root / ".gitignore").write_text(".venv\nassets\n__pycache__\n.pytest_cache\nbin\n*.tar\n")
    workspace.run("git", "init", "--quiet")
    workspace.run("git", "add", ".")
    workspace.run("git", "config", "user.name", "Someone")
    workspace.run("git", "config", "user.email", "someone@example.org")
    workspace.run("git", "commit", "--quiet", "--message", "Begin")
    commands = root / "bin"
    commands.mkdir()
    for command in ("research-cli", "train", "reproduce", "pytest"):
        fork_server.put_on_path(command, commands)
    path = [commands, Path(sys.executable).parent, os.environ["PATH"]]
    # What uv installs of the new paper, and the folders that an editable install names.
    found = [root / f".venv/lib/python{sysconfig.get_python_version()}/site-packages"]
    found += [root / "papers" / "maxout", packages / "research-models" / "src"]
    return workspace.environment | {
        "PATH": os.pathsep.join(map(str, path)),
        "PYTHONPATH": os.pathsep.join(map(str, found)),
    }


def follow(match, folder, environment):
    """Run a block's commands; or write the file that it shows, or add its lines to one."""
    path, after, content = match.group("path", "after", "content")
    if path is None:
        return run_block(match, folder, environment)
    if after:
        text = (folder / path).read_text(encoding="utf-8")
        before, found, rest = re.split(rf"^({re.escape(after)}\n\n*)", text, maxsplit=1, flags=re.M)
        content = before + found + content + rest
    (folder / path).write_text(content, encoding="utf-8")
    return match.group()


def test_the_first_paper_guide_goes_from_a_clone_to_a_shared_class_and_an_image(tmp_path):
    folder = tmp_path / "research"
    environment = first_workspace(folder)
    text = FIRST_PAPER.read_text(encoding="utf-8")
    assert text.count("\n$ ") + 2 <= 14  # with those that clone and install
    now = STEP.sub(lambda match: follow(match, folder, environment), text)
    now = MEANWHILE.sub("", now)
    same_as_before(FIRST_PAPER, now.replace(str(folder), "/data/research"))


def test_the_pages_after_it_show_what_their_commands_print(tmp_path):
    folder = tmp_path / "research"
    environment = first_workspace(folder)
    words = ["research-cli", "paper", "new", "maxout", "--uses", "models"]
    subprocess.run(words, cwd=folder, env=environment, capture_output=True, check=True)
    for guide in LATER:
        text = guide.read_text(encoding="utf-8")
        now = STEP.sub(lambda match: follow(match, folder, environment), text)
        same_as_before(guide, MEANWHILE.sub("", now).replace(str(folder), "/data/research"))
