import os
from pathlib import Path

import pytest
from research_cli.environment.installed import import_error


def test_a_folder_here_named_like_a_package_is_not_that_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "safetensors.py").write_text("raise ImportError('a file of the user')")
    monkeypatch.chdir(tmp_path)
    assert import_error("safetensors") == ""


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("raise ValueError('numpy.dtype size\\nchanged\\n')", "changed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was killed by signal 11"),
        ("import os; os._exit(3)", "exits with 3"),
    ],
)
def test_a_failing_import_says_what_happened(
    program: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fragile.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert import_error("fragile").endswith(error)
