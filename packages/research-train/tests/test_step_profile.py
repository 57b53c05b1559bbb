"""`train --profile N`: a trace of N steps in the run's folder, and the same numbers."""

import json


def traced_steps(run):
    trace = json.loads((run / "profile.json").read_text())["traceEvents"]
    named = {each["name"] for each in trace if each["name"].startswith("ProfilerStep")}
    return len(named)


def test_a_profile_has_the_steps_asked_for_and_changes_no_number(workspace):
    profiled, plain = workspace.train("--profile", "4"), workspace.train()
    assert traced_steps(profiled.folder) == 4
    assert str(profiled.folder / "profile.json") in profiled.errors
    assert "addmm" in profiled.errors
    weights = "checkpoints/step-00000020/model.safetensors"
    assert (profiled.folder / weights).read_bytes() == (plain.folder / weights).read_bytes()
    assert not (plain.folder / "profile.json").exists()


def test_of_a_run_with_fewer_steps_all_are_profiled(workspace):
    result = workspace.train("--profile", "50", "steps=3")
    assert traced_steps(result.folder) == 3
    assert "3 steps" in result.errors and "50" in result.errors


def test_a_training_without_a_trainer_has_nothing_to_profile(workspace):
    result = workspace.train("second", "--profile", "2")
    assert "nothing was profiled" in result.errors
    assert not (result.folder / "profile.json").exists()


def test_a_profile_of_no_steps_is_refused_before_a_run_is_made(workspace):
    workspace.train("--profile", "0").refused(2, "--profile 0")
    assert not workspace.outputs.exists()
