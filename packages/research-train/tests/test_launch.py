"""Words typed, commands run: what is printed, where, and with which exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from research_train import find_any_run, read_record


def test_train_prints_the_run_folder_last_and_versions_first(workspace):
    result = workspace.train()
    assert result.errors.splitlines()[0].startswith("paper-tiny 0.1.0: tiny (")
    assert result.folder.parent == workspace.outputs / "tiny"
    assert len(result.output.splitlines()) == 1


def test_a_command_typed_does_what_the_other_tests_do_in_a_forked_process(workspace):
    typed, forked = workspace.typed("train", "--paper", "tiny"), workspace.train()
    assert len(typed.errors.splitlines()) == len(forked.errors.splitlines())
    for name in ("checkpoints/step-00000020/model.safetensors", "config.yaml"):
        assert (typed.folder / name).read_bytes() == (forked.folder / name).read_bytes()
    assert workspace.typed("evaluate", "--paper", "tiny").code == 0
    workspace.typed("train", "--paper", "tiny", "stepz=2").refused(2, "stepz")


def test_words_that_mean_key_value_are_told_so(workspace):
    for words, meant in (
        (["steps", "10"], "`train steps=10`"),
        (["second", "steps", "10", "seed", "3"], "`train second steps=10 seed=3`"),
        (["learning_rate", "0.1"], "`train optimizer.learning_rate=0.1`"),
        (["--steps", "10"], "steps=VALUE"),
        (["lable", "x"], "`train label=x`"),
        (["bfloat16"], "`train precision=bfloat16`"),
    ):
        workspace.train(*words).refused(2, meant)
    assert "Did you mean" not in workspace.train("one", "two").errors


def test_a_papers_own_file_is_a_command_too(workspace):
    guard = "from research_train import run_file\nif __name__ == '__main__': run_file(__file__)\n"
    place = "papers/tiny/paper_tiny/second"
    for name in ("train.py", "evaluate.py", "other.py"):
        (workspace.root / place / name).write_text(guard)
    shown = workspace.run_program(sys.executable, f"{place}/train.py", "--help")
    assert shown.code == 0 and "tiny.second (" in shown.output
    asked = workspace.run_program(sys.executable, "-m", "paper_tiny.second.evaluate", "steps=1")
    asked.refused(2, "evaluate takes no key=value")
    workspace.run_program(sys.executable, f"{place}/other.py").refused(2, "isn't the train.py")


@pytest.mark.parametrize("text", ["a #b", "@home", "%d", "*x", "null", "1e5", "[a", "", "a: b"])
def test_a_word_for_a_text_is_recorded_as_it_was_typed(workspace, text):
    run = workspace.train(f"label={text}", "steps=1").folder
    assert read_record(run).config["label"] == find_any_run(str(run)).config["label"] == text


def test_json_is_one_object_with_the_metrics(workspace):
    result = workspace.train("--json", "--quiet")
    content = json.loads(result.output)
    assert content["status"] == "completed"
    assert content["metrics"].keys() == {"test/accuracy"}
    assert Path(content["run"]).is_dir()
    assert result.errors == ""


def test_evaluate_prints_a_table_and_writes_json_and_figure(workspace):
    run = workspace.train("label=post").folder
    result = workspace.run("evaluate", "--paper", "tiny")
    assert result.code == 0, result.errors
    assert "right of post" in result.output
    evaluation = json.loads((run / "evaluation.json").read_text())
    recorded = json.loads((run / "run.json").read_text())
    assert evaluation["metrics"] == recorded["metrics"]
    assert sum(map(sum, evaluation["confusion"])) == 50
    figure = run / "figures" / "confusion-matrix.png"
    assert figure.stat().st_size > 1000
    drawn = figure.read_bytes(), figure.stat().st_mtime_ns
    assert workspace.run("evaluate", "--paper", "tiny").code == 0
    assert (figure.read_bytes(), figure.stat().st_mtime_ns) == drawn  # drawn of the same before


def test_evaluate_refuses_a_record_changed_by_hand(workspace):
    run = workspace.train().folder
    record = json.loads((run / "run.json").read_text())
    record["metrics"]["test/accuracy"] = 1.0
    (run / "run.json").write_text(json.dumps(record))
    workspace.run("evaluate", "--paper", "tiny").refused(1, "seal doesn't fit")


def test_a_completed_run_without_a_seal_is_no_evidence(workspace):
    run = workspace.train().folder
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"seal": None}))
    workspace.run("evaluate", "--paper", "tiny").refused(1, "has no seal", "no evidence")
    for words in (["list"], ["show", run.name]):
        shown = workspace.run("research-cli", "run", *words)
        assert "no seal" in shown.output


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("metrics.jsonl", "seal doesn't fit"),
        ("config.yaml", "seal doesn't fit"),
        ("checkpoints/step-00000020/manifest.json", "seal doesn't fit"),
        ("checkpoints/step-00000020/model.safetensors", "model.safetensors is damaged"),
    ],
)
def test_evaluate_refuses_what_was_changed_after_the_end(workspace, file, message):
    run = workspace.train().folder
    content = (run / file).read_bytes()
    at = content.index(b"0.01") if file == "config.yaml" else len(content) - 2
    (run / file).write_bytes(content[:at] + b"7" + content[at + 1 :])
    workspace.run("evaluate", "--paper", "tiny").refused(1, message)
    assert not (run / "evaluation.json").exists()


def test_evaluate_uses_the_data_that_the_run_was_trained_on_and_verifies_it(workspace):
    run = workspace.train().folder
    data = workspace.root / "papers/tiny/paper_tiny/data.py"
    data.write_text(data.read_text().replace('"seed": 0', '"seed": 1'))
    result = workspace.run("evaluate", "--paper", "tiny", "--json")
    recorded = json.loads((run / "run.json").read_text())
    assert json.loads(result.output)["metrics"] == recorded["metrics"]
    [file] = workspace.root.glob(f"assets/datasets/*@{recorded['assets']['tiny-points']}/data.*")
    file.write_bytes(file.read_bytes()[:-1] + b"7")
    workspace.run("evaluate", "--paper", "tiny").refused(1, str(file.parent), "damaged")


def test_evaluate_takes_a_run_by_how_its_name_begins(workspace):
    first, _ = workspace.train("label=one").folder, workspace.train("label=two").folder
    result = workspace.run("evaluate", "--paper", "tiny", "--run", first.name[:19])
    assert "right of one" in result.output


def test_evaluate_says_when_the_code_has_changed_since(workspace):
    assert workspace.train().code == 0
    assert "changed" not in workspace.run("evaluate", "--paper", "tiny").errors
    evaluate = workspace.root / "papers/tiny/paper_tiny/evaluate.py"
    evaluate.write_text(f"{evaluate.read_text()}\n# changed\n")
    result = workspace.run("evaluate", "--paper", "tiny")
    assert result.code == 0
    assert ": papers/tiny/paper_tiny/evaluate.py\n" in result.errors


def test_a_run_says_its_group_tags_and_note_under_a_seal_that_leaves_them_out(workspace):
    words = ("--group", " first ", "--tag", "a", "--tag=b", "--tag", "a", "--note", "why not")
    folder = workspace.train("second", *words).folder
    record = json.loads((folder / "run.json").read_text())
    assert (record["group"], record["tags"], record["note"]) == ("first", ["a", "b"], "why not")
    workspace.train("second").folder  # noqa: B018 - it is made
    listed = workspace.run("research-cli", "run", "list", "--group", "first", "--json")
    [shown] = json.loads(listed.output)["runs"]
    assert (shown["id"], shown["group"], shown["remarks"]) == (folder.name, "first", [])
    assert "fits" in workspace.run("research-cli", "run", "show", folder.name).output
    workspace.train("second", "--tag", " ").refused(2, "tag")
    workspace.train("second", "--resume", folder.name, "--note", "x").refused(2, "drop --note")


def test_another_experiment_is_named_with_or_without_its_paper(workspace):
    for name in ("second", "tiny.second"):
        run = workspace.train(name, "answer=7").folder
        record = json.loads((run / "run.json").read_text())
        assert (record["experiment"], record["metrics"]) == ("tiny.second", {"answer": 7.0})
        assert run.name.endswith("-second-seed0")


def test_options_may_stand_before_and_after_keys(workspace):
    run = workspace.run("train", "steps=2", "--paper", "tiny", "second", "--quiet", "seed=5").folder
    assert json.loads((run / "run.json").read_text())["seed"] == 5


def test_help_shows_every_key_and_imports_no_torch(workspace):
    program = (
        "import sys; from research_train.launch import train_command\n"
        "sys.argv = ['train', '--paper', 'tiny', '--help']\n"
        "try: train_command()\n"
        "finally: print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=workspace.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    *shown, torch_imported = result.stdout.splitlines()
    assert torch_imported == "False"
    lines = {line.split()[0]: line for line in shown if line.startswith("  ")}
    assert "0.01" in lines["optimizer.learning_rate"]
    assert "float > 0" in lines["optimizer.learning_rate"]
    assert "Adam's step size." in lines["optimizer.learning_rate"]
    assert "disabled|offline|online" in lines["wandb"]


def test_help_works_where_no_paper_is_clear(workspace):
    workspace.add_paper("other")
    result = workspace.run("train", "--help")
    assert result.code == 0
    assert "which paper?" in result.output


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["optimizer.learning_rat=1"], ["'optimizer.learning_rat' = 1", "optimizer.learning_rate"]),
        (["steps=many"], ["command line", "'steps' = 'many'", "integer"]),
        (["steps=0"], ["command line", "'steps' = 0", "greater than 0"]),
        (["--steps", "3"], ["--steps", "key=value"]),
        (["secnd"], ["no experiment 'secnd'", "tiny.second"]),
        (["second", "tiny"], ["several experiments"]),
        (["steps", "=", "10"], ["key=value without spaces"]),
        (["--config", "nowhere.yaml"], ["nowhere.yaml", "cannot be read"]),
        (["device=cuda:99"], ["'cuda:99'"]),
        (["device=gpu"], ["'gpu'"]),
        (["seed=-1"], ["'seed' = -1"]),
        (["seed=18446744073709551616"], ["'seed'"]),
        (["--resume", "seed=1"], ["'seed=1'", "keeps its config"]),
    ],
)
def test_wrong_words_are_refused_with_exit_code_2(workspace, words, parts):
    workspace.train(*words).refused(2, *parts)


@pytest.mark.parametrize("word", ["steps=many", "device=cuda:99"])
def test_nothing_is_recorded_when_the_config_is_wrong(workspace, word):
    workspace.train(word).refused(2)
    assert not workspace.outputs.exists()


@pytest.mark.parametrize(
    ("returned", "shown"),
    [
        ("float('nan')", None),
        ("__import__('numpy').float32(0.5)", 0.5),
        ("__import__('torch').tensor(2.0)", 2.0),
    ],
)
def test_metrics_are_recorded_as_plain_numbers(workspace, returned, shown):
    return_instead(workspace, f"{{'answer': {returned}}}")
    result = workspace.train("second", "--json")
    assert json.loads(result.output)["metrics"] == {"answer": shown}
    assert workspace.records()[0]["metrics"] == {"answer": shown}


@pytest.mark.parametrize("returned", ["None", "{'answer': 'high'}", "{'answer': {}}", "3.0"])
def test_a_training_that_returns_no_metrics_is_refused(workspace, returned):
    return_instead(workspace, returned)
    workspace.train("second").refused(1, "paper_tiny.second.train returned")
    assert workspace.records()[0]["status"] == "failed"


def return_instead(workspace, returned):
    train = workspace.root / "papers/tiny/paper_tiny/second/train.py"
    text = train.read_text()
    train.write_text(text.replace('{"answer": float(config.answer)}', returned))


def test_unknown_paper_lists_those_there_are(workspace):
    workspace.train(paper="tinny").refused(2, "'tinny'", "'tiny'?")


@pytest.mark.parametrize(
    ("change", "message"), [("def trains(", "no function train"), (None, "no module")]
)
def test_a_paper_without_train_is_refused_before_a_run_is_born(workspace, change, message):
    path = workspace.root / "papers/tiny/paper_tiny/train.py"
    if change:
        path.write_text(path.read_text().replace("def train(", change))
    else:
        path.unlink()
    workspace.train().refused(1, message)
    assert not workspace.outputs.exists()


def test_evaluate_of_a_run_that_never_ended_says_its_status(workspace):
    workspace.train("nan_at=2").refused(1)
    run = workspace.records()[0]["id"]
    result = workspace.run("evaluate", "--paper", "tiny", "--run", run)
    result.refused(1, f"{run} is failed", f"--resume {run}")


def test_a_closed_pipe_ends_nothing(workspace):
    train = Path(sys.executable).parent / "train"
    for words in ("--help", "steps=20"):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{train} --paper tiny {words} 2>&1 | head -n 1"],
            cwd=workspace.root,
            env=workspace.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert workspace.records()[0]["status"] == "completed"


def test_half_of_what_torchrun_says_is_refused(workspace):
    workspace.environment["WORLD_SIZE"] = "2"
    workspace.train().refused(2, "WORLD_SIZE is 2", "--nproc")
    assert workspace.records() == []


def test_a_run_that_raises_is_recorded_with_its_traceback(workspace):
    train = workspace.root / "papers/tiny/paper_tiny/train.py"
    train.write_text(train.read_text().replace("data = load(run)", "raise RuntimeError('mine')"))
    result = workspace.train()
    assert result.code == 1
    assert "RuntimeError: mine" in result.errors
    [record] = workspace.records()
    assert record["status"] == "failed"
    assert record["error"]["message"] == "mine"
    assert "paper_tiny/train.py" in record["error"]["traceback"]


def test_nan_loss_stops_the_run_and_says_the_step(workspace):
    workspace.train("nan_at=11").refused(1, "nan at step 11")
    [record] = workspace.records()
    assert (record["status"], record["error"]["type"]) == ("failed", "NotFiniteError")
    saved = [path.name for path in workspace.outputs.glob("tiny/*/checkpoints/*")]
    assert saved == ["step-00000008"]  # none with weights that the NaN has reached
