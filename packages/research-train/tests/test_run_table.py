"""The table of runs over folders as they may lie on a disk: sound, copied, damaged, of tomorrow."""

import json
import os
import re
import shutil
import time
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from research_data import UsageError
from research_data.durable import write_json
from research_data.lock import locked
from research_train import (
    ConfigError,
    RunError,
    RunRecord,
    TrainConfig,
    compare_runs,
    find_any_run,
    follow_run,
    read_record,
    read_run,
    remove_runs,
    run_table,
    runs,
    tag_run,
    varying_keys,
)
from research_train.experiment.yaml_file import dump_yaml, read_yaml
from research_train.history.changes import plan_removal
from research_train.history.known_runs import KNOWN, MANY, KnownRecord, KnownRun
from research_train.history.recorded_run import RecordedRun
from research_train.history.table import Asked, known_table
from research_train.record.environment import Environment, GitState
from research_train.record.finding import newest_run
from research_train.record.record import Attempt, record_as_json, utc_now
from research_train.record.resolved_config import write_config
from workspaces import Workspace

HERE = Environment(python="3.11.7", platform="Linux", cpu="fast", gpu=None, cuda=None)


class Outputs:
    """Makes run folders of the papers `one` and `two`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def add(
        self,
        id_: str,
        paper: str = "one",
        config: dict[str, Any] | None = None,
        lines: int = 0,
        **fields: Any,
    ) -> Path:
        folder = self.folder / paper / id_
        folder.mkdir(parents=True)
        started = f"2026-11-24T08:00:{len(list(self.folder.glob('*/*'))):02}.000Z"
        record = {
            "id": id_,
            "paper": paper,
            "experiment": paper,
            "status": "completed",
            "started": started,
            "command": ["train"],
            "seed": 0,
            "git": GitState(commit=None, dirty=None),
            "source": "a" * 64,
            "fingerprint": "f" * 64,
            "lock_sha256": None,
            "packages": {"torch": "2.10.0"},
            "assets": {},
            "environment": HERE,
            "attempts": [
                Attempt(time=started, end=utc_now(), command=[], host="h", environment=HERE)
            ],
        }
        content = record_as_json(RunRecord.model_validate(record | fields))
        (folder / "run.json").write_text(json.dumps(content))
        (folder / "config.yaml").write_text(dump_yaml(config or {}))
        (folder / ".lock").touch()
        (folder / "metrics.jsonl").write_text(
            "".join(
                f'{{"step": {n}, "time": 1.5, "train/loss": {1 / n}}}\n' for n in range(1, lines)
            )
        )
        return folder

    def add_source(self, letter: str) -> Path:
        """An archive that was last used an hour ago."""
        path = self.folder / ".sources" / f"{letter * 64}.tar.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"code")
        os.utime(path, (time.time() - 3600,) * 2)
        return path


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outputs:
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path))
    return Outputs(tmp_path / "outputs")


def ids(*words: str, **options: Any) -> list[str]:
    return [run.id for run in runs(*words, **options)]


def test_runs_of_machines_whose_clocks_are_minutes_ahead_and_behind(outputs: Outputs) -> None:
    def at(minutes: float) -> str:
        return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat(timespec="milliseconds")

    def run(id_: str, *attempts: tuple[str, str | None], **fields: Any) -> Path:
        tried = [
            Attempt(time=time, end=end, command=[], host="h", environment=HERE)
            for time, end in attempts
        ]
        started, ended = attempts[0][0], attempts[-1][1]
        return outputs.add(id_, started=started, ended=ended, attempts=tried, **fields)

    run("done", (at(-7), at(-6)))
    run("resumed", (at(6), at(7)), (at(-7), at(-5)))  # ended before it started
    begun = run("begun", (at(7), None), status="running")
    with locked(begun / ".lock"):
        table = runs()
        assert [each.id for each in table] == ["begun", "resumed", "done"]
        assert [each.status for each in table] == ["running", "completed", "completed"]
        assert table[0].seconds == 0
        assert [each.seconds for each in table[1:]] == [pytest.approx(s, abs=1) for s in (180, 60)]
        assert newest_run().id == "begun"
        assert read_run("begun").row()["seconds"] == 0


def test_runs_are_listed_newest_first_and_chosen_by_what_their_records_say(
    outputs: Outputs,
) -> None:
    outputs.add("a", tags=["good"])
    outputs.add("b", paper="two", experiment="two.second", status="failed")
    outputs.add("c", experiment="one.second")
    assert ids() == ["c", "b", "a"]
    assert ids("one") == ["c", "a"]
    assert ids(tag="good") == ["a"]
    assert ids(status="failed") == ["b"]
    assert ids("one", experiment="second") == ids(experiment="one.second") == ["c"]
    assert ids(experiment="second", limit=1) == ["c"]
    with pytest.raises(UsageError, match="running, completed, failed, interrupted, unreadable"):
        runs(status="done")
    with pytest.raises(UsageError, match="'three'"):
        runs("three")


def test_the_newest_runs_are_those_of_the_whole_table(outputs: Outputs) -> None:
    for number in (0, 1, 2, 3, 4):
        id_ = f"20261124-08000{number}.000-seed0"
        moment = f"2026-11-24T08:00:0{number}.500Z"
        outputs.add(id_, paper=("one", "two")[number % 2], started=moment)
    # Two whose starts are in another order than their names, since the clock was set meanwhile.
    outputs.add("20261124-080100.000-seed0", started="2026-11-24T08:04:00.000Z")
    outputs.add("20261124-080200.000-seed0", started="2026-11-24T08:03:00.000Z")
    outputs.add("renamed", started="2026-11-24T08:00:02.700Z")
    outputs.add("old", started="2020-01-01T00:00:00.000Z")
    whole = ids()
    assert whole[:2] == ["20261124-080100.000-seed0", "20261124-080200.000-seed0"]
    assert whole[4:6] == ["renamed", "20261124-080002.000-seed0"]
    for limit in range(1, len(whole) + 2):
        table = run_table(limit=limit)
        assert [run.id for run in table.runs] == whole[:limit]
        assert table.matching == len(whole)


def test_of_many_runs_only_the_newest_are_read(outputs: Outputs) -> None:
    old = [
        outputs.add(f"2025010{n}-080000.000-seed0", started=f"2025-01-0{n}T08:00:00Z")
        for n in (1, 2)
    ]
    outputs.add("20261124-080000.000-seed0", started="2026-11-24T08:00:00.000Z")
    for folder in old:  # read, it would come first, as of now
        (folder / "run.json").write_text("{")
    assert run_table(limit=1).runs[0].id == "20261124-080000.000-seed0"
    assert runs()[0].status == "unreadable"


def test_what_is_no_run_is_not_counted(outputs: Outputs) -> None:
    for number in (1, 2, 3):
        outputs.add(f"2026112{number}-080000.000-seed0", started=f"2026-11-2{number}T08:00:00Z")
    (outputs.folder / "one" / "20261124-080000.000-seed0").mkdir()  # a run about to be recorded
    (outputs.folder / "one" / "notes.txt").touch()
    (outputs.folder / "notes.txt").touch()
    shutil.copytree(outputs.add("moved"), outputs.folder / "one" / ".moved.removed")
    shutil.move(outputs.folder / "one" / "moved", outputs.folder / ".moved")
    expected = [f"2026112{number}-080000.000-seed0" for number in (3, 2, 1)]
    assert ids() == expected
    for limit in (1, 2, 9):
        table = run_table(limit=limit)
        assert ([run.id for run in table.runs], table.matching) == (expected[:limit], 3)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["optimizer.lr>1e-3"], "b"),
        (["lr <= 0.001"], "a"),
        (["model=cnn"], "ac"),
        (["model!=cnn"], "b"),
        (["flag=true"], "a"),
        (["flag=1"], ""),  # true is no number
        (["width=8"], "ac"),
        (["width=8.0"], "ac"),
        (["betas=[0.9, 0.99]"], "a"),
        (["label=010"], "a"),  # text that looks like a number
        (["test/accuracy>0.9"], "b"),  # the NaN of c is no number
        (["accuracy>0.1", "lr<1"], "ab"),
    ],
)
def test_conditions_compare_as_the_type_of_the_value_wants(
    outputs: Outputs, conditions: list[str], expected: str
) -> None:
    flag = {"flag": True, "label": "010", "betas": [0.9, 0.99]}
    outputs.add(
        "a",
        config={"model": "cnn", "width": 8, "optimizer": {"lr": 1e-3}} | flag,
        metrics={"test/accuracy": 0.5},
    )
    outputs.add(
        "b",
        config={"model": "mlp", "optimizer": {"lr": 0.1}},
        metrics={"test/accuracy": 0.95},
    )
    outputs.add("c", config={"model": "cnn", "width": 8}, metrics={"test/accuracy": None})
    assert "".join(sorted(ids(where=conditions))) == expected


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("lerning_rate>1", "'lerning_rate'.*'learning_rate'"),
        ("loss>1", "'loss'.*test/loss, train/loss"),
        ("learning_rate", "'learning_rate'"),
        ("model>cnn", "numbers.*'cnn'"),
    ],
)
def test_a_condition_that_means_nothing_is_refused(
    outputs: Outputs, condition: str, message: str
) -> None:
    outputs.add("a", config={"learning_rate": 1}, metrics={"train/loss": 1, "test/loss": 1})
    with pytest.raises(UsageError, match=message):
        runs(where=[condition])


def test_sort_puts_the_best_first_and_runs_without_it_last(outputs: Outputs) -> None:
    for name, loss, accuracy in (("a", 2.0, 0.9), ("b", 1.0, 0.8), ("c", 3.0, 0.95)):
        outputs.add(name, config={"lr": loss}, metrics={"loss": loss, "accuracy": accuracy})
    outputs.add("d")
    assert ids(sort="loss") == ids(sort="lr") == ["b", "a", "c", "d"]
    assert ids(sort="accuracy", limit=2) == ["c", "a"]
    assert ids(sort="loss", reverse=True) == ["c", "a", "b", "d"]


def test_the_better_end_is_told_by_a_word_the_claims_or_the_name(
    outputs: Outputs, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.import_here(monkeypatch)
    monkeypatch.setenv("RESEARCH_ASSETS", str(outputs.folder.parent))
    claim = {"name": "a", "what": "a", "kind": "value", "published": 1, "tolerance": 0.1}
    claim |= {"reason": "known", "metric": "test/quality", "direction": "lower"}
    claims = dump_yaml({"source": "Table 1", "claims": [claim]})
    (workspace.root / "papers" / "tiny" / "claims.yaml").write_text(claims)
    numbers = dict.fromkeys(("test/mse", "test/wer", "risk", "test/f1", "test/quality", "odd"), 1.0)
    outputs.add("a", paper="tiny", metrics=numbers)
    outputs.add("b", paper="tiny", metrics=dict.fromkeys(numbers, 2.0))
    for key, expected in (
        *(("test/mse", "ab"), ("wer", "ab"), ("risk", "ab"), ("f1", "ba")),
        *(("quality", "ab"), ("odd", "ba")),
    ):
        assert "".join(ids(sort=key)) == expected, key
    assert ids(sort="f1", best="min") == ids(sort="odd", best="min") == ["a", "b"]
    assert ids(sort="quality", best="max") == ids(sort="wer", reverse=True) == ["b", "a"]
    orders = {key: run_table(sort=key).order for key in ("test/quality", "test/wer", "odd")}
    assert ["claims.yaml of tiny" in str(order) for order in orders.values()] == [
        True,
        False,
        False,
    ]
    assert "--min or --max" in str(orders["odd"]) and "name" in str(orders["test/wer"])
    assert run_table(limit=1).matching == 2


def test_what_varies_is_told_of_runs_of_one_experiment(outputs: Outputs) -> None:
    outputs.add("a", config={"lr": 0.1, "n": 1, "seed": 0, "steps": 10, "tensorboard": True})
    outputs.add("b", config={"lr": 0.2, "n": 1, "seed": 1, "steps": 20, "tensorboard": False})
    outputs.add("c", config={"lr": 0.1, "n": 1, "new": 7})
    outputs.add("d", paper="two", config={"n": 5, "other": True})
    assert varying_keys(runs()) == ["lr", "steps"]
    assert varying_keys(runs("two")) == varying_keys([]) == []


def test_what_cant_be_read_and_what_was_copied_is_listed_and_marked(outputs: Outputs) -> None:
    sound = outputs.add("sound")
    shutil.copytree(sound, outputs.folder / "two" / "copy")
    (outputs.folder / "two" / "copy" / ".lock").unlink()
    outputs.add("died", status="running")
    newer = outputs.add("newer") / "run.json"
    newer.write_text(newer.read_text().replace('"schema": 1', '"schema": 9'))
    (outputs.add("cut") / "run.json").write_text('{"schema": 1, "id"')
    (outputs.add("odd") / "run.json").write_text("[]")
    (outputs.add("bytes") / "run.json").write_bytes(b"\xff\xfe")
    found = {run.id: run for run in runs()}
    assert len(found) == 7
    assert found["died"].status == "interrupted"
    assert re.search(r"schema 9.* 1\b", found["newer"].problem or "")
    for name in ("newer", "cut", "odd", "bytes"):
        assert found[name].status == "unreadable" and found[name].problem
    for remark, word in zip(found["copy"].remarks, ("sound", "two", "lock"), strict=True):
        assert word in remark
    assert "copy" in ids("one") and "copy" in ids("two")
    assert set(ids(status="unreadable")) == {"newer", "cut", "odd", "bytes"}


def test_the_table_says_of_each_run_what_is_said_of_it_alone(outputs: Outputs) -> None:
    """Sound records are read in one go there, and what is wrong with any other is told alike."""
    sound = (outputs.add("sound", metrics={"loss": 0.1}, tags=["a"]) / "run.json").read_text()
    changed = {
        "newer-field": sound.replace("{", '{"of_tomorrow": {"a": [1, 2.5, null]},', 1),
        "not-finite": re.sub(r'"loss": [0-9.]+', '"loss": NaN', sound),
        "marked": "\ufeff" + sound,
        "newer": re.sub(r'"schema": \d+', '"schema": 99', sound),
        "deep": sound.replace("{", '{"x": ' + "[" * 150 + "]" * 150 + ",", 1),
        "cut": sound[:-9],
        "wrong": re.sub(r'"seed": \d+', '"seed": "one"', sound),
        "list": "[]",
    }
    for name, text in changed.items():
        (outputs.add(name) / "run.json").write_text(text)
    table = {run.id: run for run in runs()}
    assert table.keys() == {"sound", *changed}
    for name, run in table.items():
        alone = find_any_run(str(run.folder))
        assert (run.status, run.problem, run.remarks) == (
            alone.status,
            alone.problem,
            alone.remarks,
        ), name
        assert repr(run.record) == repr(alone.record), name  # in which a NaN equals itself
        assert run.config == alone.config, name
    unreadable = {name for name, run in table.items() if run.status == "unreadable"}
    assert unreadable == {"newer", "deep", "cut", "wrong", "list"}


def test_a_run_is_found_by_id_beginning_name_or_folder(outputs: Outputs) -> None:
    folder = outputs.add("20261124-1-first-try-seed0", name="first try")
    outputs.add("20261124-2-seed0", name="first")
    outputs.add("20261124-2-seed0", paper="two")
    for text in ("20261124-1-first-try-seed0", "20261124-1", "first try", str(folder)):
        assert find_any_run(text).folder == folder
    assert find_any_run("first").id == "20261124-2-seed0"
    assert find_any_run("two/20261124-2").paper == "two"
    with pytest.raises(RunError, match=r"2 runs: one/20261124-2.*, two/20261124-2"):
        find_any_run("20261124-2-seed0")
    with pytest.raises(RunError, match=r"'x' .*20261124-2-seed0"):
        find_any_run("x")


def test_only_differences_are_compared(outputs: Outputs) -> None:
    outputs.add("a", config={"lr": 0.1, "n": 1}, metrics={"loss": 1.0})
    outputs.add("b", config={"lr": 0.2, "n": 1}, packages={"torch": "2.9.0"}, fingerprint="e" * 64)
    outputs.add("c", paper="two")
    one, other, foreign = map(find_any_run, "abc")
    comparison = compare_runs([one, other])
    assert {k: v for k, v in comparison.differences.items() if v} == {
        "config": {"lr": [0.1, 0.2]},
        "packages": {"torch": ["2.10.0", "2.9.0"]},
    }
    assert comparison.metrics == {"loss": [1.0, None]}
    assert not comparison.same_experiment
    with pytest.raises(UsageError, match=r"\bc\b.* two\b"):
        compare_runs([one, foreign])
    assert compare_runs([one, foreign], any_paper=True).differences["config"]["n"] == [1, None]
    with pytest.raises(UsageError, match="two or more"):
        compare_runs([one, one])


def test_an_archive_goes_with_its_last_run(outputs: Outputs) -> None:
    shared, own = outputs.add_source("a"), outputs.add_source("b")
    first, second, third = outputs.add("a"), outputs.add("b"), outputs.add("c", source="b" * 64)
    unpacked = outputs.folder / ".reruns" / ("b" * 64)
    unpacked.mkdir(parents=True)
    assert remove_runs([find_any_run("a"), find_any_run("c")]).archives == {own: 4}
    assert not first.exists() and not third.exists() and not own.exists() and shared.exists()
    assert not unpacked.exists()
    damaged = outputs.add("d")
    (damaged / "run.json").write_text('{"sou')
    plan = plan_removal([find_any_run("b")])
    assert plan.archives == {} and "damaged" in (plan.kept or "")
    remove_runs([find_any_run("d"), find_any_run("b")])
    assert not second.exists() and not damaged.exists() and not shared.exists()
    assert not list(outputs.folder.glob("*/.*.removed"))


def test_an_archive_used_just_now_stays_for_the_run_that_begins(outputs: Outputs) -> None:
    used, old = outputs.add_source("a"), outputs.add_source("b")
    outputs.add("a")
    outputs.add("b", source="b" * 64)
    used.touch()
    chosen = [find_any_run("a"), find_any_run("b")]
    plan = plan_removal(chosen)
    assert plan.archives == {old: 4} and str(used) in (plan.kept or "")
    assert remove_runs(chosen) == plan
    assert used.exists() and not old.exists() and not ids()


def test_a_tag_keeps_what_a_newer_version_wrote(outputs: Outputs) -> None:
    path = outputs.add("a") / "run.json"
    content = json.loads(path.read_text()) | {"later": {"x": 1}}
    content["attempts"][0]["also"] = 2
    path.write_text(json.dumps(content))
    assert tag_run(find_any_run("a"), ["x", "y", "x"]) == ["x", "y"]
    assert tag_run(find_any_run("a"), ["x"], remove=True) == ["y"]
    assert json.loads(path.read_text()) == content | {"tags": ["y"]}
    with pytest.raises(UsageError, match=r"no tag 'x'.*\by\b"):
        tag_run(find_any_run("a"), ["x"], remove=True)


def test_following_an_ended_run_gives_its_whole_lines(outputs: Outputs) -> None:
    folder = outputs.add("a", lines=4)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "tra')  # as a kill leaves it
    assert [point["step"] for point in follow_run(folder)] == [1, 2, 3]


def asked_of(run: RecordedRun | KnownRun) -> list[Any]:
    own = {field.name for field in fields(KnownRun)} - {"path", "run", "record", "remarks"}
    of_record = [getattr(run.record, field.name) for field in fields(KnownRecord)]
    values = [getattr(run, name) for name in sorted(own)]
    return [run.folder, run.id, *values, *run.remarks, *of_record]


def test_what_is_remembered_of_many_runs_holds_until_a_file_of_theirs_changes(
    outputs: Outputs,
) -> None:
    first = outputs.add("r000", config={"lr": 0.1}, metrics={"loss": 0.5})
    died = outputs.add("died", config={"lr": 0.1}, status="running")
    record = (first / "run.json").read_text()
    for number in range(1, MANY + 1):
        folder = shutil.copytree(first, first.with_name(f"r{number:03}"))
        text = record.replace('"r000"', f'"{folder.name}"')
        (folder / "run.json").write_text(text.replace("0.5}", f"{number}.5}}"))
    known, deadline = outputs.folder / KNOWN, time.monotonic() + 60
    while not known.exists():  # nothing that was written just now is remembered
        assert len(runs(where=["lr=0.1"])) == MANY + 2
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "r007" in known.read_text() and "died" not in known.read_text()
    largest = {"sort": "loss", "best": "max", "limit": 1}
    assert ids(**largest) == [f"r{MANY}"]
    known.write_text(known.read_text().replace(": 7.5}", ": 777.5}"))
    assert ids(**largest) == ["r007"]  # so it is read

    seven, five = (first.with_name(name) for name in ("r007", "r005"))
    (seven / "run.json").write_text((seven / "run.json").read_text())
    assert ids(**largest) == [f"r{MANY}"]
    (five / "config.yaml").write_text(dump_yaml({"lr": 0.2}))  # as long as before
    assert ids(where=["lr=0.2"]) == ["r005"]
    tag_run(find_any_run("r003"), ["good"])
    assert ids(tag="good") == ["r003"]
    (died / "run.json").write_text((died / "run.json").read_text().replace("running", "failed"))
    assert ids(status="failed") == ["died"]
    shutil.rmtree(seven)
    assert len(runs(where=["lr=0.1"])) == MANY
    (first / ".lock").unlink()
    table = known_table(Asked()).runs
    assert sum(run.run is None for run in table) >= MANY - 4  # those that nobody touched
    assert [asked_of(run) for run in table] == [asked_of(run) for run in runs()]

    for content in ("[]", known.read_text()[:-9], '{"layout": [], "runs": {}}'):
        known.write_text(content)
        assert run_table(where=["lr=0.1"], limit=1).matching == MANY
    known.unlink()
    known.mkdir()  # it can't be written
    assert run_table(where=["lr=0.1"], limit=1).matching == MANY


PLAIN = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=90), st.just("off")
)
KEYS = st.from_regex(r"[a-z_][a-z_0-9]{0,6}", fullmatch=True)
VALUES = st.recursive(
    PLAIN, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=6
)


class AnyConfig(TrainConfig):
    """A config that may hold whatever YAML can."""

    section: dict[str, Any]


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=5))
def test_a_config_is_the_same_from_its_copy_in_the_record_and_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, section: dict[str, Any]
) -> None:
    folder = Outputs(tmp_path_factory.mktemp("outputs", numbered=True)).add("a")
    record = read_record(folder)
    write_config(folder, record, AnyConfig(section=section))
    write_json(folder / "run.json", record_as_json(record))
    try:
        read_yaml(folder / "config.yaml")
    except ConfigError:
        return
    with_copy = find_any_run(str(folder)).config
    record.config = None
    write_json(folder / "run.json", record_as_json(record))
    # repr: NaN differs from itself, and 1 from 1.0 and True here
    assert repr(find_any_run(str(folder)).config) == repr(with_copy)
    assert with_copy["steps"] == 1000


def test_the_file_is_believed_where_the_copy_in_the_record_is_not_of_it(outputs: Outputs) -> None:
    folder = outputs.add("a")
    record = read_record(folder)
    write_config(folder, record, AnyConfig(section={"lr": 0.1}))
    write_json(folder / "run.json", record_as_json(record))
    assert find_any_run("a").config["section.lr"] == 0.1
    assert record.config is not None
    record.config["section"] = {"lr": 0.9}
    write_json(folder / "run.json", record_as_json(record))
    assert find_any_run("a").config["section.lr"] == 0.1
    file = folder / "config.yaml"
    file.write_text(file.read_text().replace("lr: 0.1", "lr: 0.5"))
    assert find_any_run("a").config["section.lr"] == 0.5


def test_a_notebook_gets_rows_curves_and_tables_of_runs(outputs: Outputs) -> None:
    config = {"lr": 0.1, "name": "<b>", "optimizer": {"decay": 0.0}}
    folder = outputs.add("a", config=config, lines=3, metrics={"test/accuracy": 0.5, "lr": 2.0})
    outputs.add("b", config={"lr": 0.2}, metrics={"test/accuracy": None})
    (outputs.add("odd") / "run.json").write_text("[]")
    rows = {
        str(row["id"]): row for row in pandas.DataFrame(r.row() for r in runs()).to_dict("records")
    }
    assert (rows["a"]["lr"], rows["a"]["metrics.lr"], rows["a"]["config.name"]) == (0.1, 2.0, "<b>")
    assert (rows["a"]["optimizer.decay"], rows["b"]["lr"], rows["odd"]["status"]) == (
        0.0,
        0.2,
        "unreadable",
    )
    run = read_run(folder)
    assert read_run("a") == run and run in runs() and run.record == read_record(folder)
    assert run.curve("train/loss") == ([1, 2], [1.0, 0.5]) and len(run.points()) == 2
    with pytest.raises(UsageError, match="train/loss"):
        run.curve("train/lose")
    with pytest.raises(RunError, match=r"run\.json"):
        read_run("odd")
    html = [run._repr_html_(), compare_runs([run, read_run("b")])._repr_html_()]
    html += [run_table(limit=2)._repr_html_(), *(each._repr_html_() for each in runs())]
    for text in html:
        ElementTree.fromstring(f"<div>{text.replace('<br>', '<br/>')}</div>")
        assert "<b>" not in text.replace("<b>a</b>", "").replace("<b>b</b>", "").replace(
            "<b>odd</b>", ""
        )
    assert "&lt;b&gt;" in html[0] and "0.1</td><td>0.2" in html[1] and "and 1 more" in html[2]
