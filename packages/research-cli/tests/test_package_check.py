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
    for part in ("tiny-lib==9", "tiny-lib 0.2.0.dev0", "0.1.0"):
        assert part in who["paper-third"]["refused"]
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
    for part in ("paper-tiny", "tiny-lib==9", "0.1.0", "paper pin tiny PACKAGE"):
        assert part in row.fix
    here.require("numpy>=99")
    [row] = check_requirements(here.root)
    assert "numpy>=99" in row.fix and "uv sync" in row.fix
    here.require("numpy")
    assert check_requirements(here.root) == []
    (folder / "pyproject.toml").write_text("[project\n")
    [row] = check_requirements(here.root)
    assert (row.name, row.status) == ("paper-tiny", "fail")
    assert "pyproject.toml" in row.fix and "TOML" in row.fix


def test_a_workspace_in_order_is_one_line_with_git_and_without(tiny: TinyPackages) -> None:
    counts = ["2 packages", "2 requirements", "1 release"]
    with_git = tiny.package("check").stdout
    assert [part for part in counts if part in with_git] == counts
    assert with_git.count("\n") == 1 and "git's history" in with_git
    shutil.rmtree(tiny.root / ".git")
    without = tiny.package("check").stdout
    assert [part for part in counts if part in without] == counts
    assert without.count("\n") == 1 and "no git here" in without


def test_requirements_and_imports_that_are_wrong_are_named(tiny: TinyPackages) -> None:
    tiny.add_paper("far", "tiny-lib==9")
    tiny.add_paper("slip", "tiny-lib=0.1")
    tiny.add_paper("misspelt", "tiny-lbi>=0.1", code="")
    tiny.add_paper("silent", "tiny-lib", code="def train():\n    from tiny_top import double\n")
    tiny.write("packages/tiny-lib/benchmarks/speed.py", "import tiny_top\n")  # as tests may
    far, misspelt, silent, slip = findings(tiny)
    for finding, parts in (
        (far, ("paper-far", "tiny-lib==9", "tiny-lib 0.2.0.dev0")),
        (misspelt, ("papers/misspelt/pyproject.toml", "tiny-lbi>=0.1", "'tiny-lib'?")),
        (silent, ("papers/silent/paper_silent/__init__.py: ", "imports tiny_top")),
        (silent, ("`uv add --package paper-silent tiny-top`",)),
        (slip, ("papers/slip/pyproject.toml: ", "'tiny-lib=0.1'")),
    ):
        assert [part for part in parts if part not in finding] == [], finding


def test_a_lower_bound_that_admits_a_release_without_an_imported_name_is_named(
    tiny: TinyPackages,
) -> None:
    top = "packages/tiny-top/src/tiny_top"
    known = "from tiny_lib import double\nfrom typing import TYPE_CHECKING\n"
    known += "if TYPE_CHECKING:\n    from tiny_lib.fresh import Fresh\n"
    tiny.write("packages/tiny-lib/src/tiny_lib/fresh.py", "class Fresh: ...\n")
    tiny.write(f"{top}/__init__.py", known)
    tiny.package("check")
    for line, name in (
        ("def late():\n    from tiny_lib import fresh\n", "tiny_lib.fresh"),
        ("import tiny_lib.fresh\n", "tiny_lib.fresh"),
        ("from tiny_lib.fresh import Fresh\n", "tiny_lib.fresh.Fresh"),
        ("from tiny_lib import triple\n", "tiny_lib.triple"),
    ):
        tiny.write(f"{top}/user.py", line)
        [finding] = findings(tiny)
        assert finding.startswith("packages/tiny-top/pyproject.toml: tiny-lib>=0.1 ")
        for part in (f" {name},", "tiny-lib 0.1.0", f"{top}/user.py", "tiny-lib>=0.2.0.dev0"):
            assert part in finding, finding
    tiny.replace("packages/tiny-top/pyproject.toml", "tiny-lib>=0.1", "tiny-lib>=0.2.0.dev0")
    tiny.package("check")


