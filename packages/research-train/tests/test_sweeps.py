"""Sweeps: every setting is trained as `train` does, nothing is lost, and what is wrong is said."""

import itertools
import json
import os
import signal
import statistics
import time

import psutil
import pytest
from research_data.errors import ResearchError
from research_train import expected_best, plan_sweep, read_outcome

RATE = "optimizer.learning_rate"
BEST = ("--metric", "test/accuracy", "--max")


def sweep(workspace, *words):
    return workspace.run("research-cli", "sweep", "tiny", *words)


def lines(folder):
    """The lines of metrics.jsonl without what depends on the machine."""
    found = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [
        {k: v for k, v in line.items() if k != "time" and not k.startswith(("speed", "memory"))}
        for line in found
    ]


def test_every_setting_is_trained_with_every_seed_as_train_does(workspace):
    words = (f"{RATE}=1e-3..1e-1:3", "seed=0..1", "steps=6", "--name", "rates", "--jobs", "2")
    done = sweep(workspace, *words, *BEST, "--json")
    assert done.code == 0, done.errors
    made = json.loads(done.output)
    records = workspace.records()
    assert {record["status"] for record in records} == {"completed"}
    assert {record["group"] for record in records} == {"rates"}
    assert all(record["seal"] for record in records)
    assert [
        each["setting"][RATE] for each in sorted(made["settings"], key=lambda s: s["trial"])
    ] == [
        "0.001",
        "0.01",
        "0.1",
    ]
    for each in made["settings"]:
        numbers = [r["metrics"]["test/accuracy"] for r in records if r["id"] in each["runs"]]
        assert each["mean"] == pytest.approx(statistics.fmean(numbers))
        assert each["sd"] == pytest.approx(statistics.stdev(numbers))
    assert made["best"]["mean"] == max(each["mean"] for each in made["settings"])
    assert len(made["figures"]) == 2

    by_hand = workspace.train(f"{RATE}=0.01", "seed=1", "steps=6").folder
    [ours] = [r for r in records if r["config"]["optimizer"]["learning_rate"] == 0.01 and r["seed"]]
    assert ours["fingerprint"] == json.loads((by_hand / "run.json").read_text())["fingerprint"]
    assert lines(workspace.outputs / "tiny" / ours["id"]) == lines(by_hand)

    again = sweep(workspace, *words, *BEST)
    assert again.code == 0 and len(workspace.records()) == 7
    assert "best: optimizer.learning_rate=" in again.output
    few = ("--sampler", "random", "--trials", "4", "--name", "few", "--json")
    drawn = sweep(workspace, "steps=1,2", "--jobs", "1", *BEST, *few)
    assert drawn.code == 0 and len(json.loads(drawn.output)["settings"]) == 4
    assert len(workspace.records()) == 9, "a setting that is drawn again isn't trained again"
    other = sweep(workspace, f"{RATE}=1e-3", "seed=0..1", "--name", "rates", *BEST)
    other.refused(2, "another sweep 'rates'", "--name")


def test_a_sweep_that_is_stopped_or_killed_goes_on(workspace):
    words = (f"{RATE}=0.01,0.1", "seed=0,1", "sleep=0.02", "log_every=1", "--jobs", "2", *BEST)
    words += ("checkpoint_every=2", "--name", "kept", "steps=16")
    first = workspace.start("research-cli", "sweep", "tiny", *words)
    stopped = workspace.stop(first, 5, signal.SIGINT)
    assert stopped.code == 130, stopped.errors
    states = [record["status"] for record in workspace.records()]
    assert states and set(states) <= {"interrupted", "completed"}
    killed = workspace.start("research-cli", "sweep", "tiny", *words)
    workspace.wait_for_step(killed, 8)
    killed.kill()
    killed.wait(30)
    journal = workspace.outputs / "tiny" / "sweeps" / "kept" / "trials.jsonl"
    with journal.open("a") as file:
        file.write('{"op_code": 6, "wor')  # the half line of a process that was killed
    done = sweep(workspace, *words, "--json")
    assert done.code == 0, done.errors
    records = workspace.records()
    assert len(records) == 4 and {r["status"] for r in records} == {"completed"}
    assert any(len(record["attempts"]) > 1 for record in records)
    assert [each["state"] for each in json.loads(done.output)["settings"]] == ["complete"] * 2


def test_bad_settings_are_told_apart_from_bad_luck(workspace):
    words = ("nan_at=0,2", "seed=0..1", "steps=4", "--jobs", "1", "--name", "nan", *BEST)
    done = sweep(workspace, *words, "--json")
    assert done.code == 0, done.errors
    settings = {each["setting"]["nan_at"]: each for each in json.loads(done.output)["settings"]}
    assert settings["0"]["state"] == "complete"
    assert (settings["2"]["state"], settings["2"]["mean"]) == ("diverged", None)
    code = workspace.root / "papers/tiny/paper_tiny/train.py"
    whole = code.read_text()
    code.write_text(whole.replace("    data = load(run)\n", "    raise ValueError('oh no')\n"))
    changed = sweep(workspace, *words)
    changed.refused(1, "changed since", "--name")
    words = ("sleep=0,0.001,0.002,0.003", "steps=4", "--jobs", "1", "--name", "bug", *BEST)
    broken = sweep(workspace, *words)
    broken.refused(1, "3 trials", "oh no")
    single = sweep(workspace, "seed=0..1", "--name", "single", "--jobs", "1", *BEST)
    assert single.code == 1 and "failed: ValueError: oh no" in single.output
    code.write_text(whole)
    mended = sweep(workspace, *words, "--json")
    assert mended.code == 0, mended.errors
    assert [each["state"] for each in json.loads(mended.output)["settings"]] == ["complete"] * 4


