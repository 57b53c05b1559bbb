"""`bench`: a paper's own step in several ways, and nothing left behind."""

import json
from dataclasses import replace

import pytest
import torch
from research_data import UsageError
from research_train import (
    ConfigError,
    RunError,
    bench,
    compare_benchmarks,
    read_benchmark,
)

EAGER = ["bare", "trainer", "fused"]  # compiling would take a minute
QUICK = {"threads": [1], "repeats": 2, "steps": 5, "ways": EAGER}


def ways(made):
    return {way.way: way for cost in made.threads for way in cost.ways}


def test_every_way_steps_the_same_training_and_leaves_nothing(workspace, experiment):
    before = torch.get_num_threads()
    made = bench(experiment, **QUICK)
    found = ways(made)
    assert found.keys() == {"bare", "trainer", "fused"}
    assert found["trainer"].same_weights
    assert found["bare"].ratio.smallest == found["bare"].ratio.largest == 1
    # Two layers, 8 examples: products of the forward pass once, of the backward pass twice, without
    # the gradient of the inputs.
    assert made.step_flops == 2 * 8 * (4 * 16 * 2 + 16 * 2 * 3)
    weights = 4 * (4 * 16 + 16 + 16 * 2 + 2)
    assert found["bare"].peak_bytes > 3 * weights  # Adam keeps two more of each
    assert {"data", "forward", "backward", "update"} <= found["trainer"].stages.keys()
    assert not workspace.outputs.exists()
    assert torch.get_num_threads() == before


def test_everything_of_a_training_is_in_its_bare_loop(workspace, experiment):
    full = experiment.member.experiment("full")  # a schedule, clipping, an average, decay groups
    assert ways(bench(full, ["source=memory", "accumulate=1"], **QUICK))["trainer"].same_weights


def test_an_own_step_is_timed_in_the_trainer_alone(experiment):
    made = bench(experiment.member.experiment("phases"), ["own=true"], **QUICK)
    assert "bare" not in ways(made) and "own" in made.skipped["bare"]
    assert ways(made)["trainer"].ratio is None
    assert made.step_flops > 0


def test_an_optimizer_that_is_fused_already_is_not_fused_again(workspace, experiment):
    file = workspace.root / "papers/tiny/paper_tiny/train.py"
    file.write_text(file.read_text().replace("lr=config", "fused=True, lr=config"))
    assert "already" in bench(experiment, **QUICK).skipped["fused"]


def test_a_paper_without_a_trainer_is_refused(experiment):
    with pytest.raises(RunError, match="no Trainer"):
        bench(experiment.member.experiment("second"), **QUICK)


def test_wrong_keys_and_numbers_are_refused(experiment):
    with pytest.raises(ConfigError, match="stepz"):
        bench(experiment, ["stepz=1"])
    for wrong in ({"repeats": 0}, {"steps": 21}, {"threads": [0]}, {"ways": ["fuse"]}):
        with pytest.raises(UsageError):
            bench(experiment, **{**QUICK, **wrong})


def test_results_are_compared_on_the_same_machine_only(experiment, tmp_path):
    made = bench(experiment, **QUICK)
    file = tmp_path / "before.json"
    file.write_text(json.dumps(made.as_json()))
    before = read_benchmark(file)
    assert before == made
    changes = compare_benchmarks(before, made)
    assert [(each.way, each.ratio.median) for each in changes] == [
        ("bare", 1), ("trainer", 1), ("fused", 1),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="CPU"):
        compare_benchmarks(replace(before, cpu="another"), made)
    with pytest.raises(UsageError, match="threads"):
        bench(experiment, repeats=1, threads=[1, 2], ways=EAGER, before=before)
    file.write_text('{"schema": 1}')
    with pytest.raises(UsageError, match="paper"):
        read_benchmark(file)
