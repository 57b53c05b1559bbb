"""The experiment runs and is recorded like a paper's, and its notebook shows the runs."""

import json
import subprocess
import sys
from pathlib import Path

import torch
from exploratory_weight_decay_2026_11_24.train import spirals
from research_train import find_member, installed_members, new_run, read_record, train_run


def test_spirals_have_as_many_wrong_labels_as_asked_for():
    torch.manual_seed(0)
    points, labels = spirals(20_000, noise=0.2)
    assert points.shape == (20_000, 2)
    clean = torch.arange(20_000) % 2
    assert abs((labels != clean).float().mean() - 0.1) < 0.01  # half of the redrawn ones


NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "weight-decay.ipynb"


def test_it_trains_is_recorded_and_shown_by_its_notebook(tmp_path, monkeypatch):
    import nbformat  # 2 seconds, which every worker would wait for
    from nbclient import NotebookClient

    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path))
    experiment = find_member("exploratory", installed_members()).experiment("weight-decay")
    for decay in ("0.0", "1.0"):
        words = ["steps=60", "tensorboard=false", "evaluate_every=20", f"weight_decay={decay}"]
        run = new_run(experiment, words)
        run.quiet = True
        train_run(run, experiment)
    record = read_record(run.folder)
    assert (record.paper, record.status) == ("exploratory", "completed")
    assert record.metrics.keys() == {"train/accuracy", "test/accuracy"}
    assert record.metrics["test/accuracy"] > 0.55  # chance is 0.5

    shown = NotebookClient(nbformat.read(NOTEBOOK, 4), timeout=120, kernel_name="python3").execute()
    outputs = {cell.id: cell.outputs for cell in shown.cells if cell.get("outputs")}
    kinds = {name: set(each[-1].data) - {"text/plain"} for name, each in outputs.items()}
    table, picture = {"text/html"}, {"image/png"}
    expected = {"runs": table, "curves": picture, "memorised": picture, "differ": table}
    assert kinds == expected
    assert "weight_decay" in outputs["differ"][0].data["text/html"]


def test_a_kernel_of_another_environment_is_told_how_to_start_the_right_one():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    [first] = ["".join(cell["source"]) for cell in cells if cell["id"] == "kernel"]
    done = subprocess.run([sys.executable, "-I", "-S", "-c", first], capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert sys.executable in done.stderr and "uv run jupyter lab" in done.stderr
