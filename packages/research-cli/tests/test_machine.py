import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from research_cli.environment.check import Check
from research_cli.environment.machine import check_disk, check_links

ASK = (
    "import json; from dataclasses import asdict; from research_cli.environment.machine import *;"
    "print(json.dumps([asdict(check_disk()), asdict(check_links())]))"
)


def on_a_disk(options: str, folder: Path) -> tuple[Check, Check]:
    """Free disk and links, with assets on a tmpfs of its own, seen by the child only."""
    script = 'mount -t tmpfs -o "$1" none "$2" && RESEARCH_ASSETS="$2" exec "$3" -c "$4"'
    child = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", options, folder, sys.executable, ASK],
        capture_output=True,
        text=True,
        check=True,
    )
    disk, links = (Check(**check) for check in json.loads(child.stdout))
    return disk, links


def test_a_disk_of_5_gb_is_a_warning(tmp_path: Path) -> None:
    disk, links = on_a_disk("size=5g", tmp_path)
    assert disk.status == "warn"
    assert disk.found == f"5.4 GB at {tmp_path}"
    assert links.status == "ok"


def test_a_disk_of_100_gb_is_ok(tmp_path: Path) -> None:
    disk, _ = on_a_disk("size=100g", tmp_path)
    assert disk.status == "ok"


def test_a_disk_that_refuses_links_is_a_warning(tmp_path: Path) -> None:
    # Room for four: the disk's root, the temporary folder, a folder in it, its file; no link.
    _, links = on_a_disk("nr_inodes=4", tmp_path)
    assert links.status == "warn"
    assert "No space left on device" in links.found


def test_assets_that_are_not_there_yet_are_ok_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "new" / "assets"))
    assert check_disk().status == "ok"
    links = check_links()
    assert links.status == "ok"
    assert str(tmp_path / "new" / "assets") in links.found
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_assets_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "assets").write_text("")
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "assets"))
    links = check_links()
    assert links.status == "fail"
    assert "is a file" in links.found
    assert "RESEARCH_ASSETS" in links.fix
    assert "\n" not in "".join(map(str, asdict(links).values()))
