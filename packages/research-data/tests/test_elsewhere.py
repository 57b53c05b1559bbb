"""Assets at an address: pushed and pulled whole, going on after a kill, never outside a folder."""

import json
import subprocess
import sys

import pytest
from research_data import (
    DamagedAssetError,
    StoreError,
    UsageError,
    import_asset,
    pull_asset,
    push_asset,
    remove_asset,
)

MANIFEST = ".asset.json"


@pytest.fixture
def asset(tmp_path):
    """An imported asset of two files, one in a folder."""
    own = tmp_path / "own"
    (own / "inner").mkdir(parents=True)
    (own / "rows.csv").write_text("a\n" + "1\n" * 1000)
    (own / "inner" / "more.csv").write_text("a\n2\n")
    return import_asset(own, quiet=True)


def there(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_push_and_pull_give_the_same_bytes(asset, tmp_path):
    address = f"file://{tmp_path}/share"
    pushed = push_asset(asset, address, quiet=True)
    folder = tmp_path / "share" / asset.folder.name
    assert pushed.address == f"file://{folder}"
    assert (pushed.files, pushed.sent) == (2, asset.manifest.size)
    held = there(folder)
    assert held.keys() == {"rows.csv", "inner/more.csv", MANIFEST}
    assert push_asset(asset, str(tmp_path / "share"), quiet=True).sent == 0
    remove_asset(asset)
    pulled = pull_asset(pushed.address, quiet=True)
    assert (pulled.folder, pulled.names) == (asset.folder, ["own"])
    assert {name: there(pulled.folder)[name] for name in asset.manifest.files} == {
        name: held[name] for name in asset.manifest.files
    }
    assert pull_asset(pushed.address, quiet=True) == pulled


def test_a_push_that_was_killed_is_no_whole_one_and_goes_on(asset, tmp_path):
    address = push_asset(asset, str(tmp_path), quiet=True).address
    folder = tmp_path / asset.folder.name
    whole = there(folder)
    # As a kill leaves it: no manifest, a file that didn't get its name, one with other bytes.
    (folder / MANIFEST).unlink()
    token = asset.manifest.files["inner/more.csv"].sha256[:12]
    (folder / "inner" / "more.csv").rename(folder / "inner" / f"more.csv.{token}.partial")
    remove_asset(asset)
    with pytest.raises(StoreError, match=r"has no \.asset\.json"):
        pull_asset(address, quiet=True)
    again = import_asset(tmp_path / "own", quiet=True)
    assert push_asset(again, str(tmp_path), quiet=True).sent == len("a\n2\n")
    whole.pop(MANIFEST)
    assert {name: there(folder).get(name) for name in whole} == whole
    assert there(folder).keys() == {*whole, MANIFEST}
    (folder / "rows.csv").write_bytes(whole["rows.csv"][:-2] + b"3\n")  # damaged there
    assert push_asset(again, str(tmp_path), quiet=True).sent == len(whole["rows.csv"])


def test_a_pull_fetches_only_the_bytes_that_are_missing(asset, tmp_path):
    """The first bytes here are kept: with others there, only the whole file's hash could tell."""
    address = push_asset(asset, str(tmp_path), quiet=True).address
    folder = tmp_path / asset.folder.name
    remove_asset(asset)
    damaged = folder / "rows.csv"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-3] + b"2\n\n")
    with pytest.raises(StoreError, match=r"rows\.csv isn't the file of its manifest"):
        pull_asset(address, quiet=True)
    partial = asset.folder.with_name(f".{asset.folder.name}.partial")
    assert not asset.folder.exists()
    assert there(partial) == {"inner/more.csv": b"a\n2\n"}  # the sound one is kept
    (folder / "inner" / "more.csv").write_bytes(b"gone")  # so it isn't fetched again
    damaged.write_bytes(content)
    assert there(pull_asset(address, quiet=True).folder)["inner/more.csv"] == b"a\n2\n"


@pytest.mark.parametrize("name", ["../x.csv", "/tmp/x.csv", "inner/../../x.csv", ".git/config"])
def test_a_name_from_the_store_never_leaves_its_folder(asset, tmp_path, name):
    address = push_asset(asset, str(tmp_path), quiet=True).address
    remove_asset(asset)
    manifest = tmp_path / asset.folder.name / MANIFEST
    forged = json.loads(manifest.read_text())
    forged["files"][name] = forged["files"]["rows.csv"]
    manifest.write_text(json.dumps(forged))
    before = there(tmp_path)
    with pytest.raises(StoreError, match="refused"):
        pull_asset(address, quiet=True)
    assert there(tmp_path) == before and not asset.folder.exists()


def test_a_damaged_asset_is_not_pushed(asset, tmp_path):
    (asset.folder / "rows.csv").write_text("changed")
    with pytest.raises(DamagedAssetError):
        push_asset(asset, str(tmp_path / "share"), quiet=True)
    assert not (tmp_path / "share").exists()


@pytest.mark.parametrize(
    ("address", "error", "part"),
    [
        ("share", UsageError, "not an address"),
        ("nowhere://bucket/x", UsageError, "no protocol nowhere://"),
        ("s3://", UsageError, "names no bucket"),
        ("s3://bucket/../other", UsageError, "`..`"),
        ("s3://AKIAKEY:hunter2secret@bucket/x", UsageError, "credentials"),
        ("sftp://me:hunter2secret@host/x", UsageError, "credentials"),
        ("abfs://box@host/x?sig=hunter2secret", UsageError, "credentials"),
        ("file:///proc/no", StoreError, "can't be written"),
        ("ftp://127.0.0.1:9/x", StoreError, "can't be reached"),
    ],
)
def test_addresses_that_are_refused_in_a_sentence(asset, address, error, part):
    with pytest.raises(error) as raised:
        push_asset(asset, address, quiet=True)
    assert part in str(raised.value) and "hunter2secret" not in str(raised.value)
    assert raised.value.exit_code == (2 if error is UsageError else 1)


def test_without_the_library_the_message_names_the_extra(tmp_path):
    program = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from research_data.elsewhere.store import open_store\n"
        "try: open_store('s3://bucket/x')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("StoreError") and "research-data[s3]" in done.stdout
