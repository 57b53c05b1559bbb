import os
from pathlib import Path

import pytest
from research_cli.environment.child import start_child, wait_for


def came_of(*modules: str) -> dict[str, object]:
    return wait_for(start_child(modules))


def test_a_folder_here_named_like_a_package_is_not_that_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "safetensors.py").write_text("raise ImportError('a file of the user')")
    monkeypatch.chdir(tmp_path)
    assert came_of("safetensors") == {"safetensors": ""}


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("raise ValueError('numpy.dtype size\\nchanged\\n')", "changed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by signal 11"),
        ("import os; os._exit(3)", "exit code 3"),
    ],
)
def test_an_import_that_fails_says_why_and_the_next_one_is_tried(
    program: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fragile.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    found = came_of("json", "fragile", "safetensors")
    assert str(found.pop("fragile")).endswith(error)
    assert found == {"json": "", "safetensors": ""}
