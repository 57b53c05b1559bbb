"""`research-cli package list` and `check`, over a workspace with one release."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from research_cli.environment.requirements import check_requirements
from tiny_packages import TinyPackages
from workspaces import Workspace

WHEEL = "packages/tiny-lib/releases/tiny_lib-0.1.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> TinyPackages:
    tiny = TinyPackages.new(tmp_path_factory.mktemp("released") / "tiny")
    tiny.package("release", "tiny-lib")
    tiny.sync()
    return tiny


@pytest.fixture
def tiny(released: TinyPackages, tmp_path: Path) -> TinyPackages:
    """A copy, to be spoilt."""
    shutil.copytree(released.root, tmp_path / "tiny")
    copy = TinyPackages(tmp_path / "tiny")
    copy.sync()
    return copy


def findings(tiny: TinyPackages) -> list[str]:
    return list(json.loads(tiny.package("check", "--json", code=1).stdout)["findings"])


def test_list_says_what_is_unreleased_and_who_runs_what(tiny: TinyPackages) -> None:
    tiny.add_paper("second", "tiny-lib==0.1.0")
    tiny.add_paper("third", "tiny-lib==9")
    tiny.replace("packages/tiny-lib/src/tiny_lib/__init__.py", "2 * x", "x + x")
    lib, top = json.loads(tiny.package("list", "--json").stdout)["packages"]
    assert (lib["name"], lib["version"], lib["releases"]) == ("tiny-lib", "0.2.0.dev0", ["0.1.0"])
    assert lib["unreleased"] == {"entries": [], "changed": ["tiny_lib/__init__.py"]}
    assert top["unreleased"]["entries"] == ["- `double`: twice as much,"]
    who = {each["by"]: each for each in lib["dependents"]}
    assert (who["paper-first"]["runs"], who["paper-first"]["release"]) == ("0.2.0.dev0", False)
    assert (who["paper-second"]["runs"], who["paper-second"]["release"]) == ("0.1.0", True)
    assert who["paper-third"]["runs"] is None
    assert (
        "the workspace has tiny-lib 0.2.0.dev0; released are 0.1.0"
        in (who["paper-third"]["refused"])
    )
    rows = [line.split() for line in tiny.package("list").stdout.splitlines()]
    assert ["tiny-lib", "0.2.0.dev0", "0.1.0", "1", "file"] in rows
    assert ["tiny-lib", "paper-second", "tiny-lib==0.1.0", "release", "0.1.0"] in rows


def test_env_has_a_row_for_a_paper_whose_pin_nothing_satisfies(tiny: TinyPackages) -> None:
    here = Workspace(tiny.root.parent / "here")  # of packages that this process imports
    folder = here.add_paper()
    shutil.copytree(tiny.root / "packages", here.root / "packages")
    here.require("tiny-lib==9")
    [row] = check_requirements(here.root)
    assert (row.name, row.status) == ("paper-tiny", "fail")
    assert "paper-tiny requires tiny-lib==9" in row.fix
    assert "released are 0.1.0" in row.fix and "paper pin tiny PACKAGE" in row.fix
    here.require("numpy>=99")
    [row] = check_requirements(here.root)
    assert "requires numpy>=99" in row.fix and "uv sync" in row.fix
    here.require("numpy")
    assert check_requirements(here.root) == []
    (folder / "pyproject.toml").write_text("[project\n")
    [row] = check_requirements(here.root)
    assert (row.name, row.status) == ("paper-tiny", "fail") and "not valid TOML" in row.fix


def test_a_workspace_in_order_is_one_line_with_git_and_without(tiny: TinyPackages) -> None:
    summary = "2 packages: 2 requirements of them, all met; releases as they were made: 1"
    assert tiny.package("check").stdout == f"{summary} (as in git's history)\n"
    shutil.rmtree(tiny.root / ".git")
    assert tiny.package("check").stdout == f"{summary} (no git here to compare them with)\n"


def test_requirements_and_imports_that_are_wrong_are_named(tiny: TinyPackages) -> None:
    tiny.add_paper("far", "tiny-lib==9")
    tiny.add_paper("slip", "tiny-lib=0.1")
    tiny.add_paper("misspelt", "tiny-lbi>=0.1", code="")
    tiny.add_paper("silent", "tiny-lib", code="def train():\n    from tiny_top import double\n")
    far, misspelt, silent, slip = findings(tiny)
    assert far.startswith("paper-far requires tiny-lib==9; the workspace has tiny-lib 0.2.0.dev0;")
    assert misspelt.startswith("papers/misspelt/pyproject.toml requires tiny-lbi>=0.1")
    assert misspelt.endswith("Did you mean 'tiny-lib'?")
    assert silent == (
        "papers/silent/paper_silent/__init__.py: imports tiny_top, and paper-silent doesn't "
        "declare tiny-top. `uv add --package paper-silent tiny-top`"
    )
    assert slip.startswith("papers/slip/pyproject.toml: 'tiny-lib=0.1' is not a requirement: ")


def test_code_that_is_not_its_release_and_a_version_not_synced(tiny: TinyPackages) -> None:
    tiny.replace("packages/tiny-lib/pyproject.toml", "0.2.0.dev0", "0.1.0")
    tiny.replace("packages/tiny-lib/src/tiny_lib/__init__.py", "2 * x", "x + x")
    unsynced, differs = findings(tiny)
    assert "version is 0.1.0, and this environment has tiny-lib 0.2.0.dev0. `uv sync" in unsynced
    assert differs == (
        "packages/tiny-lib: version is 0.1.0, which is released, but src differs from that "
        "release: tiny_lib/__init__.py. Undo that, or go on to the next: "
        "`uv version --package tiny-lib 0.2.0.dev0`"
    )


def test_a_release_touched_after_it_was_made(tiny: TinyPackages) -> None:
    wheel, hash_file = tiny.root / WHEEL, tiny.root / f"{WHEEL}.sha256"
    commit = tiny.git("rev-parse", "HEAD~1")[:12]
    changed = wheel.read_bytes() + b"0"
    wheel.write_bytes(changed)
    by_hash, by_history = findings(tiny)
    assert "this is not tiny-lib 0.1.0 as it was released: its sha256 is" in by_hash
    assert by_history == (
        f"{WHEEL}: was changed after it was released in {commit}. "
        f"`git checkout {commit} -- {WHEEL}` brings it back."
    )
    hash_file.write_text(f"{hashlib.sha256(changed).hexdigest()}  {wheel.name}\n")
    tiny.commit("Another wheel, and a hash that fits")
    assert [line.split(": ")[1][:17] for line in findings(tiny)] == ["was changed after"] * 2
    wheel.unlink()
    hash_file.unlink()
    gone, _ = findings(tiny)
    assert gone.startswith(f"{WHEEL}: was released in {commit} and is gone. `git checkout {commit}")


def test_a_wheel_of_another_or_in_no_commit(tiny: TinyPackages) -> None:
    other = Path(WHEEL.replace("0.1.0", "0.3.0"))
    shutil.copyfile(tiny.root / WHEEL, tiny.root / other)
    sha256 = hashlib.sha256((tiny.root / other).read_bytes()).hexdigest()
    tiny.write(f"{other}.sha256", f"{sha256}  {other.name}\n")
    inner, *loose = findings(tiny)
    assert inner.startswith(f"{other}: named tiny-lib 0.3.0, but inside it is tiny-lib 0.1.0.")
    assert [line.split(":")[0] for line in loose] == [str(other), f"{other}.sha256"]
    assert "is in no commit, so nobody else has it" in loose[0]
