"""Pictures, texts and histograms of a run: in its folder, in the trackers, after a resume too."""

import json
import shutil
import signal

import numpy as np
import pytest
import torch
from followers import wait_for_follower, wandb_records
from matplotlib.figure import Figure
from matplotlib.image import imread
from research_train import MetricError, new_run, read_media
from research_train.history.export_run import export_run
from research_train.history.import_run import import_run
from research_train.record.summary import summarise
from research_train.record.trackers import follow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SHOWS = """
    def evaluate() -> Metrics:
        step = trainer.step
        run.log_image("test/picture", data[0][:3, :3] * step)
        run.log_text("answers", f"<b>at {step}</b>\\n")
        run.log_histogram("weights", model[0].weight)
        return accuracy(model, data)

    run.log_text("answers", "before the first step")
"""


@pytest.fixture
def showing(workspace):
    """The workspace, whose paper shows something at each evaluation."""
    code = workspace.root / "papers/tiny/paper_tiny/train.py"
    before, fit = code.read_text().split("    trainer.fit(")
    fit = fit.replace("lambda: accuracy(model, data)", "evaluate")
    code.write_text(f"{before}{SHOWS}\n    trainer.fit({fit}")
    return workspace


def files(folder):
    found = (folder / "media").rglob("*")
    return {str(f.relative_to(folder)): f.read_bytes() for f in found if f.is_file()}


def test_what_a_run_shows_is_in_its_folder_and_in_tensorboard(showing):
    run = showing.train("tensorboard=true").folder
    steps = range(5, 21, 5)
    names = {"answers": "txt", "test/picture": "png", "weights": "json"}
    assert set(files(run)) == {"media/answers/step-00000000.txt"} | {
        f"media/{name}/step-{step:08d}.{suffix}" for name, suffix in names.items() for step in steps
    }
    media = read_media(run)
    assert [each.step for each in media if each.name == "weights"] == list(steps)
    assert {each.kind for each in media} == {"image", "text", "histogram"}
    histogram = json.loads((run / "media/weights/step-00000020.json").read_bytes())
    assert sum(histogram["counts"]) == 4 * 16 and len(histogram["edges"]) == 65
    wait_for_follower(run, "tensorboard")
    events = EventAccumulator(str(run / "tensorboard"), {"histograms": 0})
    events.Reload()
    pictures = events.Images("test/picture")
    assert [event.step for event in pictures] == list(steps)
    file = run / "media/test/picture/step-00000010.png"
    assert pictures[1].encoded_image_string == file.read_bytes()
    assert [event.step for event in events.Tensors("answers")] == [0, *steps]
    assert [event.step for event in events.Histograms("weights")] == list(steps)
    final = json.loads((run / "run.json").read_text())["metrics"]["test/accuracy"]
    [shown] = events.Scalars("final/test/accuracy")
    assert shown.step == 20 and abs(shown.value - final) < 1e-6
    [start] = hparams(events, "session_start_info")
    assert start.hparams["optimizer.learning_rate"].number_value == 0.01
    assert start.hparams["optimizer.betas"].string_value == "[0.9, 0.99]"
    [end] = hparams(events, "session_end_info")
    assert end.status == 1  # success


def hparams(events, name):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    found = events.PluginTagToContent("hparams")
    whole = [HParamsPluginData.FromString(each) for each in found.values()]
    return [getattr(each, name) for each in whole if each.WhichOneof("data") == name]


def test_each_is_shown_once_with_the_same_bytes_after_a_kill_and_a_resume(showing):
    words = ["sleep=0.02", "steps=60", "wandb=offline"]
    process = showing.start("train", "--paper", "tiny", *words)
    showing.stop(process, 30, signal.SIGKILL)
    [killed] = (showing.outputs / "tiny").glob("2*")
    stale = killed / "media/weights/step-00000058.json"  # as of a step that isn't made again
    stale.write_text("{}")
    mine = killed / "media/notes.txt"
    mine.write_text("mine")
    run = showing.train("--resume").folder
    whole = showing.train("sleep=0.02", "steps=60").folder
    assert run == killed and mine.read_text() == "mine"
    mine.unlink()
    assert files(run) == files(whole)
    lines = [(each.name, each.step) for each in read_media(run)]
    assert lines == [(each.name, each.step) for each in read_media(whole)]
    assert len(lines) == len(set(lines))
    wait_for_follower(run, "wandb")
    [file] = run.glob("wandb/offline-run-*/*.wandb")
    shown = [
        (item.nested_key[0], record.history.step.num, json.loads(item.value_json))
        for record in wandb_records(file)
        if record.WhichOneof("record_type") == "history"
        for item in record.history.item
        if item.nested_key[1:] == ["_type"]
    ]
    kinds = {"answers": "html-file", "test/picture": "image-file", "weights": "histogram"}
    assert sorted(shown) == sorted((name, step, kinds[name]) for name, step in lines)


