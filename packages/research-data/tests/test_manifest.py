"""The manifest beside the files of an asset: no loader takes it for data, a forged one is none."""

import json
import os
import shutil
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from research_data import (
    AssetError,
    BrokenAsset,
    DamagedAssetError,
    GeneratedDataset,
    check_asset,
    export_asset,
    find_asset,
    import_asset,
    list_assets,
    load_arrays,
    make_dataset,
    open_dataset,
    pull_dataset,
    verify_asset,
)
from research_data.assets.catalog import show_manifests

NEW, OLD = ".asset.json", "asset.json"


def generate(examples):
    return {"x": np.arange(examples, dtype=np.float32)}


NUMBERS = GeneratedDataset("numbers", generate, {"examples": 5}, "numpy", "CC0-1.0")


def write_images(folder):
    from PIL import Image

    for label in "ab":
        (folder / label).mkdir()
        Image.new("RGB", (4, 4)).save(folder / label / "x.png")


KINDS = {
    "csv": lambda folder: (folder / "rows.csv").write_text("a,b\n1,2\n3,4\n"),
    "json": lambda folder: (folder / "rows.json").write_text('[{"a": 1}, {"a": 2}]'),
    "jsonl": lambda folder: (folder / "rows.jsonl").write_text('{"a": 1}\n{"a": 2}\n'),
    "parquet": lambda folder: pq.write_table(pa.table({"a": [1, 2]}), folder / "rows.parquet"),
    "text": lambda folder: (folder / "rows.txt").write_text("one\ntwo\n"),
    "images": write_images,
}


@pytest.fixture
def rows(tmp_path):
    """An imported asset of one CSV."""
    (tmp_path / "rows.csv").write_text("a\n1\n2\n")
    return import_asset(tmp_path / "rows.csv", quiet=True)


def as_version_0_1_made_it(asset):
    (asset.folder / NEW).rename(asset.folder / OLD)


@pytest.mark.parametrize("kind", KINDS)
def test_datasets_reads_an_assets_folder_as_its_data_alone(tmp_path, kind):
    from datasets import load_dataset

    own = tmp_path / "own"
    own.mkdir()
    KINDS[kind](own)
    folder = import_asset(own, quiet=True).folder
    expected = load_dataset(str(own), cache_dir=str(tmp_path / "cache"))["train"]
    read = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert list(read) == ["train"]
    assert read["train"].column_names == expected.column_names
    assert len(read["train"]) == len(expected) == 2


def test_generated_data_is_no_row_of_its_manifest(tmp_path):
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    folder = make_dataset(NUMBERS)
    with pytest.raises((FileNotFoundError, DatasetNotFoundError)):
        load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert len(load_arrays(folder)["x"]) == 5


def test_an_asset_of_version_0_1_is_read_and_listed_as_ever(rows, tmp_path):
    as_version_0_1_made_it(rows)
    assert check_asset(rows.folder).files.keys() == {"rows.csv"}
    verify_asset(rows.folder)
    assert find_asset("dataset", "rows").folder == rows.folder
    assert open_dataset(rows.folder)["train"]["a"][:] == [1, 2]
    archive = export_asset(rows, tmp_path, quiet=True)
    with tarfile.open(archive) as opened:
        assert opened.getnames()[0].endswith(f"/{NEW}")
    assert import_asset(rows.folder, quiet=True).folder == rows.folder


def test_using_an_asset_of_version_0_1_hides_its_manifest(rows):
    folder = make_dataset(NUMBERS)
    (folder / NEW).rename(folder / OLD)
    make_dataset(NUMBERS)
    as_version_0_1_made_it(rows)
    pull_dataset("rows", offline=True, quiet=True)
    for each in (folder, rows.folder):
        assert not (each / OLD).exists()
        verify_asset(each)


def test_version_0_1_finds_the_assets_that_this_one_made(rows):
    show_manifests()
    assert json.loads((rows.folder / OLD).read_text())["files"].keys() == {"rows.csv"}
    verify_asset(rows.folder)
    pull_dataset("rows", offline=True, quiet=True)
    assert not (rows.folder / OLD).exists()


def test_an_archive_of_version_0_1_is_taken(rows, tmp_path):
    archive = tmp_path / "old.tar"
    with tarfile.open(archive, "w") as opened:
        opened.add(rows.folder / NEW, f"{rows.folder.name}/{OLD}")
        opened.add(rows.folder / "rows.csv", f"{rows.folder.name}/rows.csv")
    shutil.rmtree(rows.folder)
    verify_asset(import_asset(archive, quiet=True).folder)


def test_a_repository_with_a_file_of_that_name_is_refused(hub):
    hub.add("datasets", "org/own", {"asset.json": b"{}", "rows.csv": b"a\n1\n"})
    with pytest.raises(AssetError, match=r"asset\.json"):
        pull_dataset("org/own", quiet=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"repo_id": "other"}, "dataset other@"),
        ({"revision": "f" * 64}, "dataset rows@ffff"),
        ({"kind": "model"}, "model rows@"),
        ({"files": {"../x": {"size": 1, "sha256": "0" * 64}}}, "out of its folder"),
        ({"files": {"x": {"size": -1, "sha256": "0" * 64}}}, "files: x: size"),
        ({"schema": 9}, "schema 9"),
    ],
)
def test_a_forged_manifest_is_listed_as_broken_with_the_reason(rows, change, words):
    path = rows.folder / NEW
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    [broken] = list_assets("dataset")
    assert isinstance(broken, BrokenAsset)
    assert words in broken.reason
    with pytest.raises(AssetError):
        pull_dataset("rows", offline=True, quiet=True)


@pytest.mark.parametrize(
    "content",
    [
        b'{"arguments": ' + b"[" * 100_000,
        b'{"schema": ' + b"9" * 5000,
        b'{"pulled_at": "\xff"}',
        b"\x00" * 100,
        b"",
        b"[]",
    ],
)
@pytest.mark.parametrize("name", [NEW, ".verified.json"])
def test_no_content_of_our_own_files_ends_in_a_traceback(rows, name, content):
    (rows.folder / name).write_bytes(content)
    if name == NEW:
        with pytest.raises(DamagedAssetError):
            check_asset(rows.folder)
    else:
        check_asset(rows.folder)


def test_a_manifest_that_is_a_folder(rows):
    (rows.folder / NEW).unlink()
    (rows.folder / NEW).mkdir()
    with pytest.raises(DamagedAssetError, match="can't be read"):
        check_asset(rows.folder)


def test_what_lies_where_assets_belong_is_said(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("x")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for place, words in ((file, "is a file"), (file / "below", "is a file")):
        monkeypatch.setenv("RESEARCH_ASSETS", str(place))
        with pytest.raises(AssetError, match=words):
            make_dataset(NUMBERS)
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "nowhere"))
    with pytest.raises(AssetError, match="link to nowhere"):
        list_assets("dataset")
    monkeypatch.setenv("RESEARCH_ASSETS", os.fspath(tmp_path / "to" / "be" / "made"))
    make_dataset(NUMBERS)
