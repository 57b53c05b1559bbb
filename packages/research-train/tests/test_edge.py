"""Where every command ends: one sentence and an exit code for whatever went wrong around it."""

import errno
import os
from pathlib import Path

import pytest
from research_data import ResearchError, StorageError
from research_train.command_line.edge import at_the_edge, sentence_of


def ended(error, capsys):
    def command(words):
        raise error

    code = at_the_edge(command, [])
    said = capsys.readouterr()
    assert said.out == ""
    return code, said.err


@pytest.mark.parametrize(
    "number", [n for n in errno.errorcode if n not in (errno.EPIPE, errno.EINTR)]
)
def test_every_error_of_the_system_is_one_sentence(number, capsys):
    code, said = ended(OSError(number, os.strerror(number), "some/file"), capsys)
    assert code == 1
    assert said.startswith(f"error: some/file: {os.strerror(number)}")
    assert len(said.splitlines()) == 1


def test_each_error_of_the_system_gets_its_own_advice():
    said = {
        name: str(StorageError(Path("x"), OSError(getattr(errno, name), "why")))
        for name in ("ENOSPC", "ENOTDIR", "ELOOP", "EIO", "EMFILE", "ENAMETOOLONG", "EBADF")
    }
    assert [name for name, text in said.items() if "room" in text] == ["ENOSPC"]
    assert "a file" in said["ENOTDIR"]
    assert "circle" in said["ELOOP"]
    assert "ulimit" in said["EMFILE"]
    assert "shorter" in said["ENAMETOOLONG"]
    assert said["EBADF"] == "cannot write x: why."


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: Path("x" * 300).read_text(), "File name too long"),
        (lambda: Path("/etc/hostname/x").read_text(), "Not a directory"),
        (lambda: Path("/etc").read_text(), "Is a directory"),
        (lambda: Path("a\0b").read_text(), "zero byte"),
        (lambda: "\ud800".encode(), "written as utf-8"),
        (lambda: b"\xff".decode(), "isn't utf-8"),
        (lambda: bytearray(2**62), "not enough memory"),
    ],
)
def test_real_mistakes_have_sentences_too(make, part):
    with pytest.raises((OSError, ValueError, MemoryError)) as raised:
        make()
    assert part in sentence_of(raised.value)


def test_a_bug_keeps_its_traceback(capsys):
    for error in (RuntimeError("ours"), ValueError("x"), RecursionError(), KeyError("k")):
        code, said = ended(error, capsys)
        assert code == 1 and "Traceback" in said


def test_lines_in_a_name_make_no_lines_of_ours(capsys):
    _, said = ended(ResearchError("no run 'a\nerror: forged\x1b[0m'"), capsys)
    assert said == "error: no run 'a\n  error: forged\\x1b[0m'\n"


def test_a_paper_that_misses_a_file_is_told_where(workspace):
    train = workspace.root / "papers/tiny/paper_tiny/train.py"
    train.write_text(train.read_text().replace("data = load(run)", "open('nowhere.csv')"))
    result = workspace.train()
    assert result.code == 1 and "Traceback" not in result.errors
    for part in ("nowhere.csv", "No such file or directory", "paper_tiny/train.py, line"):
        assert part in result.errors
    assert "Traceback" in workspace.records()[0]["error"]["traceback"]


def test_assets_that_are_a_file_are_refused_by_every_command(workspace):
    file = workspace.root / "file"
    file.write_text("")
    for place in (file, file / "below"):
        workspace.environment["RESEARCH_ASSETS"] = str(place)
        for command, *words in (
            ["train", "--paper", "tiny"],
            ["train", "--paper", "tiny", "--resume"],
            ["evaluate", "--paper", "tiny"],
            ["research-cli", "run", "list"],
            ["research-cli", "run", "show", "x"],
            ["research-cli", "dataset", "list"],
            ["research-cli", "report"],
        ):
            result = workspace.run(command, *words)
            result.refused(1, "RESEARCH_ASSETS is")
            assert "room" not in result.errors


def test_a_full_disk_behind_stdout_is_reported(workspace):
    done = workspace.run_program("bash", "-c", "train --paper tiny --help > /dev/full")
    assert (done.code, done.output) == (1, "")
    assert done.errors.startswith("error: No space left on device")
    assert len(done.errors.splitlines()) == 1


def test_a_pipe_of_our_own_that_breaks_is_no_reader_who_has_left(capsys):
    code, said = ended(BrokenPipeError(errno.EPIPE, "Broken pipe"), capsys)
    assert code == 1 and "Broken pipe" in said


def test_invalid_handed_over_releases_are_refused(workspace):
    for value in ("{", "7", "[]", '{"paper": 1}'):
        workspace.environment["RESEARCH_RELEASES"] = value
        workspace.train().refused(1, "RESEARCH_RELEASES is", "Unset it")
