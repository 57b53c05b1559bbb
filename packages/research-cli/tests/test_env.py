"""`research-cli env` as a whole, on this machine and on one where much is broken."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest
import torch
from research_cli.environment.check import Check
from research_cli.environment.command import print_table
from research_cli.environment.declared import INTERNAL
from research_cli.environment.installed import STACK
from research_train.experiment.members import installed_from

SITE_PACKAGES = Path(sysconfig.get_path("purelib"))

MACHINE = ["platform", "Python", "uv", "git"]
REST = ["CUDA", "free disk", "compiled steps", "links"]


@pytest.fixture(scope="module")
def here(
    research_cli: Callable[..., subprocess.CompletedProcess[str]],
) -> subprocess.CompletedProcess[str]:
    return research_cli("env", "--json")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """`env --json` on another machine: a second virtual environment made of links into this one.

    tensorboard and pandas are not installed; transformers can't be imported; research-viz is no
    editable install and requires a matplotlib that does not exist; uv and git are not on the PATH;
    a GPU is listed but hidden from torch; assets lie on a read-only disk of 1 MB.
    """
    folder = tmp_path_factory.mktemp("broken")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (site_packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    for entry in SITE_PACKAGES.iterdir():
        distribution = entry.name.split("-")[0]
        if distribution not in ("pandas", "tensorboard", "research_viz", "__pycache__"):
            (site_packages / entry.name).symlink_to(entry)

    (viz,) = SITE_PACKAGES.glob("research_viz-*.dist-info")
    shutil.copytree(viz, site_packages / viz.name)
    (site_packages / viz.name / "direct_url.json").unlink()
    metadata = site_packages / viz.name / "METADATA"
    text = metadata.read_text()
    assert "Requires-Dist: matplotlib>=" in text
    metadata.write_text(text.replace("Requires-Dist: matplotlib>=", "Requires-Dist: matplotlib>=9"))

    in_the_way = folder / "in_the_way" / "transformers"
    in_the_way.mkdir(parents=True)
    (in_the_way / "__init__.py").write_text("raise ImportError('broken [here]')")

    tools = folder / "tools"
    tools.mkdir()
    driver = tools / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1234)'\n")
    driver.chmod(0o755)

    assets = folder / "assets"
    assets.mkdir()
    program = "from research_cli.app import app; app(['env', '--json'])"
    return subprocess.run(
        [
            *(shutil.which("unshare") or "unshare", "-Urm", shutil.which("sh") or "sh", "-c"),
            '/bin/mount -t tmpfs -o size=1m,ro none "$1" && exec "$2" -c "$3"',
            *("sh", assets, folder / "venv" / "bin" / "python", program),
        ],
        env={
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "",
            "PATH": str(tools),
            "PYTHONPATH": str(in_the_way.parent),
            "RESEARCH_ASSETS": str(assets),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def row(output: subprocess.CompletedProcess[str], name: str) -> Check:
    (check,) = (c for c in json.loads(output.stdout)["checks"] if c["name"] == name)
    return Check(**check)


def test_this_machine_has_what_the_workspace_needs(here) -> None:
    assert here.returncode == 0, here.stdout
    assert json.loads(here.stdout)["status"] in ("ok", "warn")
    assert here.stderr == ""


def test_every_row_is_there_in_order(here) -> None:
    names = [check["name"] for check in json.loads(here.stdout)["checks"]]
    assert names == [*MACHINE, *INTERNAL, *(package.name for package in STACK), *REST]


@pytest.mark.parametrize("name", [*INTERNAL, *(package.name for package in STACK)])
def test_every_package_is_found_and_its_needs_are_declared(here, name: str) -> None:
    if name == "research-cli" and installed_from(distribution(name)) is None:
        pytest.skip("this is the test of its wheel, before a release: it is not editable")
    check = row(here, name)
    assert check.status == "ok"
    assert check.found[0].isdigit()
    assert check.needs.startswith(">=") or name in INTERNAL
    assert check.fix == ""


def test_a_gpu_computes_or_there_is_none(here) -> None:
    check = row(here, "CUDA")
    if torch.cuda.is_available():
        assert check.status == "ok"
        assert torch.cuda.get_device_name() in check.found
    else:
        assert check.status == "warn" and check.found.startswith("no GPU")


def test_a_broken_machine_exits_with_1(broken) -> None:
    assert broken.returncode == 1, broken.stderr
    assert json.loads(broken.stdout)["status"] == "fail"
    assert broken.stderr == ""


def test_a_package_that_cannot_be_imported_shows_the_error(broken) -> None:
    check = row(broken, "transformers")
    assert check.status == "fail"
    assert check.found.endswith("ImportError: broken [here]")
    assert check.fix.startswith("unset PYTHONPATH")
    assert "uv sync --reinstall-package transformers" in check.fix


def test_a_package_missing_for_training_fails(broken) -> None:
    check = row(broken, "TensorBoard")
    assert (check.status, check.found, check.fix) == ("fail", "not installed", "`uv sync`")


def test_a_package_missing_for_notebooks_alone_warns(broken) -> None:
    check = row(broken, "pandas")
    assert (check.status, check.found, check.fix) == ("warn", "not installed", "`uv sync`")
    assert check.needs.startswith(">=")


def test_a_package_too_old_for_one_of_ours_fails(broken) -> None:
    check = row(broken, "matplotlib")
    assert check.status == "fail"
    assert check.needs.startswith(">=9")
    assert check.fix == "`uv sync`"


def test_a_package_of_ours_from_a_wheel_warns(broken) -> None:
    check = row(broken, "research-viz")
    assert check.status == "warn"
    assert check.found.endswith("from a wheel")


def test_without_uv_it_fails_and_without_git_it_warns(broken) -> None:
    uv, git = row(broken, "uv"), row(broken, "git")
    assert (uv.status, uv.found) == ("fail", "not found")
    assert (git.status, git.found) == ("warn", "not found")


def test_a_gpu_that_torch_cannot_use_fails_with_the_reason(broken) -> None:
    check = row(broken, "CUDA")
    assert check.status == "fail"
    name, reason = check.found.split(": ", 1)
    assert name.startswith("NVIDIA H100 80GB HBM3, ") and reason
    assert check.fix.startswith("unset CUDA_VISIBLE_DEVICES") and "''" in check.fix


def test_read_only_assets_fail(broken) -> None:
    check = row(broken, "links")
    assert check.status == "fail"
    assert "Read-only file system" in check.found
    assert "RESEARCH_ASSETS" in check.fix


def test_a_full_disk_fails(broken) -> None:
    check = row(broken, "free disk")
    assert check.status == "fail"
    assert check.found.startswith("0.0 GB at ")


def test_in_a_pipe_a_row_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    error = "ImportError: [/tmp/x] :smile: " + "long " * 100 + "end"
    print_table(
        [
            Check("git", "ok", "2.39", "any version"),
            Check("pandas", "fail", error, ">=2.2", f"`fix` {error}"),
            Check("links", "warn", "none", "some", "make some"),
        ]
    )
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].split() == ["check", "status", "found", "needs"]
    assert lines[2] == f"pandas  fail    {error}  >=2.2"
    assert lines[4:] == [
        "",
        "1 ok, 1 warn, 1 fail",
        f"fail: pandas: `fix` {error}",
        "warn: links: make some",
    ]


def test_at_a_terminal_the_status_is_coloured(at_a_terminal: Callable[..., str]) -> None:
    shown = at_a_terminal(
        sys.executable,
        "-c",
        "from research_cli.environment.command import *; "
        "print_table([Check('git', 'fail', '1', '2', 'x')])",
    )
    assert "\x1b[1;31mfail" in shown
