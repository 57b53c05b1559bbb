"""`research-cli package release`, over real repositories, with real builds and tests."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
import zipfile
from datetime import date
from pathlib import Path

import pytest
from research_cli.package.plan import Bump
from tiny_packages import TinyPackages

WHEEL = "packages/tiny-lib/releases/tiny_lib-0.1.0-py3-none-any.whl"


@pytest.fixture
def tiny(tmp_path: Path) -> TinyPackages:
    return TinyPackages.new(tmp_path / "tiny")


def refused(tiny: TinyPackages, *words: str, code: int = 1) -> str:
    before = tiny.state()
    errors = tiny.package("release", *words, code=code).stderr
    assert tiny.state() == before
    return errors.replace(str(tiny.root), "/data")


def test_a_release_is_a_tested_wheel_with_a_tag_and_is_made_once(tiny: TinyPackages) -> None:
    dry = tiny.package("release", "tiny-lib", "--dry-run").stdout
    for part in ("tiny-lib 0.1.0", "0.1.0.dev0", "0.2.0.dev0", "tiny-lib-v0.1.0", WHEEL):
        assert part in dry
    assert tiny.git("tag") == ""

    done = tiny.package("release", "tiny_lib")
    assert "1 module, 1 public name; version 0.1.0" in done.stderr
    assert "1 passed" in done.stderr
    assert "released tiny-lib 0.1.0" in done.stdout and "0.2.0.dev0" in done.stdout

    subjects = tiny.git("log", "--format=%s", "-3").splitlines()
    assert [each.split()[-1] for each in subjects] == ["0.2.0.dev0", "0.1.0", "Begin"]
    assert tiny.git("rev-parse", "tiny-lib-v0.1.0^{commit}") == tiny.git("rev-parse", "HEAD~1")
    assert tiny.git("status", "--porcelain") == ""
    assert tiny.git("branch", "--show-current") == "main"
    assert 'version = "0.1.0"\n' in tiny.git("show", "HEAD~1:packages/tiny-lib/pyproject.toml")
    assert 'name = "tiny-lib"\nversion = "0.2.0.dev0"' in (tiny.root / "uv.lock").read_text()
    changelog = (tiny.root / "packages/tiny-lib/CHANGELOG.md").read_text()
    assert f"\n## Unreleased\n\n## 0.1.0 - {date.today()}\n\n### Added\n" in changelog

    wheel = tiny.root / WHEEL
    with zipfile.ZipFile(wheel) as archive:
        assert "tiny_lib/__init__.py" in archive.namelist()
    check = ["sha256sum", "--check", f"{wheel.name}.sha256"]
    assert subprocess.run(check, cwd=wheel.parent, stdout=subprocess.PIPE).returncode == 0
    tiny.git("checkout", "--quiet", "tiny-lib-v0.1.0")
    build = ["uv", "build", "--quiet", "--package", "tiny-lib", "--out-dir", "../again"]
    subprocess.run(build, cwd=tiny.root, check=True)
    again = (tiny.root / "../again" / wheel.name).read_bytes()
    assert hashlib.sha256(again).digest() == hashlib.sha256(wheel.read_bytes()).digest()

    tiny.git("checkout", "--quiet", "main")
    tiny.sync()
    released_twice(tiny)


def test_a_wheel_is_bound_to_the_siblings_that_it_was_tested_with(tiny: TinyPackages) -> None:
    tiny.package("release", "tiny-lib")
    tiny.write("packages/tiny-top/tests/test_top.py", "def test_it():\n    import tiny_top\n")
    tiny.commit("A test")
    tiny.sync()
    before = (tiny.root / "packages/tiny-top/pyproject.toml").read_text()
    tiny.package("release", "tiny-top")
    wheel = next(tiny.root.glob("packages/tiny-top/releases/*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if n.endswith("METADATA")]
        metadata = archive.read(name).decode()
    # tiny-lib is 0.2.0.dev0 by now, with the code of 0.1.0.
    assert "Requires-Dist: tiny-lib>=0.1.0,<0.2" in metadata
    after = (tiny.root / "packages/tiny-top/pyproject.toml").read_text()
    assert after.replace("0.2.0.dev0", "0.1.0.dev0") == before


def released_twice(tiny: TinyPackages) -> None:
    shown = refused(tiny, "tiny-lib")
    assert "/data/packages/tiny-lib/CHANGELOG.md: " in shown and "Unreleased" in shown
    shown = refused(tiny, "tiny-lib", "--version", "0.1.0", code=2)
    assert f"/data/{WHEEL}: tiny-lib 0.1.0" in shown
    assert "`--bump patch`" in shown and "`--version 0.2.0`" in shown
    shown = refused(tiny, "tiny-lib", "--version", "0.0.9", code=2)
    assert "tiny-lib 0.0.9" in shown and "newest release, 0.1.0" in shown
    for bump, version in (("patch", "0.1.1"), ("minor", "0.2.0"), ("major", "1.0.0")):
        tiny.git("tag", f"tiny-lib-v{version}")
        assert f"tag tiny-lib-v{version} exists" in refused(tiny, "tiny-lib", "--bump", bump)


def test_a_release_that_cannot_be_made_is_refused_with_the_way_on(tiny: TinyPackages) -> None:
    shown = refused(tiny, "tiny-lbi", code=2)
    assert "'tiny-lbi'" in shown and "'tiny-lib'?" in shown
    shown = refused(tiny, "tiny-lib", "--version", "0.1.0rc1", code=2)
    assert "--version 0.1.0rc1" in shown and "like 0.1.0" in shown
    shown = refused(tiny, "tiny-lib", "--bump", "big", code=2)
    assert "--bump big" in shown and all(bump in shown for bump in Bump)
    shown = refused(tiny, "tiny-lib", "--bump", "minor", code=2)
    assert "--bump minor: " in shown and "--version" in shown
    shown = refused(tiny, "tiny-top")
    assert "/data/packages/tiny-top: " in shown and "/data/packages/tiny-top/tests" in shown
    tiny.write("packages/tiny-lib/src/tiny_lib/new.py", "")
    tiny.replace("papers/first/paper_first/__init__.py", "tiny_lib", "tiny_lib  # noqa")
    shown = refused(tiny, "tiny-lib")
    assert shown.startswith("error: /data: ") and "`git stash --include-untracked`" in shown
    changed = "papers/first/paper_first/__init__.py, packages/tiny-lib/src/tiny_lib/new.py"
    assert changed in shown
    both = tiny.package("release", "tiny-top", code=1).stderr
    assert "/packages/tiny-top/tests" in both and "`git stash --include-untracked`" in both
    tiny.replace("packages/tiny-lib/src/tiny_lib/__init__.py", "2 * x", "3 * x")
    tiny.commit("A bug")
    shown = refused(tiny, "tiny-lib")
    assert "/data/packages/tiny-lib/tests: " in shown and "exit code 1" in shown
    tiny.write("packages/tiny-lib/src/tiny_lib/new.py", "import nowhere\n")
    tiny.commit("Another")
    shown = refused(tiny, "tiny-lib")
    assert "/data/packages/tiny-lib: " in shown and "No module named 'nowhere'" in shown
    tiny.replace("packages/tiny-lib/CHANGELOG.md", "## Unreleased", "## Soon")
    tiny.commit("No such heading")
    shown = refused(tiny, "tiny-lib")
    assert "/data/packages/tiny-lib/CHANGELOG.md: " in shown and "`## Unreleased`" in shown


def test_a_release_without_git_is_refused_and_says_what_works_without(tiny: TinyPackages) -> None:
    shutil.rmtree(tiny.root / ".git")
    shown = tiny.package("release", "tiny-lib", code=1).stderr
    assert f"error: {tiny.root} " in shown and "pin a release" in shown
    tiny.environment["PATH"] = str(tiny.root)
    shown = tiny.package("release", "tiny-lib", code=1).stderr
    assert shown.startswith("error: git ") and "pin a release" in shown


def wait_for_tests(child: subprocess.Popen[str], folder: Path) -> int:
    """The process of the package's tests, once they run."""
    deadline = time.monotonic() + 60
    while not (folder / "pid").exists() or not (folder / "pid").read_text():
        assert time.monotonic() < deadline and child.poll() is None, child.communicate()
        time.sleep(0.02)
    return int((folder / "pid").read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_release_leaves_everything_as_it_was(
    tiny: TinyPackages, tmp_path: Path, number: signal.Signals
) -> None:
    before = tiny.state()
    (tmp_path / "temporary").mkdir()
    child = tiny.start(
        "release", "tiny-lib", TINY_WAITS=str(tmp_path), TMPDIR=str(tmp_path / "temporary")
    )
    tests = wait_for_tests(child, tmp_path)
    child.send_signal(number)
    if number == signal.SIGKILL:
        child.wait()
        del before["trees"]  # git forgets that one itself once its folder is gone
        (tmp_path / "go").touch()
    else:
        if number == signal.SIGTERM:
            os.kill(tests, signal.SIGKILL)  # the tests may end in the same moment
        _, errors = child.communicate(timeout=30)
        assert child.returncode == 128 + number, errors
        assert errors.splitlines()[-1].startswith("interrupted: ")
        assert list((tmp_path / "temporary").iterdir()) == []
        with pytest.raises(ProcessLookupError):
            os.kill(tests, 0)
    assert before.items() <= tiny.state().items()


def test_a_commit_made_meanwhile_is_kept_and_the_release_is_not_made(
    tiny: TinyPackages, tmp_path: Path
) -> None:
    trees = tiny.state()["trees"]
    child = tiny.start("release", "tiny-lib", TINY_WAITS=str(tmp_path))
    wait_for_tests(child, tmp_path)
    tiny.write("notes.txt", "later")
    tiny.commit("Meanwhile")
    before = tiny.state() | {"trees": trees}
    (tmp_path / "go").touch()
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "tiny-lib 0.1.0" in errors and "HEAD" in errors
    assert tiny.state() == before


def test_what_cannot_be_published_stays_released(tiny: TinyPackages) -> None:
    del tiny.environment["UV_OFFLINE"]
    tiny.environment |= {"UV_PUBLISH_URL": "http://127.0.0.1:9/", "UV_HTTP_RETRIES": "0"}
    shown = tiny.package("release", "tiny-lib", "--publish", code=1).stderr
    assert "tiny-lib 0.1.0" in shown
    again = "`uv publish dist/tiny_lib-0.1.0-py3-none-any.whl dist/tiny_lib-0.1.0.tar.gz`"
    assert again in shown
    assert sorted(path.suffix for path in (tiny.root / "dist").iterdir()) == [".gz", ".whl"]
    assert tiny.git("tag") == "tiny-lib-v0.1.0"
    assert tiny.git("status", "--porcelain") == ""
