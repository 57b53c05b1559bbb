"""Pulling from a hub: the real clients against a real server, whatever that server does."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from hub_server import TOKEN
from research_data import (
    Asset,
    AssetError,
    DamagedAssetError,
    HubError,
    UsageError,
    check_asset,
    find_asset,
    import_asset,
    pull_dataset,
    pull_model,
    remove_asset,
    repair_asset,
    verify_asset,
)
from research_data.assets.manifest import read_manifest
from research_data.assets.removal import leftovers, remove_leftovers
from research_data.hub.address import redact
from research_data.hub.plan import Request, plan_pull

from .conftest import squad_files


def visible(folder):
    """Everything in a folder but what is hidden."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def flip(path, at=10):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_dataset_lies_under_its_id_and_commit_with_its_files_verbatim(hub):
    asset = pull_dataset("squad", quiet=True)
    assert asset.folder == hub.assets / "datasets" / f"rajpurkar--squad@{hub.squad[:12]}"
    assert (hub.assets / "datasets" / "squad").readlink().name == asset.folder.name
    source = hub.root / "datasets" / "rajpurkar" / "squad" / hub.squad
    files = {p.relative_to(source).as_posix(): p for p in source.rglob("*") if p.is_file()}
    manifest = json.loads((asset.folder / ".asset.json").read_text())
    assert manifest["files"].keys() == files.keys()
    for name, path in files.items():
        content = (asset.folder / name).read_bytes()
        assert content == path.read_bytes()
        assert manifest["files"][name]["size"] == len(content)
        assert manifest["files"][name]["sha256"] == hashlib.sha256(content).hexdigest()
    assert manifest["repo_id"] == "rajpurkar/squad"
    assert manifest["revision"] == hub.squad
    assert manifest["licence"] == "cc-by-sa-4.0"
    assert manifest["schema"] == 1


def test_one_copy_is_on_disk_and_nothing_is_left_of_the_client(hub, tmp_path):
    asset = pull_dataset("squad", quiet=True)
    stored = asset.manifest.size
    on_disk = sum(p.lstat().st_size for p in hub.assets.rglob("*") if p.is_file())
    assert on_disk - stored < 10_000  # the manifest and the stamps
    cached = [p for p in (tmp_path / "hf-home").rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in cached) == 0
    assert visible(asset.folder) == {"README.md", "plain_text", "short"}
    assert not (asset.folder / ".cache").exists()


def test_a_second_pull_makes_no_request(hub):
    first = pull_dataset("squad", quiet=True)
    hub.server.clear()
    for name in ("squad", "rajpurkar/squad", f"squad@{hub.squad[:8]}", first.folder.name):
        assert pull_dataset(name, quiet=True).folder == first.folder
    assert hub.requests() == []


def test_a_touched_file_is_hashed_and_a_damaged_one_fetched_alone(hub, capfd):
    asset = pull_dataset("squad", quiet=True)
    hub.server.clear()
    (asset.folder / "README.md").touch()
    pull_dataset("squad", quiet=True)
    assert hub.requests() == []
    file = asset.folder / "short" / "train-00000-of-00001.parquet"
    sound = file.read_bytes()
    flip(file)
    pull_dataset("squad")
    assert file.read_bytes() == sound
    said = capfd.readouterr().err
    assert "damaged" in said and "again: short/train-00000-of-00001.parquet" in said
    fetched = [path for method, path in hub.requests() if method == "GET" and "_cdn" in path]
    assert len(fetched) == 1
    verify_asset(asset.folder)


def test_two_revisions_live_side_by_side_and_the_name_is_on_the_last_asked_for(hub):
    old = pull_dataset("squad", quiet=True)
    new_commit = hub.add(
        "datasets", "rajpurkar/squad", {"README.md": b"new", "rows.csv": b"a\n1\n"}
    )
    assert pull_dataset("squad", quiet=True).folder == old.folder  # it is here
    new = pull_dataset("squad", update=True, quiet=True)
    assert new.manifest.revision == new_commit
    assert (hub.assets / "datasets" / "squad").resolve() == new.folder
    again = pull_dataset(f"squad@{hub.squad}", quiet=True)
    assert again.folder == old.folder
    assert (hub.assets / "datasets" / "squad").resolve() == old.folder
    assert find_asset("dataset", f"squad@{new_commit[:9]}").folder == new.folder


