"""Files on their way from a hub: gone on with where they broke off, hashed; pauses in bounds."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from hub_server import TOKEN
from research_data import HubError, pull_dataset, verify_asset
from research_data.assets.manifest import OWN_FILES

CONTENT = bytes(range(256)) * 800  # 204,800 bytes
PULL = "from research_data import pull_dataset; pull_dataset('org/large', quiet=True)"


@pytest.fixture(params=["large.parquet", "small.csv"])
def large(hub, request):
    """A dataset of one file: a large one lies elsewhere, a small one on the hub itself."""
    hub.add("datasets", "org/large", {request.param: CONTENT})
    hub.file = request.param
    hub.place = "_cdn/" if request.param.endswith("parquet") else "resolve/"
    return hub


def killed_midway(hub, atleast=40_000):
    """Kill a pull in the middle of its file; returns how many bytes are there then."""
    hub.server.fault(f"{hub.place}.*", "slow", bytes_per_second=100_000)
    process = subprocess.Popen([sys.executable, "-c", PULL], env=os.environ.copy())
    arriving = []
    while not arriving or arriving[0].stat().st_size < atleast:
        assert process.poll() is None
        arriving = list((hub.assets / "datasets").glob(".*.partial/.cache/*.incomplete"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    hub.server.clear_faults()
    hub.server.clear()
    size = arriving[0].stat().st_size
    assert atleast <= size < len(CONTENT)
    return size


def asked_ranges(hub):
    """Status and Range of each request for the file's bytes."""
    return [
        (status, part)
        for method, path, status, _, part in hub.server.requests()
        if method == "GET" and hub.place in path and status != 302
    ]


def is_whole(hub, asset):
    assert (asset.folder / hub.file).read_bytes() == CONTENT
    verify_asset(asset.folder)
    assert {path.name for path in asset.folder.iterdir()} <= {hub.file, *OWN_FILES}
    return not list((hub.assets / "datasets").glob(".*.partial"))


def test_a_pull_killed_inside_a_file_goes_on_where_it_was(large):
    there = killed_midway(large)
    asset = pull_dataset("org/large", quiet=True)
    assert asked_ranges(large) == [(206, f"bytes={there}-")]
    assert is_whole(large, asset)


@pytest.mark.parametrize("fault", ["whole", "shifted"])
def test_an_answer_that_is_not_the_rest_begins_the_file_again(large, fault):
    there = killed_midway(large)
    large.server.fault(large.place, fault)
    asset = pull_dataset("org/large", quiet=True)
    expected = [(200, f"bytes={there}-")] if fault == "whole" else [(206, f"bytes={there}-")]
    assert asked_ranges(large)[: len(expected)] == expected
    assert is_whole(large, asset)


def test_wrong_bytes_before_the_break_are_found_and_the_file_comes_again_whole(large):
    killed_midway(large)
    [arriving] = (large.assets / "datasets").glob(".*.partial/.cache/*.incomplete")
    damaged = bytearray(arriving.read_bytes())
    damaged[7] ^= 1
    arriving.write_bytes(damaged)
    asset = pull_dataset("org/large", quiet=True)
    assert [part for _, part in asked_ranges(large)] == [f"bytes={len(damaged)}-", None]
    assert is_whole(large, asset)


def test_more_bytes_than_the_file_has_are_no_beginning_of_it(large):
    killed_midway(large)
    [arriving] = (large.assets / "datasets").glob(".*.partial/.cache/*.incomplete")
    arriving.write_bytes(b"x" * (len(CONTENT) + 1))
    asset = pull_dataset("org/large", quiet=True)
    assert asked_ranges(large) == [(200, None)]
    assert is_whole(large, asset)


def test_bytes_of_another_revision_are_never_gone_on_with(large):
    killed_midway(large)
    changed = CONTENT[::-1]
    large.add("datasets", "org/large", {large.file: changed})
    asset = pull_dataset("org/large", quiet=True)
    assert asked_ranges(large) == [(200, None)]
    assert (asset.folder / large.file).read_bytes() == changed


def test_a_connection_that_breaks_goes_on_by_itself(large):
    large.server.fault(f"{large.place}.*", "cut", times=2, after=50_000)
    asset = pull_dataset("org/large", quiet=True)
    assert [status for status, _ in asked_ranges(large)] == [200, 206, 206]
    assert is_whole(large, asset)


def test_two_files_with_equal_content_come_each_by_itself(hub):
    hub.add("datasets", "org/twins", {"a.parquet": CONTENT, "b.parquet": CONTENT, "none.csv": b""})
    asset = pull_dataset("org/twins", quiet=True)
    assert asset.manifest.files.keys() == {"a.parquet", "b.parquet", "none.csv"}
    verify_asset(asset.folder)


def test_the_token_goes_to_the_hub_alone(hub, monkeypatch):
    hub.add("datasets", "org/large", {"large.parquet": CONTENT})
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    pull_dataset("org/large", quiet=True)
    tokens = {"_cdn/" in path: token for _, path, _, token, _ in hub.server.requests()}
    assert tokens[False] == f"Bearer {TOKEN}"
    assert tokens[True] is None


@pytest.mark.parametrize("pattern", ["/api/datasets/", "tree", "resolve/", "_cdn/"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_of_a_day_is_waited_for_within_bounds_and_said(
    hub, monkeypatch, capfd, pattern, status
):
    monkeypatch.setattr("research_data.hub.client.LONGEST_PAUSE", 0.3)
    hub.add("datasets", "org/large", {"large.parquet": CONTENT})
    hub.server.fault(pattern, "status", status=status, retry_after=86400)
    began = time.monotonic()
    with pytest.raises(HubError) as caught:
        pull_dataset("org/large", quiet=True)
    assert time.monotonic() - began < 3600  # not a day
    assert "86400 s" in str(caught.value)
    assert re.search(r"86400 s.*waiting 0 s", capfd.readouterr().err)


def test_a_short_pause_is_granted(hub, capfd):
    hub.add("datasets", "org/large", {"large.parquet": CONTENT})
    hub.server.fault("tree", "status", times=1, status=429, retry_after=1)
    pull_dataset("org/large", quiet=True)
    assert re.search(r" 1 s\b.*waiting 1 s", capfd.readouterr().err)
