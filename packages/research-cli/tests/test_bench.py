"""`research-cli bench`: tables, JSON, a picture, a comparison, and refusals."""

import json
import os
import statistics
from pathlib import Path

import fork_server
import pytest

QUICK = ("bench", "exploratory", "weight-decay", "--threads", "1", "--repeats", "1", "--steps", "5")
QUICK += ("--ways", "bare,trainer", "accumulate=2")  # which a plain loop can't stand for


@pytest.fixture(autouse=True)
def own_assets(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "assets"))


def test_json_is_one_object_that_a_later_bench_compares_with(research_cli, tmp_path):
    done = research_cli(*QUICK, "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["skipped"].keys() == {"bare"}
    [cost] = made["threads"]
    assert [way["way"] for way in cost["ways"]] == ["trainer"]
    assert not (tmp_path / "assets" / "outputs").exists()
    before, picture = tmp_path / "before.json", tmp_path / "stages.png"
    before.write_text(done.stdout)
    again = research_cli(*QUICK, "--compare", str(before), "--picture", str(picture))
    assert again.returncode == 0, again.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert again.stdout.splitlines()[-1] == str(picture)
    for word in ("forward", "bare left out", "new / old"):
        assert word in again.stdout
    before.write_text(json.dumps({**made, "cpu": "another"}))
    other = research_cli(*QUICK, "--compare", str(before))
    assert other.returncode == 2 and "another CPU" in other.stderr


def test_a_run_is_compared_with_by_the_speed_it_logged(research_cli):
    words = ("--paper", "exploratory", "weight-decay", "steps=20", "log_every=5", "--quiet")
    trained = fork_server.run("train", words, Path.cwd(), os.environ)
    assert trained.returncode == 0, trained.stderr
    run = Path(trained.stdout.strip())
    made = research_cli(*QUICK, "--compare", run.name, "--json")
    assert made.returncode == 0, made.stderr
    [change] = json.loads(made.stdout)["changes"]
    assert change["way"] == "trainer" and change["ratio"]["median"] > 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    speeds = [line["speed/steps_per_second"] for line in lines if "speed/steps_per_second" in line]
    assert change["before"] == pytest.approx(statistics.median(1000 / each for each in speeds))
    record = json.loads((run / "run.json").read_text())
    assert json.loads(made.stdout)["torch"] == record["packages"]["torch"]  # without +cu128
    record["environment"]["cpu"] = "another"
    (run / "run.json").write_text(json.dumps(record))
    other = research_cli(*QUICK, "--compare", run.name)
    assert other.returncode == 2 and "another CPU" in other.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["amsgrat"], 2, "Did you mean 'amsgrad'?"),
        (["amsgrad"], 1, "releases"),
        (["mnist1d", "stepz=1"], 2, "Did you mean 'steps'?"),
        (["amsgrad", "--threads", "1,x"], 2, "--threads '1,x'"),
        (["mnist1d", "--ways", "traner"], 2, "Did you mean 'trainer'?"),
        (["mnist1d", "model", "mlp"], 2, "`research-cli bench mnist1d model=mlp`"),
        (["amsgrad", "--picture", "a.jpg"], 2, ".png"),
        (["amsgrad", "--compare", "nowhere.json"], 2, "nowhere.json"),
        (["amsgrad", "one", "two"], 2, "one, two"),
    ],
)
def test_what_is_typed_wrongly_is_refused_in_a_sentence(research_cli, words, code, said):
    done = research_cli("bench", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr and "Traceback" not in done.stderr