def test_a_branch_a_tag_and_the_first_digits_of_a_commit(hub):
    hub.add("datasets", "rajpurkar/squad", {"rows.csv": b"a\n1\n"}, branch="v1")
    tagged = pull_dataset("squad@v1", quiet=True)
    assert set(tagged.manifest.files) == {"rows.csv"}
    assert tagged.manifest.requested_revision == "v1"
    main = pull_dataset(f"squad@{hub.squad[:7]}", quiet=True)
    assert main.manifest.revision == hub.squad


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("squid", ["no dataset 'squid'", "private"]),
        ("squad@v9", ["no revision 'v9'", "main"]),
        ("squad@abcdef12345", ["no revision", "main"]),
        ("../squad", ["'../squad'"]),
        ("squad@", ["NAME@REVISION"]),
        ("a/b/c", ["'a/b/c'"]),
        ("n" * 300, ["long"]),
    ],
)
def test_an_unknown_dataset_or_revision_is_refused_and_leaves_no_file(hub, name, words):
    with pytest.raises(UsageError) as caught:
        pull_dataset(name, quiet=True)
    for word in words:
        assert word in str(caught.value)
    assert not hub.assets.exists() or visible(hub.assets / "datasets") == set()


def test_a_part_is_pulled_and_the_rest_added(hub):
    code = """
    import sys
    from research_data import pull_dataset, open_dataset, UsageError
    part = pull_dataset("squad", ["short"], quiet=True)
    assert set(part.manifest.files) == {"README.md", "short/train-00000-of-00001.parquet"}
    assert open_dataset(part.folder)["train"]["z"][:] == [1.5, 2.5]
    for config, split, words in (("long", None, "plain_text, short"),
                                 ("short", "test", "It has train")):
        try:
            pull_dataset("squad", [config], [split] if split else [], quiet=True)
        except UsageError as error:
            assert words in str(error), error
        else:
            raise AssertionError(config)
    one = pull_dataset("squad", ["plain_text"], ["validation"], quiet=True)
    assert one.folder == part.folder
    assert list(open_dataset(one.folder, "plain_text")) == ["validation"]
    assert len(open_dataset(one.folder, "short")["train"]) == 2
    whole = pull_dataset("squad", quiet=True)
    assert whole.manifest.configs == {}
    assert len(open_dataset(whole.folder, "plain_text")["train"]) == 80
    print("done")
    """
    result = hub.python(code)
    assert result.stdout == "done\n", result.stderr
    assert result.stderr == ""


def test_a_model_comes_without_pickles(hub):
    asset = pull_model("bert", quiet=True)
    assert set(asset.manifest.files) == {
        "README.md", "config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"
    }  # fmt: skip
    assert asset.folder.parent == hub.assets / "models"
    more = pull_model("bert", ["onnx/*"], quiet=True)
    assert more.folder == asset.folder
    assert "onnx/model.onnx" in more.manifest.files
    for pattern in ("*.bin", "pytorch_model*", "*"):
        with pytest.raises(UsageError, match="run code"):
            pull_model("bert", [pattern], quiet=True)
    with pytest.raises(UsageError, match=r"'\*\.gguf'.*google/bert"):
        pull_model("bert", ["*.gguf"], quiet=True)


def test_a_model_of_pickles_alone_is_refused(hub):
    hub.add("models", "org/old", {"config.json": b"{}", "pytorch_model.bin": b"x"})
    with pytest.raises(AssetError, match=r"safetensors.*pytorch_model\.bin"):
        pull_model("org/old", quiet=True)
    assert not (hub.assets / "models").exists()


def test_a_dataset_that_needs_code_is_refused(hub):
    hub.add("datasets", "org/coded", {"coded.py": b"raise SystemExit", "rows.zip": b"x"})
    with pytest.raises(AssetError, match=r"code.*coded\.py"):
        pull_dataset("org/coded", quiet=True)


