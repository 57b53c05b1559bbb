"""`research-cli paper docker` and `paper cite`: what they write, and that it suffices."""

import re
import shutil
from pathlib import Path

import pytest
from image_steps import do_steps
from research_cli.paper.citation import CITATION, citation_file
from research_cli.paper.docker import docker_files
from research_data import find_workspace
from research_train import Member
from research_train.experiment.workspace_members import workspace_members
from research_train.versions.releases import releases
from research_train.versions.requirements import requirements_of
from ruamel.yaml import YAML
from workspaces import Workspace

ROOT = find_workspace(Path(__file__))
assert ROOT is not None
PAPERS = workspace_members(ROOT, ("paper",))


def test_the_files_of_papers_are_those_that_the_commands_would_write() -> None:
    """Else: `research-cli paper docker NAME --force`, `research-cli paper cite NAME --force`."""
    files = {f: c for paper in PAPERS for f, c in {**docker_files(paper), **cited(paper)}.items()}
    there = {file: file.read_text(encoding="utf-8") for file in files if file.exists()}
    assert [file for file, content in there.items() if content != files[file]] == []
    assert {file.name for file in there} == {file.name for file in files}


def cited(paper: Member) -> dict[Path, str]:
    """Its CITATION.cff, if it has one."""
    return citation_file(paper) if (paper.folder / CITATION).exists() else {}


def test_a_citation_has_what_the_format_asks_for_and_splits_names() -> None:
    [paper] = [each for each in PAPERS if each.name == "superposition"]
    [content] = citation_file(paper).values()
    cited = YAML(typ="safe").load(content)
    # https://github.com/citation-file-format/citation-file-format: the keys that 1.2.0 requires
    assert cited.keys() >= {"cff-version", "title", "message", "authors"}
    work = cited["preferred-citation"]
    assert work.keys() >= {"type", "title", "authors"}
    assert work["authors"][0] == {"given-names": "Nelson", "family-names": "Elhage"}
    assert work["authors"][-1] == {"name": "others"}
    assert (work["year"], work["doi"]) == (2022, "10.48550/arXiv.2209.10652")


@pytest.mark.parametrize(("name", "torch"), [("amsgrad", "cuda"), ("bert-squad", "cpu")])
def test_what_a_dockerfile_copies_suffices_for_its_steps(
    name: str, torch: str, tmp_path: Path
) -> None:
    """uv only says what it would install of others; `train --help` is an import of the copy."""
    [paper] = [each for each in PAPERS if each.name == name]
    module = paper.experiments[name]
    programs, image = tmp_path / "programs", tmp_path / "image"
    programs.mkdir()
    image.mkdir()
    python = (
        f'PYTHONPATH=$(echo packages/*/src papers/{name} | tr " " :) {shutil.which("python")} -P -c'
        f' "import research_train, {module}.config; print(research_train.__file__)"'
    )
    uv = f"{shutil.which('uv')} --offline"
    for program, does in {
        # The index with the CPU builds may be out of reach: what it would be asked for is printed.
        "uv": f"""case "$*" in
            *--torch-backend*) exec cat ;;
            sync*) {uv} venv --quiet && exec {uv} "$@" --dry-run ;;
            *) exec {uv} "$@" ;;
        esac""",
        "train": f"[ $2 = paper-{name} ] && {python} >&2",
    }.items():
        (programs / program).write_text(f"#!/bin/sh\n{does}\n")
        (programs / program).chmod(0o755)
    others, ours = do_steps(
        paper.folder / "docker/Dockerfile", paper.workspace, image, {"TORCH": torch}, programs
    )
    installed = {line.split("==")[0].strip(" +") for line in others.splitlines() if "==" in line}
    needed = {each.name for each in requirements_of(paper.distribution)}
    assert {each for each in needed if not each.startswith("research-")} <= installed
    assert any("nvidia" in each for each in installed) == (torch == "cuda")
    assert not {"pytest", "mypy", *(each.distribution for each in PAPERS)} & installed
    assert f"(from file://{image}/papers/{name})" in ours
    assert ours.rstrip().endswith("packages/research-train/src/research_train/__init__.py")
    there = {path.parent.name for path in image.glob("p*/*/*") if path.name == "src"}
    assert there == set(re.findall(r"\+ (research-\w+)==", ours))
    copied = {path.name for path in (image / "packages").glob("*/releases/*.whl")}
    train = releases(image / "packages/research-train")
    assert [str(each.version) for each in train] == (["0.1.0"] if name == "amsgrad" else [])
    assert all(each.read() for each in train) and len(copied) == len(train) * 3
    assert not list(image.rglob("tests/*.pyc")) and not (image / f"papers/{name}/docker").exists()


def test_a_file_that_somebody_changed_is_kept(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    workspace.add_paper()
    folder = workspace.root / "papers/tiny/docker"

    def docker(*words: str) -> str:
        done = workspace.run("research-cli", "paper", "docker", "tiny", *words)
        assert done.code == code, done.errors
        return done.output + done.errors

    code = 0
    shown = docker("--print")
    assert not folder.exists()
    assert docker().count(": written\n") == 2
    file = folder / "Dockerfile"
    written = file.read_text()
    assert written in shown and "papers/tiny" in written
    file.write_text("FROM scratch\n")
    code = 1
    said = docker()
    assert str(file) in said and "--force" in said
    assert file.read_text() == "FROM scratch\n"
    code = 0
    docker("--force")
    assert file.read_text() == written
