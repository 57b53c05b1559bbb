"""Where assets lie."""

import subprocess
import sys

from research_data import find_workspace, get_assets_dir, get_datasets_dir, get_outputs_dir


def test_assets_lie_in_the_workspace_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("RESEARCH_ASSETS", raising=False)
    monkeypatch.chdir(tmp_path)
    workspace = get_assets_dir().parent
    assert (workspace / "packages" / "research-data" / "pyproject.toml").is_file()
    assert get_datasets_dir() == workspace / "assets" / "datasets"
    assert get_outputs_dir() == workspace / "assets" / "outputs"


def test_research_assets_moves_the_assets(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "large"))
    assert get_datasets_dir() == tmp_path / "large" / "datasets"
    monkeypatch.setenv("RESEARCH_ASSETS", "~/large")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert get_assets_dir() == tmp_path / "large"


def test_a_workspace_is_a_folder_whose_pyproject_declares_one(tmp_path):
    inner = tmp_path / "packages" / "one"
    inner.mkdir(parents=True)
    (inner / "pyproject.toml").write_text("[project]\nname = 'one'\n")
    assert find_workspace(inner) is None
    (tmp_path / "pyproject.toml").write_text("not toml")
    assert find_workspace(inner) is None
    (tmp_path / "pyproject.toml").write_text("[tool.uv.workspace]\nmembers = ['packages/*']\n")
    assert find_workspace(inner) == tmp_path


def test_importing_the_package_imports_no_torch():
    program = (
        "import sys, research_data\n"
        "research_data.get_datasets_dir; research_data.GeneratedDataset\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n"