GIT = "git or another tool"  # reads it
RESERVED = "keeps for itself"  # this package, for its own files


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("../x", "out of its folder"),
        ("/etc/x", "absolute"),
        ("a/../../x", "out of its folder"),
        ("a\\..\\x", "Windows path"),
        ("C:x", "Windows path"),
        ("n" * 300, "255 bytes"),
        ("readme.MD", "readme.MD.* case"),
        ("README.md/x", "README.md.* folder"),
        ("asset.json", RESERVED),
        (".asset.json", RESERVED),
        (".ASSET.json. ", RESERVED),
        (".git/config", GIT),
        ("sub/.Git/hooks/post-checkout", GIT),
        (".git", GIT),
        ("git~1/config", GIT),
        (".git. /config", GIT),
        (".git::$INDEX_ALLOCATION/config", GIT),
        (".g\u200cit/config", GIT),
        (".hg/hgrc", GIT),
        (".venv/bin/python", GIT),
        ("pyproject.toml", "uv run"),
        ("a\nb", "control characters"),
        ("", "empty"),
    ],
)
def test_hostile_file_names_are_refused_before_anything_is_written(hub, extra, words):
    hub.add("datasets", "org/evil", {"README.md": b"x", "rows.csv": b"a\n1\n"})
    entry = {"type": "file", "path": extra, "size": 3, "oid": "0" * 40}
    listing = hub.root / "datasets" / "org" / "evil" / "extra_tree.json"
    listing.write_text(json.dumps([entry]))
    with pytest.raises(AssetError, match=words):
        pull_dataset("org/evil", quiet=True)
    assert not hub.assets.exists()


def test_hidden_files_that_many_datasets_have_come_with_them(hub):
    names = {".gitattributes", ".gitignore", "code/pyproject.toml"}
    files = dict.fromkeys(names, b"x") | {"rows.csv": b"a\n1\n"}
    hub.add("datasets", "org/usual", files)
    assert pull_dataset("org/usual", quiet=True).manifest.files.keys() == files.keys()


def test_gated_says_what_to_do_and_a_token_opens_it(hub, monkeypatch, capfd):
    hub.add("datasets", "org/gated", {"rows.csv": b"a\n1\n"}, gated="manual")
    with pytest.raises(HubError) as caught:
        pull_dataset("org/gated", quiet=True)
    assert f"{hub.server.url}/datasets/org/gated" in str(caught.value)
    assert "hf auth login" in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    asset = pull_dataset("org/gated")
    texts = [p.read_text(errors="replace") for p in hub.assets.rglob("*") if p.is_file()]
    for text in (*texts, *capfd.readouterr()):
        assert "hf_testtoken" not in text
    assert asset.manifest.files.keys() == {"rows.csv"}


def test_a_repository_that_is_not_found_may_be_private(hub):
    hub.add("datasets", "org/private", {"rows.csv": b"a\n1\n"}, private=True)
    with pytest.raises(UsageError, match=r"org/private.* private"):
        pull_dataset("org/private", quiet=True)


def test_offline_makes_no_request(hub, monkeypatch):
    asset = pull_dataset("squad", quiet=True)
    hub.server.clear()
    assert pull_dataset("squad", offline=True, quiet=True).folder == asset.folder
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert pull_dataset(f"squad@{hub.squad}", quiet=True).folder == asset.folder
    other = "a" * 40
    with pytest.raises(HubError) as caught:
        pull_dataset(f"squad@{other}", quiet=True)
    assert asset.folder.name in str(caught.value)
    with pytest.raises(HubError, match="export"):
        pull_dataset("glue", quiet=True)
    flip(asset.folder / "README.md")
    with pytest.raises(DamagedAssetError, match=r"README\.md is damaged"):
        pull_dataset("squad", quiet=True)
    assert hub.requests() == []


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("cut", {"after": 300}),
        ("status", {"status": 500}),
        ("status", {"status": 503}),
        ("status", {"status": 429, "retry_after": 1}),
        ("flip", {"byte": 20}),
        ("short", {}),
    ],
)
@pytest.mark.parametrize("pattern", ["_cdn/", "resolve/", "/api/datasets/.*tree"])
def test_a_fault_that_passes_is_survived(hub, fault, options, pattern):
    hub.server.fault(pattern, fault, times=1, **options)
    asset = pull_dataset("squad", quiet=True)
    verify_asset(asset.folder)
    assert len(asset.manifest.files) == 5