def test_a_pruner_stops_what_is_worse_and_random_settings_do_not_depend_on_the_start(workspace):
    words = (f"{RATE}=1e-9..1e-1", "steps=40", "evaluate_every=2", "--sampler", "random")
    words += ("sleep=0.02", "--pruner", "median", "--name", "pruned", "--jobs", "1", *BEST)
    few = sweep(workspace, *words, "--trials", "5", "--json")
    assert few.code == 0, few.errors
    many = sweep(workspace, *words, "--trials", "8", "--json")
    states = [each["state"] for each in json.loads(many.output)["settings"]]
    assert len(states) == 8 and set(states) <= {"complete", "pruned"} and "pruned" in states
    tagged = [r["status"] for r in workspace.records() if r["tags"] == ["pruned"]]
    assert tagged == ["interrupted"] * states.count("pruned")
    before = {each["trial"]: each["setting"] for each in json.loads(few.output)["settings"]}
    after = {each["trial"]: each["setting"] for each in json.loads(many.output)["settings"]}
    assert before.items() <= after.items() and len({str(s) for s in after.values()}) == 8


def test_a_worker_that_is_killed_is_replaced_and_its_run_resumed(workspace):
    words = ("seed=0..1", "sleep=0.03", "log_every=1", "checkpoint_every=2", "steps=20")
    process = workspace.start("research-cli", "sweep", "tiny", *words, *BEST, "--jobs", "1")
    workspace.wait_for_step(process, 6)
    [record] = workspace.records()
    holder = (workspace.outputs / "tiny" / record["id"] / ".lock").read_text()
    os.kill(int(holder.split()[1]), signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "again: seed=0" in errors
    assert [len(record["attempts"]) for record in workspace.records()] == [2, 1]
    process = workspace.start(
        "research-cli", "sweep", "tiny", *words, "label=a", *BEST, "--jobs", "1"
    )
    workspace.wait_for_step(process, 3)
    while len(workspace.records()) < 3:
        time.sleep(0.01)
    workspace.wait_for_step(process, 6)
    holder = (workspace.outputs / "tiny" / workspace.records()[2]["id"] / ".lock").read_text()
    os.kill(psutil.Process(int(holder.split()[1])).ppid(), signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert [r["status"] for r in workspace.records()] == ["completed"] * 4


def test_a_metric_that_no_run_writes_and_an_edit_meanwhile_stop_a_sweep(workspace):
    unknown = sweep(workspace, "steps=2,3", "--metric", "test/acuracy", "--max", "--jobs", "1")
    unknown.refused(2, "Did you mean 'test/accuracy'?", "train/loss")
    words = ("seed=0..1", "sleep=0.03", "log_every=1", "steps=12", "--name", "edited")
    process = workspace.start("research-cli", "sweep", "tiny", *words, *BEST, "--jobs", "1")
    workspace.wait_for_step(process, 5)
    with (workspace.root / "papers/tiny/config.yaml").open("a") as file:
        file.write("weight: 1\n")
    _, errors = process.communicate()
    assert process.returncode == 1, errors
    assert str(workspace.root / "papers/tiny/config.yaml") in errors
    assert [record["status"] for record in workspace.records()] == ["completed"] * 2


def test_a_pinned_paper_is_swept_under_its_release(workspace):
    for name in ("research-data", "research-train", "research-viz"):
        workspace.add_package(name)
    workspace.add_release("research-train", "0.0.9", requires=["research-data", "research-viz"])
    workspace.require("research-train==0.0.9")
    done = sweep(workspace, "seed=0..1", "steps=3", "--name", "old", "--jobs", "1", *BEST, "--json")
    assert done.code == 0, done.errors
    for record in workspace.records():
        assert record["status"] == "completed" and record["group"] == "old"
        assert record["releases"].keys() == {"research-train"}


@pytest.mark.parametrize(
    ("words", "options", "parts"),
    [
        (["optimizer.learning_rat=1,2"], {}, ["Did you mean 'optimizer.learning_rate'?"]),
        ([f"{RATE}=1e-1..1e-3"], {}, ["range is empty"]),
        ([f"{RATE}=0.1,0.1"], {}, ["listed twice"]),
        ([f"{RATE}=0.1,"], {}, ["a value is empty"]),
        ([f"{RATE}=0..1:log"], {}, ["above 0"]),
        ([f"{RATE}=0.1..1:many"], {}, ["many", ":log"]),
        ([f"{RATE}=0.1,x"], {}, ["'x'"]),
        ([f"{RATE}=-1,1"], {}, ["greater than 0"]),
        ([f"{RATE}=0.1..1"], {"sampler": "grid"}, [f"{RATE}=0.1..1.0:4"]),
        (["steps=1..999", "nan_at=0..99"], {"sampler": "grid"}, ["99,900 settings"]),
        (["seed=a,b"], {}, ["seed=0..4"]),
        (["steps=5"], {}, ["nothing varies"]),
        ([RATE], {}, ["key=values"]),
        (["steps=5,6"], {"sampler": "gird"}, ["Did you mean 'grid'?"]),
        (["steps=5,6"], {"pruner": "x"}, ["median"]),
        (["seed=0..4"], {"sampler": "random"}, ["nothing to choose"]),
        (["steps=5,6"], {"sampler": "tpe", "on": "slurm"}, ["tpe", "random"]),
        (["steps=5,6"], {"pruner": "median", "on": "slurm"}, ["median"]),
        (["steps=5,6"], {"name": "a/b"}, ["--name 'a/b'"]),
        (["steps=5,6"], {"metric": None}, ["--metric NAME"]),
        (["steps=5,6"], {"direction": None}, ["--max or --min"]),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    workspace, experiment, words, options, parts
):
    given = {"metric": "test/accuracy", "direction": "max", **options}
    with pytest.raises(ResearchError) as raised:
        plan_sweep(experiment, words=words, **given)
    assert raised.value.exit_code == 2
    for part in parts:
        assert part in str(raised.value)
    assert not workspace.outputs.exists()


def test_ranges_are_read_as_they_are_meant(experiment):
    def dimension(word, key=RATE, **options):
        planned = plan_sweep(experiment, words=[f"{key}={word}"], metric="a", direction="min")
        return planned.space.dimensions[key]

    wide, narrow = dimension("1e-4..1e-1"), dimension("0.1..0.5")
    assert (wide.logarithmic, wide.integer, narrow.logarithmic) == (True, False, False)
    assert not dimension("1..100:linear").logarithmic and not dimension("1..2").integer
    assert dimension("4..8", "batch_size").integer
    assert dimension("1e-4..1e-1:4").words == ("0.0001", "0.001", "0.01", "0.1")
    assert dimension("8..512:4", "batch_size").words == ("8", "176", "344", "512")
    assert dimension("8..512:4:log", "batch_size").words == ("8", "32", "128", "512")
    assert dimension("[0.9,0.99],[0.8,0.99]", "optimizer.betas").words[1] == "[0.8,0.99]"
    listed = plan_sweep(
        experiment,
        {RATE: [0.1, 0.2], "label": ["a", "b,c"], "steps": 5},
        seeds=range(3),
        metric="a",
        direction="min",
    )
    assert [*listed.space.settings()][-1] == {RATE: "0.2", "label": "b,c"}
    assert (listed.fixed, listed.seeds, listed.sampler) == (["steps=5"], [0, 1, 2], "grid")


def test_a_damaged_or_newer_sweep_is_refused(workspace, experiment):
    from research_train.sweeps.sweep_file import write_sweep

    planned = plan_sweep(experiment, words=["steps=2,3"], metric="a", direction="max", name="one")
    planned.folder.mkdir(parents=True)
    write_sweep(planned)
    assert read_outcome("tiny", "one").settings == []
    file, journal = planned.folder / "sweep.json", planned.folder / "trials.jsonl"
    journal.write_text(journal.read_text() + "no entry\n{}\n")
    whole = file.read_text()
    for content, parts in (
        (whole, ["trials.jsonl", "damaged", "--name"]),
        (whole.replace('"schema": 1', '"schema": 2'), ["schema 2", "newer"]),
        (whole[:-20], ["sweep.json", "damaged"]),
        (whole.replace('"max"', '"up"'), ["sweep.json", "direction"]),
    ):
        file.write_text(content)
        with pytest.raises(ResearchError) as raised:
            read_outcome("tiny", "one")
        assert all(part in str(raised.value) for part in parts), str(raised.value)
    with pytest.raises(ResearchError, match="Did you mean 'one'"):
        read_outcome("tiny", "onne")


def test_the_expected_best_is_the_mean_over_all_draws():
    means = [0.5, None, 0.25, 0.75]
    points = expected_best(means, "max")
    assert [point.trials for point in points] == [1, 2, 3, 4]
    for point in points:
        draws = itertools.product(means, repeat=point.trials)
        best = [max(found) for d in draws if (found := [each for each in d if each is not None])]
        assert point.best == pytest.approx(statistics.fmean(best))
        assert point.sd == pytest.approx(statistics.pstdev(best))
    lowest = [point.best for point in expected_best([1.0, 2.0, 4.0], "min")]
    assert lowest == sorted(lowest, reverse=True) and lowest[0] == pytest.approx(7 / 3)
    assert expected_best([None], "max") == []
