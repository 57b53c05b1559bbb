"""Records and checkpoints that somebody wrote by hand: refused in a sentence, never half read."""

import json
import shutil

import pytest
import torch
from research_data import Batches, ResearchError
from research_data.durable import sha256_file
from research_train import (
    CheckpointError,
    RunError,
    Trainer,
    classification_loss,
    compare_runs,
    evaluate_run,
    export_run,
    load_checkpoint,
    new_run,
    read_metrics,
    resumed_run,
    runs,
    train_run,
)
from research_train.record.record import recorded_metrics
from research_train.record.summary import summarise
from safetensors.torch import load_file, save_file
from torch import nn
from workspaces import Workspace

HUGE = 10**400


def points():
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(40, 6, generator=generator)
    return inputs, (inputs[:, 0] > 0).long()


def fit(run):
    run.quiet = True
    model = nn.Linear(6, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    with run.attempt():
        Trainer(run, model, optimizer, classification_loss).fit(Batches(points(), 8))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of four steps, and a copy of its folder."""
    workspace = Workspace(tmp_path_factory.mktemp("forged") / "workspace")
    workspace.add_paper()
    with pytest.MonkeyPatch.context() as monkeypatch:
        run = new_run(workspace.import_here(monkeypatch), ["steps=4", "tensorboard=false"])
        fit(run)
    return run, shutil.copytree(run.folder, tmp_path_factory.mktemp("kept") / "run")


@pytest.fixture
def run(trained):
    """The run as it was, whatever another test has made of it."""
    run, kept = trained
    shutil.rmtree(run.folder)
    shutil.copytree(kept, run.folder)
    return run


def seal_checkpoint(folder):
    """Make the manifest fit what lies there now, as a careful forger would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        entry |= {"size": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def forge_state(folder, **changes):
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps(state | changes))
    seal_checkpoint(folder)


STATES = [
    {"step": -5},
    {"step": 2.5},
    {"step": True},
    {"step": "4"},
    {"step": None},
    {"step": 10**30},
    {"losses": "none"},
    {"losses": [float("nan")]},
    {"losses": {"a": 1}},
    {"best": 3},
    {"best": [float("nan"), 3]},
    {"best": [1.0, -3]},
    {"evaluations": -1},
    {"ranks": {"a": 1}},
    {"ranks": [{}]},
    {"scaler": [1]},
    {"data": 3},
    {"data": {"epoch": -1, "position": 0, "examples": 40}},
    {"data": {"epoch": "1", "position": 0, "examples": 40}},
    {"random": {}},
    {"random": None},
    {"random": {"python": [3, [1, 2], None], "numpy": [], "torch": "", "cuda": []}},
    {"optimizer": 3},
    {"optimizer": {"kind": "Adam", "state": {"x": {}}, "param_groups": []}},
    {"optimizer": {"kind": "Adam", "state": {}, "param_groups": [{"params": [0, 0], "lr": 1}]}},
    {"optimizer": {"kind": "Adam", "state": {}, "param_groups": "none"}},
    {"moving": 3},
    {"moving": {"model::forward": 3}},
    {"moving": {"model::weight": {"tensor": "none"}}},
    {"moving": {"model:no:where": 3}},
    {"moving": {"model::_parameters": {"dict": []}}},
    {"moving": {"model::x": {"eval": ["1"]}}},
    {"surprise": 1},
    {"format": HUGE},
]


@pytest.mark.parametrize("changes", STATES, ids=str)
def test_a_state_that_is_none_is_refused_and_the_model_stays_as_it_was(run, changes):
    folder = run.last_checkpoint()
    if "format" in changes:
        text = (
            (folder / "state.json").read_text().replace('"format": 1', f'"format": 1{"0" * 5000}')
        )
        (folder / "state.json").write_text(text)
        seal_checkpoint(folder)
    else:
        forge_state(folder, **changes)
    model = nn.Linear(6, 2)
    before = model.weight.clone()
    with pytest.raises(CheckpointError):
        load_checkpoint(folder, model, torch.optim.Adam(model.parameters()))
    assert torch.equal(model.weight, before) or "moving" in changes


def test_a_state_of_another_step_than_its_folder_is_not_gone_on_with(experiment):
    run = new_run(experiment, ["steps=4", "tensorboard=false"])
    fit(run)
    forge_state(run.last_checkpoint(), step=3)
    record = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps(record | {"status": "failed", "seal": None}))
    with pytest.raises(RunError, match="step 3"):
        fit(resumed_run(experiment, run.record.id, ["steps=6"]))


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_weights_of_another_type_are_refused_with_both(run, name):
    folder = run.last_checkpoint()
    file = folder / "model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, name: tensors[name].double()}, file)
    seal_checkpoint(folder)
    with pytest.raises(CheckpointError, match=r"float64.*float32"):
        run.load_weights(nn.Linear(6, 2))


MANIFESTS = [
    "3",
    "[]",
    "{",
    "[" * 100_000,
    '{"format": 1, "files": [1]}',
    '{"format": 1, "files": {"model.safetensors": 3}}',
    '{"format": [1], "files": {}}',
    '{"format": 1, "files": {"../../run.json": {"size": 1, "sha256": "0"}}}',
    f'{{"format": 1{"0" * 5000}, "files": {{}}}}',
]


