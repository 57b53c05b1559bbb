"""Write beside, fsync, rename."""

import os
import signal
import stat
import subprocess
import sys

import pytest
from research_data.durable import new_folder, replace_link, write_bytes


def test_a_writer_killed_half_way_leaves_the_old_file(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"old")
    program = (
        "import os, signal, sys, pathlib, research_data.durable as d\n"
        "d.os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)\n"
        "d.write_bytes(pathlib.Path(sys.argv[1]), b'new')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(file)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert file.read_bytes() == b"old"


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), new_folder(tmp_path / "a") as partial:
        (partial / "file").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "a") as partial:
        (partial / "file").write_text("x")
        assert not (tmp_path / "a").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_is_never_put_over_another(tmp_path):
    with new_folder(tmp_path / "a") as partial:
        (partial / "file").write_text("first")
    with pytest.raises(FileExistsError), new_folder(tmp_path / "a") as partial:
        (partial / "file").write_text("second")
    assert (tmp_path / "a" / "file").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_new_folder_is_as_open_as_the_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        with new_folder(tmp_path / "a") as partial:
            (partial / "file").write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755


def test_a_new_folder_belongs_to_the_group_of_a_shared_one(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2775)
    for place, expected in (shared, stat.S_ISGID), (tmp_path, 0):
        with new_folder(place / "folder") as folder:
            (folder / "inner").mkdir()
        for each in (place / "folder", place / "folder" / "inner"):
            assert each.stat().st_mode & stat.S_ISGID == expected


def test_a_link_is_replaced_and_a_folder_is_not(tmp_path):
    replace_link(tmp_path / "link", "one")
    replace_link(tmp_path / "link", "two")
    assert str((tmp_path / "link").readlink()) == "two"
    (tmp_path / "folder").mkdir()
    with pytest.raises(Exception, match="cannot write"):
        replace_link(tmp_path / "folder", "one")
    assert (tmp_path / "folder").is_dir()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_write_that_the_disk_refuses_names_the_file_the_reason_and_the_setting(tmp_path):
    with pytest.raises(Exception, match=r"file/below.*Not a directory.*RESEARCH_ASSETS"):
        (tmp_path / "file").write_text("x")
        write_bytes(tmp_path / "file" / "below", b"x")


def test_a_disk_that_is_full_while_tensors_are_written_is_said_too(tmp_path):
    """safetensors has an error of its own for it. The disk: 64 kB in a mount namespace."""
    program = (
        "import sys, pathlib, numpy as np\n"
        "from safetensors.numpy import save_file\n"
        "from research_data.durable import new_folder\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "try:\n"
        "    with new_folder(folder / 'a') as partial:\n"
        "        save_file({'x': np.zeros(100_000)}, partial / 'x.safetensors')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
        "print(list(folder.iterdir()))\n"
    )
    script = 'mount -t tmpfs -o size=64k none "$0" && exec "$1" -c "$2" "$0"'
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, str(tmp_path), sys.executable, program],
        capture_output=True,
        text=True,
        check=True,
    )
    said, left = done.stdout.splitlines()
    assert said.startswith("StorageError cannot write")
    assert "No space left" in said
    assert left == "[]"