def test_what_is_shown_travels_with_an_export(experiment, tmp_path, monkeypatch):
    run = new_run(experiment, ["tensorboard=false"])
    with run.attempt():
        run.log_text("words", "text", step=7)
        run.record.metrics = {}
    file = export_run(summarise(run.folder), tmp_path, quiet=True)
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "other"))
    folder = import_run(file, quiet=True).run.folder
    [shown] = read_media(folder)
    assert (shown.name, shown.step, shown.file.read_text()) == ("words", 7, "text")


def test_pictures_of_every_form(experiment):
    run = new_run(experiment, ["tensorboard=false"])
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10
    run.log_image("rows", pixels)
    run.log_image("planes", torch.from_numpy(pixels).permute(2, 0, 1))
    run.log_image("shares", torch.tensor([[0.0, 0.5, 2.0]], requires_grad=True))
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    run.log_figure("curve", figure, step=3)
    shown = {each.name: each.file for each in read_media(run.folder)}
    assert (np.rint(imread(shown["rows"]) * 255) == pixels).all()
    assert shown["planes"].read_bytes() == shown["rows"].read_bytes()
    assert np.rint(imread(shown["shares"]) * 255).tolist() == [[0, 128, 255]]
    assert imread(shown["curve"]).shape == (150, 300, 4)
    run.log_histogram("values", [1, 2.5, float("nan")])
    run.log_histogram("values", torch.ones(3, dtype=torch.bfloat16))  # in its place
    [values] = [each.file for each in read_media(run.folder) if each.name == "values"]
    assert sum(json.loads(values.read_bytes())["counts"]) == 3
    shutil.rmtree(run.folder / "media/rows")
    assert "rows" not in {each.name for each in read_media(run.folder)}
    run.release()


@pytest.mark.parametrize("name", ["", "../x", "a/../b", "/a", "a//b", ".a", "a/.b", "a\\b", "a\nb"])
def test_a_name_that_leads_out_of_the_folder_is_refused(experiment, name):
    run = new_run(experiment, ["tensorboard=false"])
    with pytest.raises(MetricError):
        run.log_text(name, "text")
    assert not (run.folder / "media").exists() and not (run.folder / "media.jsonl").exists()
    run.release()


def test_what_can_not_be_shown_is_refused(experiment):
    run = new_run(experiment, ["tensorboard=false"])
    for array in (np.zeros((2, 2, 5)), np.full((2, 2), 300), np.zeros(3), "text", None):
        with pytest.raises(MetricError):
            run.log_image("picture", array)
    for values in ([], [float("inf")], ["a"], [-1.7e308, 1.7e308]):
        with pytest.raises(MetricError):
            run.log_histogram("values", values)
    with pytest.raises(MetricError):
        run.log_figure("figure", figure=object())  # type: ignore[arg-type]
    run.log_text("Words", "text")
    with pytest.raises(MetricError, match="case"):
        run.log_text("words", "text")
    assert [each.name for each in read_media(run.folder)] == ["Words"]
    run.release()
    # A record that someone else has made: no line of it leads to a file elsewhere.
    line = {"step": 1, "time": 1.0, "name": "x", "file": "media/../run.json"}
    (run.folder / "media.jsonl").write_text(json.dumps(line) + "\n[]\n{}\nnull\n")
    assert read_media(run.folder) == []
    with (run.folder / "metrics.jsonl").open() as parent:
        follow(run.folder, "tensorboard", 1, parent)
