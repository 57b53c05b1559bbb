"""Assets on the disk: found, listed, linked, removed, carried over."""

import io
import json
import os
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st
from research_data import (
    Asset,
    AssetError,
    BrokenAsset,
    DamagedAssetError,
    UsageError,
    add_link,
    export_asset,
    find_asset,
    import_asset,
    link_assets,
    list_assets,
    remove_asset,
    unlink_assets,
    verify_asset,
)
from research_data.assets.catalog import disk_size, find_broken
from research_data.assets.manifest import check_file_names
from research_data.assets.names import name_asset
from research_data.assets.users import users_of
from research_data.assets.verify import sha256_of


@pytest.fixture
def rows(tmp_path):
    """Files of one's own, imported."""
    folder = tmp_path / "mine"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.csv").write_text("x,y\n1,2\n")
    (folder / "sub" / "b.csv").write_text("x,y\n3,4\n")
    return import_asset(folder, name="rows", quiet=True)


def visible(folder):
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def edit_manifest(asset, **changes):
    path = asset.folder / ".asset.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))


def paper(tmp_path, monkeypatch, name="squad", needs=""):
    """A paper's folder in a workspace."""
    root = tmp_path / "workspace"
    folder = root / "papers" / name
    folder.mkdir(parents=True)
    (root / "pyproject.toml").write_text("[tool.uv.workspace]\nmembers = ['papers/*']\n")
    (folder / "pyproject.toml").write_text(f"[tool.research]\n{needs}\n")
    monkeypatch.setattr("research_data.assets.users.this_workspace", lambda: root)
    return folder


def test_own_files_are_an_asset_keyed_by_their_content(rows, tmp_path):
    assert rows.manifest.source == "local"
    assert rows.names == ["rows"]
    assert set(rows.manifest.files) == {"a.csv", "sub/b.csv"}
    again = import_asset(tmp_path / "mine", name="rows", quiet=True)
    assert again.folder == rows.folder
    (tmp_path / "mine" / "a.csv").write_text("x,y\n1,3\n")
    changed = import_asset(tmp_path / "mine", name="rows", quiet=True)
    assert changed.folder != rows.folder
    assert find_asset("dataset", "rows").folder == changed.folder
    assert (tmp_path / "mine" / "a.csv").exists()


def test_an_unknown_name_or_revision_is_refused_with_the_nearest(rows):
    with pytest.raises(UsageError, match=r"dataset 'rosw'.* rows\b"):
        find_asset("dataset", "rosw")
    with pytest.raises(UsageError, match=r"other revisions.*: rows@"):
        find_asset("dataset", "rows@0000000")


def test_a_damaged_manifest_is_listed_and_named(rows):
    (rows.folder / ".asset.json").write_text("{")
    [listed] = list_assets("dataset")
    assert isinstance(listed, BrokenAsset)
    with pytest.raises(DamagedAssetError):
        find_asset("dataset", "rows")


@pytest.mark.parametrize(
    "files",
    [
        {"../x": {"size": 1, "sha256": "0" * 64}},
        {"a": {"size": -1, "sha256": "0" * 64}},
        {"a": {"size": 1, "sha256": "0" * 63}},
        {"a": 1},
        [],
        None,
    ],
)
def test_a_manifest_that_lies_about_files_is_damage(rows, files):
    edit_manifest(rows, files=files)
    with pytest.raises(DamagedAssetError):
        verify_asset(rows.folder)


def test_a_symlink_in_place_of_a_file_is_damage(rows, tmp_path):
    outside = tmp_path / "outside.csv"
    outside.write_bytes((rows.folder / "a.csv").read_bytes())
    (rows.folder / "a.csv").unlink()
    (rows.folder / "a.csv").symlink_to(outside)
    with pytest.raises(DamagedAssetError, match="not a plain file"):
        verify_asset(rows.folder)


def test_removing_frees_what_it_says_and_takes_the_name_along(rows):
    size = disk_size(rows.folder)
    assert remove_asset(rows) == size
    assert visible(rows.folder.parent) == set()