@pytest.mark.parametrize("text", MANIFESTS, ids=lambda text: text[:30])
def test_a_manifest_that_is_none_is_refused(run, text):
    (run.last_checkpoint() / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError):
        run.load_weights(nn.Linear(6, 2))


def test_files_that_are_links_out_of_the_folder_are_refused(run, tmp_path):
    file = run.last_checkpoint() / "model.safetensors"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="link"):
        run.load_weights(nn.Linear(6, 2))


def test_folders_that_are_no_checkpoints_are_passed_over(run):
    for name in ("step-x", "step--0000005", "step-0000000²"):
        (run.folder / "checkpoints" / name).mkdir()
    assert [folder.name for folder in run.checkpoints()] == ["step-00000004"]


def test_without_its_seal_a_completed_run_is_no_evidence_anywhere(experiment, tmp_path):
    run = new_run(experiment, ["steps=4", "tensorboard=false"])
    run.quiet = True
    train_run(run, experiment)
    record = json.loads((run.folder / "run.json").read_text())
    record |= {"seal": None, "metrics": {"test/accuracy": 1.0}}
    (run.folder / "run.json").write_text(json.dumps(record))
    summary = summarise(run.folder)
    assert summary.seal_state == "broken"
    with pytest.raises(RunError, match="seal"):
        export_run(summary, tmp_path / "run.tar")
    with pytest.raises(RunError, match="seal"):
        resumed_run(experiment, run.record.id, ["steps=8"])  # which would seal it anew
    run.record.seal = None
    with pytest.raises(RunError, match="seal"):
        evaluate_run(run, experiment)


def test_nan_infinity_and_null_sort_last_and_compare_equal(experiment):
    made = []
    for value in ("0.5", "NaN", "-Infinity", "0.9", "1e999", "null"):
        run = new_run(experiment, ["tensorboard=false"])
        run.release()
        record = json.loads((run.folder / "run.json").read_text()) | {"metrics": {"a/loss": 0}}
        text = json.dumps(record).replace('"a/loss": 0', f'"a/loss": {value}')
        (run.folder / "run.json").write_text(text)
        (run.folder / "metrics.jsonl").write_text(f'{{"step": 1, "time": 1, "a/loss": {value}}}\n')
        made.append(summarise(run.folder))
    for reverse, best in ((False, [0.5, 0.9]), (True, [0.9, 0.5])):
        found = runs("tiny", sort="a/loss", reverse=reverse)
        assert [run.metrics["a/loss"] for run in found] == [*best, None, None, None, None]
    assert len(runs("tiny", where=["a/loss=null"])) == len(runs("tiny", where=["a/loss=NaN"])) == 4
    assert len(runs("tiny", where=["a/loss>-1"])) == 2
    assert [read_metrics(run.folder)[0]["a/loss"] for run in made] == [
        0.5, None, None, 0.9, None, None
    ]  # fmt: skip
    assert compare_runs(made).metrics == {"a/loss": [0.5, None, None, 0.9, None, None]}


ODD = {
    "step": ({"step": 1}, "reserved"),
    "time": ({"time": 1.0}, "reserved"),
    "text": ({"test/x": "0.5"}, "test/x.*one number"),
    "complex": ({"test/x": 1j}, "test/x.*one number"),
    "several": ({"test/x": torch.zeros(3)}, r"test/x.*\(3,\)"),
    "none of them": ({"test/x": {}}, "test/x.*dict"),
    "no name": ({"": 1.0}, "name"),
    "no word": ({3: 1.0}, "name"),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_value_that_is_no_metric_is_refused_with_its_name(experiment, kind):
    metrics, message = ODD[kind]
    run = new_run(experiment, ["tensorboard=false"])
    with pytest.raises(ResearchError, match=message), run.attempt():
        run.log(1, metrics)
    assert (run.folder / "metrics.jsonl").read_text() == ""


def test_final_metrics_may_be_named_step_and_time(experiment):
    run = new_run(experiment, ["tensorboard=false"])
    with run.attempt():
        run.record.metrics = recorded_metrics({"step": 40, "time": 2.5})
    content = json.loads((run.folder / "run.json").read_text())
    assert content["metrics"] == {"step": 40, "time": 2.5}


def test_whatever_is_one_number_is_a_metric(experiment):
    from decimal import Decimal

    import numpy as np

    given = {
        "a": torch.tensor(2.0, requires_grad=True),
        "b": np.float32(0.5),
        "c": True,
        "d": Decimal("1.5"),
        "e": HUGE,
        "f": float("nan"),
        "g": np.int64(3),
        "h": None,
    }
    run = new_run(experiment, ["tensorboard=false"])
    with run.attempt():
        run.log(np.int64(1), given)
        with pytest.raises(ResearchError, match="step"):
            run.log(-1, {})
    [line] = read_metrics(run.folder)
    del line["time"]
    assert line == {
        "step": 1, "a": 2, "b": 0.5, "c": 1, "d": 1.5, "e": None, "f": None, "g": 3, "h": None
    }  # fmt: skip
