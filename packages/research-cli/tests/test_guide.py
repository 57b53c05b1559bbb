"""HUGGINGFACE_GUIDE.md is true: every command in it is run, and printed what stands there.

UPDATE_GUIDE=1 writes what they print now into the guide.
"""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import fork_server
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import add_repo, running_hub
from safetensors.numpy import save

PACKAGES = Path(__file__).parents[2]
GUIDE = PACKAGES / "research-data" / "HUGGINGFACE_GUIDE.md"
BLOCK = re.compile(r"```console\n(.*?)```|```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.S)


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
            lines += [line, *done.stdout.splitlines()]
    return "```console\n" + "\n".join(line.rstrip() for line in lines) + "\n```"


def comparable(text):
    """Text without what differs from run to run and with the versions of libraries."""
    text = re.sub(r"[0-9a-f]{12,64}", "HEX", text)
    text = re.sub(r"\d{4}-\d\d-\d\d(T[\d:.]+\+00:00)?( \d\d:\d\d)?", "DATE", text)
    text = re.sub(r"\d+(\.\d+)? [kMG]?B\b|\d+ bytes", "SIZE", text)
    text = re.sub(r"\d+\.\d s ", "TIME ", text)
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
        text = GUIDE.read_text(encoding="utf-8")
        now = BLOCK.sub(lambda match: run_block(match, folder, environment), text)
        for place, name in ((server.url, "https://huggingface.co"), (folder, "/data/research")):
            now = now.replace(str(place), name)
    now = now.replace(str(PACKAGES.parent), "/data/research")
    if os.environ.get("UPDATE_GUIDE"):
        GUIDE.write_text(now, encoding="utf-8")
    elif comparable(now) != comparable(text):
        for line, expected in zip(now.splitlines(), text.splitlines(), strict=False):
            assert comparable(line) == comparable(expected)
        pytest.fail("the guide ends otherwise")