def test_a_name_goes_on_to_the_revision_that_is_left(rows, tmp_path):
    (tmp_path / "mine" / "a.csv").write_text("x,y\n1,3\n")
    changed = import_asset(tmp_path / "mine", name="rows", quiet=True)
    remove_asset(changed)
    assert find_asset("dataset", "rows").folder == rows.folder


def test_an_asset_that_a_paper_uses_is_removed_only_by_force(rows, tmp_path, monkeypatch):
    folder = paper(tmp_path, monkeypatch)
    link_assets(folder, {"rows": rows.folder})
    assert users_of([rows.folder]) == {rows.folder: ["squad"]}
    with pytest.raises(UsageError, match="used by squad"):
        remove_asset(rows)
    assert rows.folder.exists()
    remove_asset(rows, force=True)
    assert not rows.folder.exists()


def test_a_need_counts_as_use_without_a_link(rows, tmp_path, monkeypatch):
    key = rows.manifest.revision[:12]
    paper(tmp_path, monkeypatch, needs=f'datasets = ["rows@{key}"]')
    assert users_of([rows.folder]) == {rows.folder: ["squad"]}


def test_links_one_two_and_none(rows, tmp_path, monkeypatch):
    folder = paper(tmp_path, monkeypatch)
    other = import_asset(tmp_path / "mine" / "a.csv", name="other", quiet=True)
    [link] = add_link(folder, "rows", rows.folder)
    assert link == folder / "data"
    assert link.readlink().is_absolute()  # assets lie outside this workspace
    links = add_link(folder, "other", other.folder)
    assert [path.relative_to(folder).as_posix() for path in links] == ["data/other", "data/rows"]
    assert (folder / "data" / "rows").resolve() == rows.folder
    unlink_assets(folder, "other")
    assert [path.name for path in (folder / "data").iterdir()] == ["rows"]
    add_link(folder, "rows", rows.folder)
    assert (folder / "data").is_symlink()
    unlink_assets(folder)
    assert not os.path.lexists(folder / "data")
    assert rows.folder.exists()
    with pytest.raises(UsageError, match=f"{folder}.* asset"):
        unlink_assets(folder)


def test_links_inside_the_workspace_are_relative(tmp_path, monkeypatch):
    folder = paper(tmp_path, monkeypatch)
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "workspace" / "assets"))
    (tmp_path / "a.csv").write_text("x\n1\n")
    asset = import_asset(tmp_path / "a.csv", quiet=True)
    [link] = link_assets(folder, {"a": asset.folder})
    assert str(link.readlink()) == f"../../assets/datasets/{asset.folder.name}"


def test_trainings_that_start_together_make_the_same_link(tmp_path):
    target = tmp_path / "datasets" / "rows@1"
    target.mkdir(parents=True)
    together = Barrier(4)

    def link(folder):
        together.wait(60)
        return link_assets(folder, {"rows": target})

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that each is often interrupted by the others
    try:
        with ThreadPoolExecutor(4) as pool:
            for number in range(60):
                folder = tmp_path / f"member-{number}"
                folder.mkdir()
                made = list(pool.map(link, [folder] * 4))
                assert made == [[folder / "data"]] * 4
                assert [path.name for path in folder.iterdir()] == ["data"]
    finally:
        sys.setswitchinterval(interval)


def test_a_real_data_folder_is_never_replaced(rows, tmp_path, monkeypatch):
    folder = paper(tmp_path, monkeypatch)
    (folder / "data").mkdir()
    (folder / "data" / "mine.csv").write_text("1\n")
    with pytest.raises(AssetError, match=f"{folder / 'data'} .*folder"):
        link_assets(folder, {"rows": rows.folder})
    with pytest.raises(UsageError):
        unlink_assets(folder)
    assert (folder / "data" / "mine.csv").read_text() == "1\n"


def test_an_exported_asset_comes_back_whole(rows, tmp_path, monkeypatch):
    archive = export_asset(rows, tmp_path, quiet=True)
    assert archive.name == f"{rows.folder.name}.tar"
    with pytest.raises(UsageError, match="exists"):
        export_asset(rows, tmp_path, quiet=True)
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "another"))
    asset = import_asset(archive, quiet=True)
    assert asset.manifest.files == rows.manifest.files
    assert asset.folder.is_relative_to(tmp_path / "another")
    assert find_asset("dataset", "rows").folder == asset.folder
    verify_asset(asset.folder)
    assert import_asset(archive, quiet=True).folder == asset.folder


