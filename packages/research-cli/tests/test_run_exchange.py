"""`research-cli run export` and `run import`, `run push` and `run pull`: verified on the way in."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from research_train.record.record import compute_seal, read_record
from workspaces import Result, Workspace


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Path, Path]:
    """A workspace, its one run, and the file that it was exported to."""
    folder = tmp_path_factory.mktemp("exported")
    workspace = Workspace(folder / "workspace")
    workspace.add_paper()
    run = workspace.train("--quiet", "tensorboard=true", "--name", "mine").folder
    done = workspace.run("research-cli", "run", "export", "mine", str(folder))
    assert done.code == 0, done.errors
    file, need = done.output.splitlines()
    assert " needs tiny-points@" in need
    return workspace, run, Path(file)


def contents(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def importing(workspace: Workspace, file: Path, outputs: Path) -> Result:
    """Import into an assets folder of its own."""
    return elsewhere(workspace, outputs, "import", str(file))


def elsewhere(workspace: Workspace, outputs: Path, *words: str) -> Result:
    """`research-cli run ...` with an assets folder of its own."""
    environment = workspace.environment
    workspace.environment = environment | {"RESEARCH_ASSETS": str(outputs.parent)}
    try:
        return workspace.run("research-cli", "run", *words)
    finally:
        workspace.environment = environment


def test_a_run_in_one_file(exported: tuple[Workspace, Path, Path], tmp_path: Path) -> None:
    workspace, run, file = exported
    held = contents(file)
    manifest = json.loads(held.pop("manifest.json"))
    sizes = {name: entry["size"] for name, entry in manifest["files"].items()}
    assert sizes == {name: len(content) for name, content in held.items()}
    last = "run/checkpoints/step-00000020/"
    assert {n for n in held if "/checkpoints/" in n} == {
        last + name
        for name in ("manifest.json", "model.safetensors", "optimizer.safetensors", "state.json")
    }
    assert not [name for name in held if "tensorboard" in name or "/." in name]
    outputs = tmp_path / "assets" / "outputs"
    assert importing(workspace, file, outputs).folder == outputs / "tiny" / run.name
    assert (outputs / "tiny" / run.name / "run.json").read_bytes() == held["run/run.json"]
    [source] = (outputs / ".sources").iterdir()
    source.unlink()
    again = importing(workspace, file, outputs)
    assert again.code == 0 and "already here" in again.output
    assert hashlib.sha256(source.read_bytes()).hexdigest() == manifest["source"]
    workspace.environment["RESEARCH_ASSETS"] = str(outputs.parent)
    shown = workspace.run("research-cli", "run", "show", "mine").output
    assert "seal         fits" in shown and "copied" not in shown
    second = workspace.run("research-cli", "run", "export", "mine", str(tmp_path / "second.tar"))
    assert second.code == 0, second.errors
    assert (tmp_path / "second.tar").read_bytes() == file.read_bytes()
    workspace.environment["RESEARCH_ASSETS"] = str(workspace.root / "assets")


def test_a_run_pushed_and_pulled(exported: tuple[Workspace, Path, Path], tmp_path: Path) -> None:
    workspace, run, file = exported
    share, outputs = tmp_path / "share", tmp_path / "assets" / "outputs"
    words = ("research-cli", "run", "push", "mine", f"file://{share}")
    done = workspace.run(*words)
    assert done.code == 0, done.errors
    place = share / "tiny" / run.name
    assert done.output.splitlines()[0] == f"file://{place}"
    held = {p.relative_to(place).as_posix(): p for p in place.rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in held.items()} == contents(file)
    # Half of it, as a kill leaves it: there is no manifest, so there is no run.
    manifest = held["manifest.json"].read_bytes()
    held["manifest.json"].unlink()
    held["run/config.yaml"].unlink()
    elsewhere(workspace, outputs, "pull", str(share)).refused(1, "manifest.json", "push")
    assert list(outputs.rglob("*")) == []
    [again] = json.loads(workspace.run(*words, "--json").output)["runs"]
    assert again["sent"] == (run / "config.yaml").stat().st_size
    assert held["manifest.json"].read_bytes() == manifest
    # A name that leads out of the run's folder.
    held["manifest.json"].write_bytes(manifest.replace(b"run/config.yaml", b"run/../../../x"))
    elsewhere(workspace, outputs, "pull", str(share), "mine").refused(1, "no run 'mine'")
    elsewhere(workspace, outputs, "pull", str(share), run.name).refused(1, "out of its folder")
    held["manifest.json"].write_bytes(manifest)
    assert [path for path in tmp_path.rglob("*x") if path.is_file()] == []
    pulled = elsewhere(workspace, outputs, "pull", str(share), f"tiny/{run.name[:15]}")
    assert pulled.code == 1 and "no run" in pulled.errors
    pulled = elsewhere(workspace, outputs, "pull", str(share), run.name[:15])
    assert pulled.folder == outputs / "tiny" / run.name
    assert (pulled.folder / "run.json").read_bytes() == (run / "run.json").read_bytes()
    assert list((outputs / ".pulls").iterdir()) == []
    assert "already here" in elsewhere(workspace, outputs, "pull", done.output.split()[0]).output
    assert "fits" in elsewhere(workspace, outputs, "show", run.name).output
    # Evidence that is there is never written over.
    record = json.loads(held["run/run.json"].read_text())
    held["run/run.json"].write_text(json.dumps(record | {"seal": "0" * 64}))
    workspace.run(*words).refused(1, "another seal")


def test_words_that_push_refuses(exported: tuple[Workspace, Path, Path], tmp_path: Path) -> None:
    workspace, _, _ = exported
    words = ("research-cli", "run", "push")
    workspace.run(*words, str(tmp_path)).refused(2, "RUN... ADDRESS")
    workspace.run(*words, "mine", "nowhere").refused(2, "not an address")
    secret = workspace.run(*words, "mine", "s3://key:hunter2@bucket/runs")
    secret.refused(2, "credentials")
    assert "hunter2" not in secret.errors + secret.output
    assert list(tmp_path.iterdir()) == []


def test_a_run_as_an_ro_crate_that_rocrate_reads(
    exported: tuple[Workspace, Path, Path], tmp_path: Path
) -> None:
    workspace, run, file = exported
    paper = workspace.root / "papers" / "tiny"
    pyproject = paper / "pyproject.toml"
    before = pyproject.read_text()
    words = ("research-cli", "run", "export", "mine", "--ro-crate", str(tmp_path / "crate"))
    try:
        pyproject.write_text(
            f'{before}\n[tool.research]\ntitle = "Tiny points"\nyear = 2020\narxiv = "2011.14439"\n'
        )
        (paper / "CITATION.cff").write_text(
            "preferred-citation:\n  authors:\n"
            "    - {family-names: Person, given-names: A.}\n    - {name: others}\n"
        )
        done = workspace.run(*words)
        assert done.folder == tmp_path / "crate"
    finally:
        pyproject.write_text(before)
        (paper / "CITATION.cff").unlink()
    workspace.run(*words).refused(2, "exists")
    workspace.run(*words[:4], "x.tar", *words[4:]).refused(2, "--ro-crate")

    from rocrate.rocrate import ROCrate  # here, as every worker of the tests reads this file

    crate = ROCrate(tmp_path / "crate")
    held = {name: content for name, content in contents(file).items() if name != "manifest.json"}
    described = {each.id: each for each in crate.data_entities}
    assert described.keys() == held.keys()
    for name, content in held.items():
        assert (tmp_path / "crate" / name).read_bytes() == content
        assert described[name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert described[name]["contentSize"] == str(len(content))
    record = read_record(run)
    training = crate.root_dataset["mentions"]
    assert (training.type, training["startTime"]) == ("CreateAction", record.started)
    assert training["object"].id == "run/config.yaml"
    assert training["instrument"].type == ["File", "SoftwareSourceCode"]
    measured = {each["name"]: each["value"] for each in crate.get_by_type("PropertyValue")}
    assert measured == record.metrics
    article = crate.root_dataset["about"]
    assert (article.id, article.type) == ("https://arxiv.org/abs/2011.14439", "ScholarlyArticle")
    assert article["name"] == "Tiny points"
    assert [each["name"] for each in article["author"]] == ["A. Person"]


def test_the_model_in_a_folder_for_the_hub(
    exported: tuple[Workspace, Path, Path], tmp_path: Path
) -> None:
    workspace, run, _ = exported
    words = ("research-cli", "run", "export", "mine")
    both = workspace.run(*words, str(tmp_path / "file.tar"), "--hf", str(tmp_path / "model"))
    both.refused(2, "--hf")
    done = workspace.run(*words, "--hf", str(tmp_path / "model"))
    assert done.folder == tmp_path / "model"
    assert "note: transformers has no counterpart" in done.errors
    weights = (run / "checkpoints" / "step-00000020" / "model.safetensors").read_bytes()
    assert (done.folder / "model.safetensors").read_bytes() == weights
    workspace.run(*words, "--hf", str(tmp_path / "model")).refused(2, "exists")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("checkpoints", ["none", "all"])
def test_the_checkpoints_that_go_with_it(
    exported: tuple[Workspace, Path, Path], checkpoints: str, tmp_path: Path
) -> None:
    """The seal fits in each case: it covers the last manifest, which always goes along."""
    workspace, run, _ = exported
    file = tmp_path / "run.tar"
    words = ("run", "export", run.name, str(file), "--checkpoints", checkpoints)
    assert workspace.run("research-cli", *words).code == 0
    held = {name.removeprefix("run/") for name in contents(file) if "/checkpoints/" in name}
    there = {
        path.relative_to(run).as_posix()
        for path in run.glob("checkpoints/*/*")
        if checkpoints == "all" or path.name == "manifest.json"
    }
    assert held == there if checkpoints == "all" else held == {max(there)}
    imported = importing(workspace, file, tmp_path / "assets" / "outputs")
    assert imported.code == 0, imported.errors


def test_exports_that_are_refused(exported: tuple[Workspace, Path, Path], tmp_path: Path) -> None:
    workspace, run, file = exported

    def refused(code: int, *words: str, parts: tuple[str, ...]) -> None:
        workspace.run("research-cli", "run", "export", run.name, *words).refused(code, *parts)
        assert list(tmp_path.iterdir()) == []

    refused(2, str(file), parts=(str(file), "exists"))
    refused(2, str(tmp_path / "no" / "run.tar"), parts=(str(tmp_path / "no"), "doesn't exist"))
    weights = run / "checkpoints" / "step-00000020" / "model.safetensors"
    for path, parts in (
        (weights, (str(weights), "damaged")),
        (run / "metrics.jsonl", ("its seal is broken",)),
        (next((workspace.outputs / ".sources").iterdir()), ("damaged", "sha256")),
    ):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"x")
        refused(1, str(tmp_path), parts=parts)
        path.write_bytes(content)


Change = Callable[[dict[str, bytes], dict[str, Any]], None]


def flip_a_byte(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
    held["run/metrics.jsonl"] = held["run/metrics.jsonl"].replace(b"1", b"2")


def leave_out(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
    del held["run/config.yaml"]


def add_outside(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
    held["../x"] = b"out"


def listing(name: str) -> Change:
    def change(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
        held[name] = b"out"
        manifest["files"][name] = entry_of(b"out")

    return change


def name_the_run(name: str) -> Change:
    def change(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
        manifest["run"] = name

    return change


def better_metrics(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
    flip_a_byte(held, manifest)
    manifest["files"]["run/metrics.jsonl"] = entry_of(held["run/metrics.jsonl"])


def other_code(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
    name = next(name for name in held if name.startswith("source/"))
    held[name] += b"x"
    manifest["files"][name] = entry_of(held[name])


def newer(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["format"] = 2


def entry_of(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def pack(file: Path, held: dict[str, bytes], manifest: dict[str, Any]) -> None:
    with tarfile.open(file, "w") as archive:
        for name, content in {"manifest.json": json.dumps(manifest).encode(), **held}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (flip_a_byte, ["damaged", "run/metrics.jsonl", "sha256"]),
        (leave_out, ["run/config.yaml"]),
        (add_outside, ["'../x'", "manifest.json"]),
        (listing("../x"), ["'../x'", "out of its folder"]),
        (listing("run/../../x"), ["'run/../../x'", "out of its folder"]),
        (listing("/tmp/x"), ["'/tmp/x'", "absolute"]),
        (listing("other/x"), ["'other/x'", "has no file"]),
        (listing("run/.lock"), ["'run/.lock'", "has no file"]),
        (name_the_run("../../x"), ["'../../x'", "name"]),
        (name_the_run("another"), ["run.json", "tiny/"]),
        (better_metrics, ["seal"]),
        (other_code, ["code"]),
        (newer, ["format 2", "up to 1"]),
    ],
)
def test_imports_that_are_refused_leave_nothing(
    exported: tuple[Workspace, Path, Path], tmp_path: Path, change: Change, parts: list[str]
) -> None:
    workspace, _, file = exported
    held = contents(file)
    manifest = json.loads(held.pop("manifest.json"))
    change(held, manifest)
    pack(tmp_path / "changed.tar", held, manifest)
    outputs = tmp_path / "assets" / "outputs"
    importing(workspace, tmp_path / "changed.tar", outputs).refused(1, "changed.tar", *parts)
    assert [*outputs.rglob("*"), *tmp_path.rglob("x")] == []


def test_a_link_a_torn_file_and_a_file_of_something_else(
    exported: tuple[Workspace, Path, Path], tmp_path: Path
) -> None:
    workspace, _, file = exported
    outputs = tmp_path / "assets" / "outputs"
    linked = tmp_path / "linked.tar"
    shutil.copy(file, linked)
    with tarfile.open(linked, "a") as archive:
        entry = tarfile.TarInfo("run/figures")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(entry)
    importing(workspace, linked, outputs).refused(1, "holds 'run/figures'")
    torn = tmp_path / "torn.tar"
    torn.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    importing(workspace, torn, outputs).refused(1, str(torn))
    torn.write_bytes(b"no tar at all")
    importing(workspace, torn, outputs).refused(1, str(torn), "archive")
    importing(workspace, tmp_path / "none.tar", outputs).refused(2, str(tmp_path / "none.tar"))
    assert list(outputs.rglob("*")) == []


def test_another_run_of_that_name_is_not_replaced(
    exported: tuple[Workspace, Path, Path], tmp_path: Path
) -> None:
    workspace, _, file = exported
    outputs = tmp_path / "assets" / "outputs"
    here = importing(workspace, file, outputs).folder
    record = json.loads((here / "run.json").read_text())
    (here / "run.json").write_text(json.dumps(record | {"note": "seen"}))
    importing(workspace, file, outputs).refused(1, str(here), "run.json", "remove")
    assert json.loads((here / "run.json").read_text())["note"] == "seen"


def test_secrets_stay_at_home(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    paper = workspace.add_paper()
    subprocess.run(["git", "init", "-q"], cwd=workspace.root, check=True)
    key = "hf_" + "aB3" * 12  # as long as a token, and nobody's
    (paper / ".env").write_text(f"TOKEN={key}\n")
    run = workspace.train("second", "answer=7").folder
    (run / "figures").mkdir()
    (run / "figures/notes.txt").write_text(f"drawn with {key}\n")
    (run / "figures" / os.fsdecode(b"caf\xe9.txt")).write_text("1\n")
    done = workspace.run("research-cli", "run", "export", run.name, str(tmp_path))
    assert done.code == 0, done.errors
    assert "figures/notes.txt" in done.errors and "not exported" in done.errors
    assert key not in done.errors
    held = contents(tmp_path / f"{run.name}.tar")
    assert not [name for name in held if "figures" in name]
    [source] = [content for name, content in held.items() if name.startswith("source/")]
    assert b"aB3aB3" not in gzip.decompress(source)
    # A run from before they were left out: its archive can't be changed, so it is said.
    [archive] = workspace.outputs.glob(".sources/*")
    record = json.loads((run / "run.json").read_text())
    with tarfile.open(archive, "w:gz") as opened:
        opened.add(paper / ".env", "papers/tiny/.env")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.rename(archive.with_name(f"{digest}.tar.gz"))
    (run / "run.json").write_text(json.dumps({**record, "source": digest}))
    resealed = {**record, "source": digest, "seal": compute_seal(run, read_record(run))}
    (run / "run.json").write_text(json.dumps(resealed))
    done = workspace.run("research-cli", "run", "export", run.name, str(tmp_path / "old.tar"))
    assert "secrets" in done.errors and "papers/tiny/.env" in done.errors