@pytest.mark.parametrize(
    ("pattern", "fault", "options", "words"),
    [
        ("_cdn/", "flip", {"byte": 20}, "parquet arrived 3 times"),
        ("_cdn/", "status", {"status": 403}, "403"),
        ("resolve/.*rows.csv", "flip", {"byte": 2}, "rows.csv arrived 3 times"),
        ("/api/datasets", "status", {"status": 500}, "500"),
        ("/api/datasets", "down", {}, "can't be reached"),
    ],
)
def test_a_fault_that_stays_ends_the_pull_with_a_sentence(hub, pattern, fault, options, words):
    files = {"rows.csv": b"a\n1\n", **squad_files()}
    hub.add("datasets", "rajpurkar/squad", files)
    hub.server.fault(pattern, fault, **options)
    with pytest.raises(HubError) as caught:
        pull_dataset("squad", quiet=True)
    message = str(caught.value)
    assert words in message
    assert "SECRET-SIGNATURE" not in message
    assert visible(hub.assets / "datasets") == set() if hub.assets.exists() else True
    hub.server.clear_faults()
    verify_asset(pull_dataset("squad", quiet=True).folder)


def test_no_signed_address_in_what_is_printed(hub, capfd):
    hub.server.fault("_cdn/", "cut", times=2, after=300)
    pull_dataset("squad")
    printed = "".join(capfd.readouterr())
    assert "SECRET-SIGNATURE" not in printed


PULL = """
import signal
from research_data import pull_dataset
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where tests run
pull_dataset('squad', quiet=True)
"""


def test_an_interrupted_pull_keeps_the_files_it_finished(hub):
    folder = hub.root / "datasets/rajpurkar/squad" / hub.squad / "plain_text"
    slow = hashlib.sha256((folder / "validation-00000-of-00001.parquet").read_bytes()).hexdigest()
    hub.server.fault(f"_cdn/{slow}", "slow", bytes_per_second=20)
    process = subprocess.Popen([sys.executable, "-c", PULL], env=os.environ.copy())
    datasets = hub.assets / "datasets"
    while len(list(datasets.glob(".*.partial/*/*.parquet"))) < 3:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(10) != 0
    assert visible(datasets) == set()
    hub.server.clear_faults()
    hub.server.clear()
    asset = pull_dataset("squad", quiet=True)
    fetched = [path for method, path in hub.requests() if method == "GET" and "_cdn" in path]
    assert [slow in path for path in fetched] == [True]
    verify_asset(asset.folder)
    assert not list(datasets.glob(".*.partial"))


def test_several_processes_end_with_one_sound_copy(hub):
    hub.server.fault("_cdn/", "slow", bytes_per_second=4000)
    processes = [
        subprocess.Popen([sys.executable, "-c", PULL], env=os.environ.copy()) for _ in range(4)
    ]
    assert [process.wait(120) for process in processes] == [0] * 4
    assert visible(hub.assets / "datasets") == {"squad", f"rajpurkar--squad@{hub.squad[:12]}"}
    verify_asset(find_asset("dataset", "squad").folder)
    fetched = [path for method, path in hub.requests() if method == "GET" and "_cdn" in path]
    assert len(fetched) == 4  # once each, by whoever was first


@pytest.mark.parametrize("after", [0.0, 0.15, 0.3, 0.6, 1.0])
def test_a_killed_pull_leaves_nothing_that_looks_whole_and_goes_on(hub, after):
    hub.server.fault("_cdn/", "slow", bytes_per_second=700)
    process = subprocess.Popen([sys.executable, "-c", PULL], env=os.environ.copy())
    datasets = hub.assets / "datasets"
    while not list(datasets.glob(".*.partial")):  # past the imports
        assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(after)
    process.kill()
    process.wait()
    assert visible(datasets) == set()
    hub.server.clear_faults()
    verify_asset(pull_dataset("squad", quiet=True).folder)
    assert not list(datasets.glob(".*.partial"))


def test_repair_fetches_only_what_is_damaged(hub):
    asset = pull_dataset("squad", quiet=True)
    assert repair_asset(asset, quiet=True) == []
    file = asset.folder / "short" / "train-00000-of-00001.parquet"
    sound = file.read_bytes()
    flip(file)
    (asset.folder / "README.md").unlink()
    hub.server.clear()
    names = repair_asset(asset, quiet=True)
    assert names == ["README.md", "short/train-00000-of-00001.parquet"]
    assert file.read_bytes() == sound
    assert len([p for m, p in hub.requests() if m == "GET" and "_cdn" in p]) == 1


def test_a_truncated_file_and_a_missing_manifest(hub):
    asset = pull_dataset("squad", quiet=True)
    file = asset.folder / "short" / "train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedAssetError, match=r"bytes, \.asset\.json says"):
        verify_asset(asset.folder)
    (asset.folder / ".asset.json").unlink()
    with pytest.raises(DamagedAssetError, match=r"\.asset\.json is missing"):
        verify_asset(asset.folder)
    verify_asset(pull_dataset("squad", quiet=True).folder)