def test_a_folder_copied_by_hand_is_imported(rows, tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "another"))
    assert import_asset(rows.folder, quiet=True).manifest.revision == rows.manifest.revision


def test_a_damaged_asset_is_not_exported(rows, tmp_path):
    (rows.folder / "a.csv").write_text("x,y\n1,9\n")
    with pytest.raises(DamagedAssetError):
        export_asset(rows, tmp_path / "out.tar", quiet=True)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def _with_member(archive, name, content=b"evil", kind=tarfile.REGTYPE, link=""):
    with tarfile.open(archive, "a") as opened:
        info = tarfile.TarInfo(name)
        info.size, info.type, info.linkname = len(content), kind, link
        opened.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../evil", tarfile.REGTYPE),
        ("/tmp/evil-of-a-test", tarfile.REGTYPE),
        ("ROOT/extra.csv", tarfile.REGTYPE),
        ("ROOT/link", tarfile.SYMTYPE),
    ],
)
def test_an_archive_with_more_than_its_manifest_lists_is_refused(
    rows, tmp_path, monkeypatch, name, kind
):
    archive = export_asset(rows, tmp_path, quiet=True)
    _with_member(archive, name.replace("ROOT", rows.folder.name), kind=kind, link="/etc/passwd")
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "another"))
    with pytest.raises(AssetError, match=rf"{archive.name} .*asset\.json"):
        import_asset(archive, quiet=True)
    assert visible(tmp_path / "another" / "datasets") == set()
    assert not Path("/tmp/evil-of-a-test").exists()


def test_an_archive_with_one_byte_flipped_or_cut_is_refused(rows, tmp_path, monkeypatch):
    archive = export_asset(rows, tmp_path, quiet=True)
    content = archive.read_bytes()
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "another"))
    archive.write_bytes(content.replace(b"x,y\n1,2\n", b"x,y\n1,8\n"))
    with pytest.raises(AssetError, match="is damaged"):
        import_asset(archive, quiet=True)
    archive.write_bytes(content[: content.rindex(b"x,y\n3,4\n") - 512])
    with pytest.raises(AssetError):
        import_asset(archive, quiet=True)
    assert visible(tmp_path / "another" / "datasets") == set()


def test_a_model_archive_is_no_dataset(rows, tmp_path):
    archive = export_asset(rows, tmp_path, quiet=True)
    with pytest.raises(UsageError, match="holds a dataset"):
        import_asset(archive, "model", quiet=True)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=4))
def test_names_that_pass_stay_in_their_folder_and_apart(names):
    try:
        check_file_names(names)
    except AssetError:
        return
    root = "/assets/folder"
    paths = [os.path.normpath(os.path.join(root, name)) for name in names]  # noqa: PTH118
    assert all(path.startswith(f"{root}/") for path in paths)
    assert len({path.casefold() for path in paths}) == len(names)


@given(st.binary(max_size=3000))
def test_hashing_counts_every_byte_once(content):
    import hashlib
    import tempfile

    counted = []
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        assert sha256_of(Path(file.name), counted.append) == hashlib.sha256(content).hexdigest()
    assert sum(counted) == len(content)


def test_listing_tells_assets_from_links_and_leftovers(rows):
    (rows.folder.parent / ".something@1.partial").mkdir()
    (rows.folder.parent / "notes.txt").write_text("mine")
    assert [asset.folder for asset in list_assets("dataset")] == [rows.folder]
    assert isinstance(list_assets("dataset")[0], Asset)


@pytest.mark.parametrize(
    "changes",
    [
        {"repo_id": ".."},
        {"repo_id": "x\u0000y"},
        {"repo_id": "n" * 300},
        {"configs": {"a": {"train": ["/etc/passwd"]}}},
        {"revision": "../../x"},
    ],
)
def test_a_manifest_that_leads_elsewhere_is_damage(rows, changes):
    edit_manifest(rows, **changes)
    with pytest.raises(DamagedAssetError):
        verify_asset(rows.folder)


