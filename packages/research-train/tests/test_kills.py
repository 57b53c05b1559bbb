"""A run killed at any place, any number of times, ends with the bytes of one never stopped.

KILLS=20 tries that many histories of kills instead of a few.
"""

import os
import random

import pytest
from workspaces import comparable

WAYS = {
    "memory": ["source=memory"],
    "workers": ["source=workers"],
    "fused": ["fused=true"],
    "compiled": ["compile=step", "accumulate=1"],
}
PLACES = {  # place -> how often a process that begins anew may come by it
    "step": 72,  # two parts a batch
    "evaluation": 5,
    "checkpoint begins": 9,
    "before model.safetensors": 9,
    "before optimizer.safetensors": 9,
    "before ema.safetensors": 9,
    "before manifest.json": 9,
    "checkpoint published": 9,
}
FILES = ("model.safetensors", "optimizer.safetensors", "ema.safetensors", "state.json")
HISTORIES = int(os.environ.get("KILLS", "1"))
KILLS = 4  # in one history


def last_checkpoint(folder):
    return sorted((folder / "checkpoints").glob("step-*"))[-1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("history", range(HISTORIES))
def test_killed_anywhere_it_ends_as_one_never_stopped(workspace, way, history):
    words = ["full", *WAYS[way], f"seed={history}"]
    if way == "compiled":  # by kernels compiled elsewhere
        workspace.environment["TORCHINDUCTOR_CACHE_DIR"] = str(workspace.root / "other")
    whole = workspace.train(*words).folder
    workspace.environment.pop("TORCHINDUCTOR_CACHE_DIR", None)
    draw = random.Random(f"{way} {history}")
    record = workspace.root / "killed"
    workspace.environment["KILLED"] = str(record)
    run = None
    for _ in range(KILLS if way != "compiled" else 2):  # each start compiles
        place = draw.choice(list(PLACES))
        most = PLACES[place] // 2 if (way, place) == ("compiled", "step") else PLACES[place]
        workspace.environment["KILL"] = f"{place}:{draw.randint(1, most)}"
        command = [*words] if run is None else ["full", "--resume", run]
        result = workspace.train(*command)
        run = next(r["id"] for r in workspace.records() if r["id"] != whole.name)
        if result.code == 0:
            break
        assert result.code == -9, result.errors
        assert record.read_text().splitlines()[-1] == place  # it was there that it died
    del workspace.environment["KILL"]
    if result.code != 0:
        result = workspace.train("full", "--resume", run)
    assert result.code == 0, result.errors
    resumed = result.folder
    assert resumed.name == run
    for name in FILES:
        ours, theirs = last_checkpoint(resumed) / name, last_checkpoint(whole) / name
        assert ours.read_bytes() == theirs.read_bytes(), name
    assert comparable(resumed) == comparable(whole)
    if way == "compiled":
        assert list((workspace.root / "other").glob("**/*.so"))
        assert list((workspace.root / "assets" / "compiled").glob("**/*.so"))
    kept = {path.name for path in (whole / "checkpoints").glob("step-*")}
    assert {path.name for path in (resumed / "checkpoints").glob("step-*")} == kept
    print(f"{way} {history}: killed at {', '.join(record.read_text().splitlines())}")
