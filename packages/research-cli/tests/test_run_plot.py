"""`research-cli run plot` as a user types it, over real runs of a tiny paper."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from workspaces import Workspace


class Plots:
    """A workspace with two seeds of one setting of tiny and one of another; `run plot` in it."""

    def __init__(self, folder: Path):
        self.workspace = Workspace(folder / "workspace")
        self.workspace.add_paper()
        words = ("--quiet", "tensorboard=false")
        self.first: Path = self.workspace.train(*words, "--name", "first").folder
        self.second: Path = self.workspace.train(*words, "seed=1", "log_every=1").folder
        self.fast: Path = self.workspace.train(*words, "optimizer.learning_rate=1e-1").folder
        self.all = (self.first.name, self.second.name, self.fast.name)

    def __call__(self, *words: str, code: int = 0) -> str:
        done = self.workspace.run("research-cli", "run", "plot", *words)
        assert done.code == code, done.output + done.errors
        assert "Traceback" not in done.errors
        self.errors = done.errors
        return done.output

    def curves(self, *words: str) -> dict[str, list[str]]:
        value: dict[str, Any] = json.loads(self(*words, "--json"))
        curves: dict[str, list[str]] = value["curves"]
        return curves


@pytest.fixture(scope="module")
def plot(tmp_path_factory: pytest.TempPathFactory) -> Plots:
    return Plots(tmp_path_factory.mktemp("plots"))


def test_formats_and_places(plot: Plots, tmp_path: Path) -> None:
    [beside] = plot("first").splitlines()
    assert Path(beside) == plot.first / "figures" / "curves.png"
    # Not over what the paper's own evaluate may have saved as test-accuracy.png.
    [named] = plot("first", "--metric", "test/accuracy").splitlines()
    assert Path(named) == plot.first / "figures" / "curves-test-accuracy.png"
    assert Path(beside).read_bytes().startswith(b"\x89PNG")
    [among] = plot(*plot.all).splitlines()
    assert Path(among).parent == plot.first.parent / "comparisons"
    for name, start in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")):
        assert plot("first", "--out", str(tmp_path / name)).strip() == str(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    plot("first", "--out", str(tmp_path / "a.jpg"), code=2)
    assert "a.jpg" in plot.errors and ".png, .svg or .pdf" in plot.errors


def test_runs_that_differ_only_in_seed_are_one_curve(plot: Plots, tmp_path: Path) -> None:
    figure = tmp_path / "curves.svg"
    metrics = ("--metric", "train/loss", "--metric", "test/accuracy", "--out", str(figure))
    curves = plot.curves(*plot.all, "first", *metrics)  # named twice, it is one run
    first, second, fast = plot.all
    assert curves == {"learning_rate=0.01": [first, second], "learning_rate=0.1": [fast]}
    drawn = figure.read_text()
    assert "<!-- learning_rate=0.1 -->" in drawn and "of 2 seeds" in drawn
    assert "<!-- train/loss -->" in drawn and "<!-- test/accuracy -->" in drawn
    pooled = plot.curves(*plot.all, "--by", "label")
    assert pooled == {"label=tiny": [first, second, fast]}
    assert "label=tiny pools runs" in plot.errors and "optimizer.learning_rate" in plot.errors
    again = shutil.copytree(plot.first, tmp_path / "again")  # no further evidence
    assert plot.curves(first, str(again), "--out", str(figure)) == {"tiny": [first]}
    assert plot.errors.startswith("again ")


def test_by_a_key_that_some_lack_and_values_that_look_alike(plot: Plots, tmp_path: Path) -> None:
    first, second, fast = plot.all
    runs = []
    for run, key in ((first, ""), (second, "bend: 0.12345678\n"), (fast, "bend: 0.12345679\n")):
        runs.append(shutil.copytree(plot.first.parent / run, tmp_path / run))
        config = runs[-1] / "config.yaml"
        config.write_text(config.read_text() + key)
    out = ("--out", str(tmp_path / "by.svg"))
    curves = plot.curves(*map(str, runs), "--by", "bend", *out)
    assert curves == {"bend=0.12345678": [second], "bend=0.12345679": [fast]}
    assert "1 of 3 runs" in plot.errors and f" bend: {first}" in plot.errors
    drawn = (tmp_path / "by.svg").read_text()
    assert "<!-- bend=0.12345678 -->" in drawn and "<!-- bend=0.12345679 -->" in drawn


def test_what_is_misspelt_is_named(plot: Plots) -> None:
    plot("first", "--metric", "test/acuracy", code=2)
    assert "'test/acuracy'" in plot.errors and "'test/accuracy'?" in plot.errors
    plot("first", "--metric", "nonsense", code=2)
    assert "'nonsense'" in plot.errors and "train/loss" in plot.errors
    plot("first", "--by", "labl", code=2)
    assert "'labl'" in plot.errors and "'label'?" in plot.errors
    plot("firs-t", code=1)
    assert "no run 'firs-t'" in plot.errors