def test_a_folder_that_became_a_link_is_damage(rows, tmp_path):
    (rows.folder / "sub").rename(tmp_path / "sub")
    (rows.folder / "sub").symlink_to(tmp_path / "sub")
    with pytest.raises(DamagedAssetError, match=r"sub.* plain file"):
        verify_asset(rows.folder)


def test_a_link_in_an_imported_folder_is_refused(tmp_path):
    folder = tmp_path / "linked"
    folder.mkdir()
    (folder / "rows.csv").write_text("a\n1\n")
    (folder / "secret.csv").symlink_to("/etc/passwd")
    with pytest.raises(AssetError, match=r"secret\.csv.* link"):
        import_asset(folder, quiet=True)


def test_a_name_is_never_taken_from_another(rows, tmp_path):
    (tmp_path / "other.csv").write_text("a\n1\n")
    other = import_asset(tmp_path / "other.csv", quiet=True)
    with pytest.raises(UsageError, match=r"'rows'.* rows@"):
        name_asset(other, "rows")
    assert find_asset("dataset", "rows").folder == rows.folder
    (rows.folder.parent / "notes").write_text("mine")
    with pytest.raises(UsageError, match=r"notes.* file"):
        import_asset(tmp_path / "other.csv", name="notes", quiet=True)
    with pytest.raises(UsageError, match=r"Rows.* case"):
        import_asset(tmp_path / "other.csv", name="Rows", quiet=True)
    shown = {"rows", rows.folder.name, "notes", "other", other.folder.name}
    assert visible(rows.folder.parent) == shown


def test_a_link_that_the_user_made_is_kept(rows, tmp_path, monkeypatch):
    folder = paper(tmp_path, monkeypatch)
    (folder / "data").mkdir()
    (folder / "data" / "raw").symlink_to(tmp_path)
    with pytest.raises(AssetError, match="real folder"):
        add_link(folder, "rows", rows.folder)
    (tmp_path / "mine" / "a.csv").write_text("x\n9\n")
    other = import_asset(tmp_path / "mine", name="other", quiet=True)
    link_assets(folder, {"rows": rows.folder, "other": other.folder})
    link_assets(folder, {"rows": rows.folder, "third": other.folder})
    assert {path.name for path in (folder / "data").iterdir()} == {"raw", "rows", "third"}
    unlink_assets(folder)
    assert [path.name for path in (folder / "data").iterdir()] == ["raw"]
    (folder / "data" / "raw").unlink()
    with pytest.raises(AssetError, match="real folder"):  # an empty one may be of use to someone
        link_assets(folder, {"rows": rows.folder})
    (folder / "data").rmdir()
    (folder / "data").symlink_to(tmp_path / "gone")
    with pytest.raises(AssetError, match=f"{folder / 'data'} .*link"):
        link_assets(folder, {"rows": rows.folder})


def test_an_archive_that_claims_what_it_does_not_hold(rows, tmp_path, monkeypatch):
    archive = export_asset(rows, tmp_path, quiet=True)
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "another"))
    content = archive.read_bytes()
    archive.write_bytes(b"x" + content[1:])
    with pytest.raises(AssetError, match="not a complete archive"):
        import_asset(archive, quiet=True)
    sparse = tmp_path / "sparse.tar"
    with tarfile.open(archive.with_name("good.tar"), "w") as good, tarfile.open(sparse, "w") as bad:
        for opened in (good, bad):
            for name in (".asset.json", "a.csv", "sub/b.csv"):
                body = (rows.folder / name).read_bytes()
                info = tarfile.TarInfo(f"{rows.folder.name}/{name}")
                info.size = len(body)
                if opened is bad and name == "a.csv":
                    body = bytes(100_000)
                    info.size = len(body)
                opened.addfile(info, io.BytesIO(body))
    with pytest.raises(AssetError, match=rf"{sparse.name} .*asset\.json"):
        import_asset(sparse, quiet=True)
    assert visible(tmp_path / "another" / "datasets") == set()
    assert import_asset(archive.with_name("good.tar"), quiet=True).names == ["rows"]


def test_what_cannot_be_read_is_removed_by_name(rows):
    (rows.folder / ".asset.json").write_text("{")
    broken = find_broken("dataset", "rows", None)
    remove_asset(broken)
    assert visible(rows.folder.parent) == set()
