"""The windows, the sample, and a short training on a text from a local address."""

import functools
import hashlib
import http.server
import random
import threading
from dataclasses import replace

import pytest
import torch
from paper_shakespeare_gpt.data import load_text, windows
from research_data import AssetError
from research_train import evaluate_run, find_member, installed_members, new_run, train_run

SMALL = ["layers=1", "heads=2", "width=32", "context=16", "steps=60", "sample=40", "warm_up=5"]


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "assets"))
    return find_member("shakespeare-gpt", installed_members()).experiment()


@pytest.fixture
def served(experiment, tmp_path, monkeypatch):
    """A text of repeated words at an address of this machine, in place of the corpus."""
    words = random.Random(0).choices(["to be ", "or not ", "that is\n"], k=2000)
    content = "".join(words).encode()
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "input.txt").write_bytes(content)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pyproject = experiment.member.pyproject
    (need,) = pyproject.file_needs
    here = replace(
        need,
        url=f"http://127.0.0.1:{server.server_port}/input.txt",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    monkeypatch.setattr(type(pyproject), "file_needs", [here])
    yield content.decode()
    server.shutdown()


def test_windows_are_followed_by_their_next_characters_and_parts_do_not_mix():
    (seen, after), (unseen, following) = windows(torch.arange(1000), 8)
    assert len(seen) == 900 - 8
    assert torch.equal(seen + 1, after)
    assert torch.equal(unseen + 1, following)
    assert (int(after.max()), int(unseen.min())) == (899, 900)
    assert torch.equal(unseen.flatten(), torch.arange(900, 900 + 8 * len(unseen)))


def test_a_text_that_is_too_short_is_refused(tmp_path):
    (tmp_path / "empty").write_text("")
    with pytest.raises(AssetError, match="empty"):
        load_text(tmp_path / "empty")
    with pytest.raises(AssetError, match="100 characters"):
        windows(torch.arange(100), 16)


def test_it_trains_on_a_served_text_and_writes_a_sample(experiment, served):
    run = new_run(experiment, [*SMALL, "tensorboard=false"])
    run.quiet = True
    train_run(run, experiment)
    assert run.record.metrics["validation/loss"] < 2  # chance is 2.4, of 11 characters
    assert evaluate_run(run, experiment).metrics == run.record.metrics
    said = (run.folder / "sample.txt").read_text()
    assert len(said) == 41
    assert set(said) <= set(served)