def test_a_manifest_of_a_newer_version_is_refused(hub):
    asset = pull_dataset("squad", quiet=True)
    path = asset.folder / ".asset.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 9'))
    with pytest.raises(AssetError, match="schema 9"):
        verify_asset(asset.folder)


def test_size_limits_and_a_plan(hub):
    with pytest.raises(AssetError, match=r"\b1\.0 kB"):
        pull_dataset("squad", max_size=1000, quiet=True)
    plan = plan_pull(Request("dataset", "squad"))
    assert plan.missing_size == plan.size > 1000
    assert not hub.assets.exists()
    pull_dataset("squad", max_size=plan.size, quiet=True)
    assert isinstance(plan_pull(Request("dataset", "squad")), Asset)
    assert plan_pull(Request("dataset", "squad"), update=True).missing == ()


def test_names_that_differ_only_by_case_are_refused(hub):
    pull_dataset("squad", quiet=True)
    hub.add("datasets", "org/other", {"rows.csv": b"a\n1\n"}, aliases=["SQuAD"])
    with pytest.raises(UsageError, match=r"SQuAD.* case"):
        pull_dataset("SQuAD", quiet=True)


def test_a_narrower_pull_of_a_damaged_whole_mends_all_of_it(hub):
    whole = pull_dataset("squad", quiet=True)
    flip(whole.folder / "plain_text" / "train-00000-of-00002.parquet")
    asset = pull_dataset("squad", ["short"], quiet=True)
    assert asset.manifest.files.keys() == whole.manifest.files.keys()
    assert asset.manifest.configs == {}
    verify_asset(asset.folder)


def test_parts_add_up_and_answer_again_without_a_request(hub):
    pull_dataset("squad", ["short"], quiet=True)
    both = pull_dataset("squad", splits=["train"], quiet=True)
    assert both.manifest.whole_configs == ["short"]
    hub.server.clear()
    pull_dataset("squad", splits=["train"], quiet=True)
    pull_dataset("squad", ["short"], quiet=True)
    pull_dataset("squad", ["plain_text"], ["train"], offline=True, quiet=True)
    assert hub.requests() == []
    with pytest.raises(HubError, match=r"squad.*offline"):
        pull_dataset("squad", ["plain_text"], offline=True, quiet=True)


def test_a_config_or_split_that_a_whole_dataset_lacks_is_refused_with_those_it_has(hub):
    pull_dataset("squad", quiet=True)
    with pytest.raises(UsageError, match=r"'shrot'.*plain_text, short"):
        pull_dataset("squad", ["shrot"], quiet=True)
    with pytest.raises(UsageError, match=r"'test'.*train"):
        pull_dataset("squad", ["short"], ["test"], quiet=True)


def test_a_file_damaged_during_a_pull_is_not_certified_by_it(hub):
    asset = pull_dataset("squad", ["short"], quiet=True)
    hub.server.fault("_cdn/", "slow", bytes_per_second=2000)
    code = "from research_data import pull_dataset; pull_dataset('squad', quiet=True)"
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ.copy())
    while not list((hub.assets / "datasets").glob(".*.partial/.cache/**/*.incomplete")):
        assert process.poll() is None
    flip(asset.folder / "short" / "train-00000-of-00001.parquet")
    assert process.wait(60) == 0
    with pytest.raises(DamagedAssetError):
        check_asset(asset.folder)


def test_removing_waits_for_a_pull_of_the_same(hub):
    asset = pull_dataset("squad", ["short"], quiet=True)
    hub.server.fault("_cdn/", "slow", bytes_per_second=2000)
    process = subprocess.Popen([sys.executable, "-c", PULL], env=os.environ.copy())
    while not list((hub.assets / "datasets").glob(".*.partial/.cache/**/*.incomplete")):
        assert process.poll() is None
    remove_asset(asset)
    assert process.wait(60) == 0
    assert visible(hub.assets / "datasets") == set()


def test_the_revision_a_name_is_on_is_the_one_that_is_mended(hub):
    hub.add("datasets", "rajpurkar/squad", {"rows.csv": b"a\n1\n"}, branch="v1")
    old = pull_dataset("squad@v1", quiet=True)
    flip(old.folder / "rows.csv", 0)
    assert pull_dataset("squad", quiet=True).folder == old.folder
    (old.folder / ".asset.json").write_text("{")
    assert pull_dataset("squad", quiet=True).folder == old.folder
    shutil.rmtree(old.folder)
    assert pull_dataset("squad", quiet=True).folder == old.folder
    verify_asset(old.folder)


