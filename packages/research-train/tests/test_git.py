"""What git is asked about the files of several folders, and about stored files."""

import subprocess

from research_train.code.git import list_files, stored_contents


def git(folder, *words):
    named = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", *named, *words], cwd=folder, check=True, capture_output=True)


def test_each_folder_is_listed_by_the_repository_it_lies_in(tmp_path):
    outer, bare = tmp_path / "outer", tmp_path / "no repository"
    inner = outer / "papers" / "inner"
    for folder in (outer / "one", outer / "one more", inner, bare):
        folder.mkdir(parents=True)
        for name in ("kept.py", "new.py", "noise.log"):
            (folder / name).write_text("")
    (outer / ".gitignore").write_text("*.log\n")
    git(outer, "init", "--quiet")
    git(outer, "add", "one/kept.py")
    git(inner, "init", "--quiet")
    git(inner, "add", "kept.py")
    (tmp_path / "link").symlink_to(outer / "one")
    folders = [outer / "one", outer / "one more", inner, tmp_path / "link", bare]
    one, more, nested, linked, unknown = (list_files(folders)[folder] for folder in folders)
    assert one == ({outer / "one/kept.py"}, {outer / "one/new.py"})
    assert more == (set(), {outer / "one more/kept.py", outer / "one more/new.py"})
    assert nested == ({inner / "kept.py"}, {inner / "new.py", inner / "noise.log"})
    assert linked == ({tmp_path / "link/kept.py"}, {tmp_path / "link/new.py"})
    assert unknown is None


def test_stored_files_come_in_the_order_asked_and_missing_ones_as_none(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a b").write_bytes(b"one\n\nblob 3\n")
    (tmp_path / "empty").write_bytes(b"")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "both")
    names = ["HEAD:empty", "HEAD:gone", "HEAD:a b", "HEAD:./a b", "HEAD"]
    stored = b"one\n\nblob 3\n"
    assert stored_contents(tmp_path, names) == [b"", None, stored, stored, None]