def test_a_public_name_without_a_test_or_a_row_is_named_with_the_file_to_edit(
    tiny: TinyPackages,
) -> None:
    folder = "packages/tiny-lib"
    tiny.write(f"{folder}/src/tiny_lib/shared.py", "class Shared: ...\nclass Inner: ...\n")
    tiny.write(f"{folder}/src/tiny_lib/user.py", "from tiny_lib.shared import Inner\n")
    stub = "from .shared import Inner as Inner\nfrom .shared import Shared as Shared\n"
    tiny.write(f"{folder}/src/tiny_lib/__init__.pyi", stub)
    tiny.write(f"{folder}/README.md", "`Shareds`, `Inner`\n")
    test, row = findings(tiny)  # of Inner none: it is used by code that has tests
    assert test.startswith(f"{folder}/tests: ") and "Shared" in test and "test_shared.py" in test
    assert row.startswith(f"{folder}/README.md: ") and "Shared" in row
    tiny.write(f"{folder}/tests/test_shared.py", "from tiny_lib import Shared\n")
    tiny.write(f"{folder}/README.md", "`Shared`, `Inner`\n")
    tiny.package("check")
    tiny.write(f"{folder}/src/tiny_lib/__init__.pyi", "from .shared import (\n")
    [broken] = findings(tiny)
    assert broken.startswith(f"{folder}/src/tiny_lib/__init__.pyi:1: ")


def test_code_changed_after_its_release_and_a_version_not_synced_are_named(
    tiny: TinyPackages,
) -> None:
    tiny.replace("packages/tiny-lib/pyproject.toml", "0.2.0.dev0", "0.1.0")
    tiny.replace("packages/tiny-lib/src/tiny_lib/__init__.py", "2 * x", "x + x")
    unsynced, differs = findings(tiny)
    assert unsynced.startswith("packages/tiny-lib/pyproject.toml: ")
    assert differs.startswith("packages/tiny-lib: ")
    for finding, parts in (
        (unsynced, ("0.1.0", "tiny-lib 0.2.0.dev0", "`uv sync")),
        (differs, ("0.1.0", ": tiny_lib/__init__.py.")),
        (differs, ("`uv version --package tiny-lib 0.2.0.dev0`",)),
    ):
        assert [part for part in parts if part not in finding] == [], finding


def test_a_release_that_was_changed_or_removed_is_found_by_hash_and_by_history(
    tiny: TinyPackages,
) -> None:
    wheel, hash_file = tiny.root / WHEEL, tiny.root / f"{WHEEL}.sha256"
    commit = tiny.git("rev-parse", "HEAD~1")[:12]
    changed = wheel.read_bytes() + b"0"
    wheel.write_bytes(changed)
    by_hash, by_history = findings(tiny)
    assert by_hash.startswith(WHEEL) and hashlib.sha256(changed).hexdigest() in by_hash
    assert by_history.startswith(f"{WHEEL}: was changed")
    assert f"`git checkout {commit} -- {WHEEL}`" in by_history
    hash_file.write_text(f"{hashlib.sha256(changed).hexdigest()}  {wheel.name}\n")
    tiny.commit("Another wheel, and a hash that fits")
    assert [line.split(" after ")[0] for line in findings(tiny)] == [
        f"{WHEEL}: was changed",
        f"{WHEEL}.sha256: was changed",
    ]
    wheel.unlink()
    hash_file.unlink()
    gone, _ = findings(tiny)
    assert gone.startswith(f"{WHEEL}: ") and "gone" in gone
    assert f"`git checkout {commit} -- {WHEEL}`" in gone


def test_a_wheel_of_another_version_and_in_no_commit_is_found(tiny: TinyPackages) -> None:
    other = Path(WHEEL.replace("0.1.0", "0.3.0"))
    shutil.copyfile(tiny.root / WHEEL, tiny.root / other)
    sha256 = hashlib.sha256((tiny.root / other).read_bytes()).hexdigest()
    tiny.write(f"{other}.sha256", f"{sha256}  {other.name}\n")
    inner, *loose = findings(tiny)
    assert inner.startswith(f"{other}: ")
    assert "tiny-lib 0.3.0" in inner and "tiny-lib 0.1.0" in inner
    assert [line.split(":")[0] for line in loose] == [str(other), f"{other}.sha256"]
    assert "is in no commit" in loose[0]