def test_a_local_dataset_never_comes_from_a_hub(hub, tmp_path):
    (tmp_path / "rows.csv").write_text("a\n1\n")
    asset = import_asset(tmp_path / "rows.csv", quiet=True)
    hub.add("datasets", "stranger/rows", {"rows.csv": b"a\n9\n"}, aliases=["rows"])
    flip(asset.folder / "rows.csv", 2)
    hub.server.clear()
    with pytest.raises(DamagedAssetError, match=r"rows\.csv is damaged"):
        pull_dataset("rows", quiet=True)
    assert hub.requests() == []
    with pytest.raises(UsageError, match=r"'rows'.* name"):
        pull_dataset("rows", update=True, quiet=True)


def test_a_password_in_the_address_of_a_hub_is_not_recorded(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.server.url.replace("http://", "http://me:secret@"))
    with pytest.raises(HubError) as caught:  # this hub knows no such person
        pull_dataset("none", quiet=True)
    assert hub.server.url in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("GET https://cdn/x?Expires=1&Signature=SECRET failed", "SECRET"),
        ("file (...nature=SECRET&Key-Pair-Id=K).", "SECRET"),
        ("token hf_abcdefghijklmnop is bad", "abcdefgh"),
        ("Authorization: Bearer SECRET", "SECRET"),
        ("https://user:SECRET@host/x", "SECRET"),
        ("no proxy URL('socks5://user:SECRET@host')", "SECRET"),
    ],
)
def test_secrets_are_taken_out_of_texts(text, hidden):
    assert hidden not in redact(text)


def test_in_a_run_only_what_its_paper_pins_is_read(hub, monkeypatch):
    newer = hub.add("datasets", "rajpurkar/squad", {"rows.csv": b"a\n1\n"})
    pinned = pull_dataset(f"squad@{hub.squad}", quiet=True)
    pull_dataset(f"squad@{newer}", quiet=True)
    monkeypatch.setenv("RESEARCH_RUN_ASSETS", json.dumps({"squad": hub.squad}))
    assert pull_dataset("squad", quiet=True).folder == pinned.folder
    for name in (f"squad@{newer}", "rajpurkar/squad", "glue"):
        with pytest.raises(UsageError, match=r"tool\.research"):
            pull_dataset(name, quiet=True)


def test_a_repair_without_the_hubs_file_keeps_what_is_there(hub):
    asset = pull_dataset("squad", quiet=True)
    flip(asset.folder / "README.md")
    card = hub.root / "datasets" / "rajpurkar" / "squad" / hub.squad / "README.md"
    content = card.read_bytes()
    card.unlink()
    try:
        with pytest.raises(AssetError, match=r"README\.md.* lost"):
            repair_asset(asset, quiet=True)
    finally:
        card.write_bytes(content)
    assert "README.md" in read_manifest(asset.folder).files


def test_a_failure_before_anything_arrived_leaves_nothing(hub):
    hub.add("datasets", "org/one", {"rows.parquet": b"x" * 100})
    hub.server.fault("_cdn/", "status", status=403)
    with pytest.raises(HubError):
        pull_dataset("org/one", quiet=True)
    deadline = time.monotonic() + 60  # the thread of the failed pull may be about to end
    while leftovers("dataset"):
        assert time.monotonic() < deadline


def test_leftovers_are_listed_reported_and_removed(hub, capfd):
    name = f".rajpurkar--squad@{hub.squad[:12]}.partial"
    arrived = hub.assets / "datasets" / name / ".cache" / "of-a-killed-pull.incomplete"
    arrived.parent.mkdir(parents=True)
    arrived.write_bytes(b"x" * 2000)
    hub.server.fault("_cdn/", "status", status=403)
    with pytest.raises(HubError):
        pull_dataset("squad")
    assert "`research-cli dataset remove --leftovers`" in capfd.readouterr().err
    [left] = leftovers("dataset")
    assert left.name == name
    deadline = time.monotonic() + 60  # threads of the failed pull may still be at their last file
    while leftovers("dataset"):
        assert time.monotonic() < deadline
        remove_leftovers("dataset")
