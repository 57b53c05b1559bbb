"""A hub on 127.0.0.1 with small repositories, and assets of their own for each test."""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import add_repo, running_hub
from hypothesis import settings
from safetensors.numpy import save

# By default a slow example fails, as one may be on a machine that does other work too.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")

CARD = b"""---
license: cc-by-sa-4.0
configs:
- config_name: plain_text
  data_files:
  - split: train
    path: plain_text/train-*
  - split: validation
    path: plain_text/validation-*
- config_name: short
  data_files:
  - split: train
    path: short/train-*
---
# Questions
"""

CLIENT = {  # the clients look at these when they are imported
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "HF_HUB_ETAG_TIMEOUT": "5",
    "HF_HUB_DOWNLOAD_TIMEOUT": "5",
}
os.environ.update(CLIENT)
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hf-home-")  # not the cache of whoever runs this


# One hub for all tests of a process: `datasets` takes its address when it is imported.
_hub = running_hub(ROOT := Path(tempfile.mkdtemp(prefix="hub-")))
SERVER = _hub.__enter__()
os.environ["HF_ENDPOINT"] = SERVER.url


def pytest_unconfigure():
    _hub.__exit__(None, None, None)
    for folder in (ROOT, os.environ["HF_HOME"]):
        shutil.rmtree(folder, ignore_errors=True)


def parquet(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def squad_files(rows=40):
    questions = [f"What is {i}?" for i in range(rows)]
    return {
        "README.md": CARD,
        "plain_text/train-00000-of-00002.parquet": parquet(q=questions, a=list(range(rows))),
        "plain_text/train-00001-of-00002.parquet": parquet(q=questions, a=list(range(rows))),
        "plain_text/validation-00000-of-00001.parquet": parquet(q=["Why?"], a=[7]),
        "short/train-00000-of-00001.parquet": parquet(z=[1.5, 2.5]),
    }


def bert_files():
    return {
        "README.md": b"---\nlicense: apache-2.0\n---\n# A model\n",
        "config.json": b'{"model_type": "bert"}',
        "model.safetensors": save({"w": np.arange(1000, dtype=np.float32)}),
        "vocab.txt": b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwhat\nis\n?\n",
        "tokenizer_config.json": b'{"tokenizer_class": "BertTokenizer"}',
        "pytorch_model.bin": b"\x80\x02never read",
        "onnx/model.onnx": b"onnx",
    }


class HubWorld:
    """The server, its repositories, and this test's assets."""

    def __init__(self, server, root, assets):
        self.server, self.root, self.assets = server, root, assets

    def add(self, kind, repo_id, files, branch="main", **settings):
        return add_repo(self.root, kind, repo_id, files, branch=branch, **settings)

    def requests(self):
        return [(method, path) for method, path, *_ in self.server.requests()]

    def python(self, code, **environ):
        """Run code in a process of its own, as a user's."""
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={**os.environ, **environ},
            text=True,
            capture_output=True,
            timeout=120,
        )


@pytest.fixture(autouse=True)
def assets(tmp_path, monkeypatch):
    folder = tmp_path / "assets"
    monkeypatch.setenv("RESEARCH_ASSETS", str(folder))
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    SERVER.clear_faults()
    monkeypatch.setenv("HF_ENDPOINT", SERVER.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    world = HubWorld(SERVER, ROOT, tmp_path / "assets")
    world.squad = world.add("datasets", "rajpurkar/squad", squad_files(), aliases=["squad"])
    world.bert = world.add("models", "google/bert", bert_files(), aliases=["bert"])
    SERVER.clear()
    return world
