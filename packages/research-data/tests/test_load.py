"""Reading assets with `datasets` and `transformers`: mapped, built once, without a network."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from research_data import (
    Asset,
    AssetError,
    GeneratedDataset,
    UsageError,
    check_asset,
    download_dataset,
    download_model,
    import_asset,
    make_dataset,
    open_dataset,
    pull_dataset,
    remove_asset,
    tokenize_dataset,
)
from research_data.assets.removal import remove_derived
from safetensors.numpy import save


def test_a_dataset_is_the_librarys_own_and_mapped_from_assets(hub):
    from datasets import DatasetDict

    squad = download_dataset("squad", "plain_text")
    assert isinstance(squad, DatasetDict)
    assert {split: len(rows) for split, rows in squad.items()} == {"train": 80, "validation": 1}
    assert squad["train"][41] == {"q": "What is 1?", "a": 1}
    for rows in squad.values():
        for file in rows.cache_files:
            assert file["filename"].startswith(str(hub.assets))
    assert len(download_dataset("squad", "short", split="train")) == 2


def test_arrow_files_are_made_once_and_again_when_removed(hub):
    asset = pull_dataset("squad", quiet=True)
    rows = download_dataset("squad", "short")["train"]
    [file] = [cached["filename"] for cached in rows.cache_files]
    before = json.loads((hub.assets / "datasets").joinpath("squad", ".asset.json").read_text())
    made = Path(file).stat()
    hub.server.clear()
    again = download_dataset("squad", "short")["train"]
    assert Path(file).stat().st_mtime_ns == made.st_mtime_ns
    assert again["z"][:] == rows["z"][:]
    assert remove_derived(asset) > 0
    assert download_dataset("squad", "short")["train"]["z"][:] == [1.5, 2.5]
    assert hub.requests() == []
    assert json.loads((asset.folder / ".asset.json").read_text()) == before


def test_unknown_configs_and_splits_are_refused_with_their_names(hub):
    with pytest.raises(UsageError, match=r"plain_text.*short"):
        download_dataset("squad")
    with pytest.raises(UsageError, match="'long'"):
        open_dataset("squad", "long")
    with pytest.raises(UsageError, match="no config 'long'"):
        download_dataset("squad", "long")
    with pytest.raises(UsageError, match=r"no split 'test'.*train"):
        download_dataset("squad", "short", split="test")


def test_files_that_the_datasets_library_cannot_read_are_refused_with_their_folder(hub):
    hub.add("datasets", "org/broken", {"rows.parquet": b"PAR1 is not this"})
    with pytest.raises(AssetError, match=r"org--broken@\w+ .*read"):
        download_dataset("org/broken")
    hub.add("datasets", "org/empty", {"README.md": b"# Nothing\n"})
    with pytest.raises(AssetError, match=r"org--empty@\w+ .*read"):
        download_dataset("org/empty")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.csv", "a,b\n1,x\n2,y\n", [1, 2]),
        ("rows.json", '[{"a": 1}, {"a": 2}]', [1, 2]),
        ("rows.jsonl", '{"a": 1}\n{"a": 2}\n', [1, 2]),
    ],
)
def test_own_files_are_read_and_asset_json_is_not_data(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    asset = import_asset(tmp_path / name, quiet=True)
    assert open_dataset(asset.folder)["train"]["a"][:] == expected


def test_generated_data_is_read_another_way(tmp_path):
    dataset = GeneratedDataset("ones", lambda: {"x": np.ones(3)}, {}, "numpy", "CC0-1.0")
    with pytest.raises(AssetError, match="load_arrays"):
        open_dataset(make_dataset(dataset))


def words_model():
    """A tokenizer of whole words, and weights to go with it."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    vocabulary = {"[UNK]": 0, "[PAD]": 1, "What": 2, "is": 3, "?": 4, "Why": 5}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}
    return {
        "config.json": b'{"model_type": "bert"}',
        "model.safetensors": save({"w": np.zeros(2, np.float32)}),
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": json.dumps(settings).encode(),
    }


def test_a_model_loads_from_its_folder_with_the_hub_gone(hub, monkeypatch):
    hub.add("models", "org/words", words_model())
    folder = download_model("org/words", quiet=True)
    code = f"""
    from transformers import AutoTokenizer, AutoConfig
    assert AutoConfig.from_pretrained({str(folder)!r}).model_type == "bert"
    tokens = AutoTokenizer.from_pretrained({str(folder)!r})("What is ?")["input_ids"]
    print(tokens)
    """
    hub.server.clear()
    result = hub.python(code, HF_HUB_OFFLINE="1")
    assert result.stdout == "[2, 3, 4]\n", result.stderr
    assert hub.requests() == []


def test_text_is_tokenised_once_for_each_of_its_options(hub):
    hub.add("models", "org/words", words_model())
    tokens = tokenize_dataset("squad", "org/words", ["q"], config="plain_text", keep=["a"])
    assert tokens["train"].column_names == ["a", "input_ids", "attention_mask"]
    assert tokens["validation"][0]["input_ids"] == [5, 4]
    [file] = {cached["filename"] for cached in tokens["train"].cache_files}
    hub.server.clear()
    again = tokenize_dataset("squad", "org/words", ["q"], config="plain_text", keep=["a"])
    assert {cached["filename"] for cached in again["train"].cache_files} == {file}
    shorter = tokenize_dataset(
        "squad", "org/words", ["q"], config="plain_text", truncation=True, max_length=1
    )
    assert shorter["train"][0]["input_ids"] == [2]
    assert hub.requests() == []
    with pytest.raises(UsageError, match="no column question"):
        tokenize_dataset("squad", "org/words", ["question"], config="plain_text")


def test_what_is_derived_survives_read_only_and_goes_with_its_asset(hub):
    asset = pull_dataset("squad", quiet=True)
    download_dataset("squad", "short")
    [view] = asset.derived.glob("files-*")
    shutil.rmtree(view)  # only needed to make the Arrow files
    assert len(download_dataset("squad", "short")["train"]) == 2
    remove_asset(asset)
    assert not asset.derived.exists()


def test_the_last_use_of_an_asset_is_recorded(hub):
    asset = pull_dataset("squad", quiet=True)
    (asset.folder / ".used").unlink()
    download_dataset("squad", "short")
    assert Asset(asset.folder, check_asset(asset.folder)).last_used is not None


@pytest.mark.parametrize("config", ["/tmp", "../..", "files", "..", ""])
def test_a_config_is_never_a_path(hub, tmp_path, config):
    asset = pull_dataset("squad", quiet=True)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    for name in (config, str(mine)):
        with pytest.raises((UsageError, AssetError)):
            open_dataset(asset.folder, name)
    assert (mine / "thesis.txt").exists()
    assert len(open_dataset(asset.folder, "short")["train"]) == 2


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../../x.csv", "hf://datasets/org/o/x.csv"])
@pytest.mark.parametrize(
    ("file", "head", "end"),
    [
        ("README.md", "---\n", "\n"),
        ("README.md", "\n---\n", "\r\n"),
        (".huggingface.yaml", "", "\n"),
    ],
)
def test_a_card_that_leads_out_of_its_dataset_is_not_followed(hub, path, file, head, end):
    card = f"{head}configs:\n- config_name: a\n  data_files: {path}\n{head.strip()}\n"
    files = {file: card.replace("\n", end).encode(), "rows.csv": b"a\n1\n"}
    hub.add("datasets", "org/leads", files)
    asset = pull_dataset("org/leads", quiet=True)
    hub.server.clear()
    with pytest.raises(AssetError, match="outside the dataset"):
        open_dataset(asset.folder)
    assert hub.requests() == []


def test_a_part_is_read_offline(hub):
    download_dataset("squad", "short", split="train")
    hub.server.clear()
    assert len(download_dataset("squad", "short", split="train", offline=True)) == 2
    assert hub.requests() == []


def test_several_processes_open_one_dataset_at_once(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(300):
        (folder / f"{index:03d}.csv").write_text(f"a\n{index}\n")
    asset = import_asset(folder, quiet=True)
    code = f"""
from pathlib import Path
from research_data import open_dataset
print(sum(open_dataset(Path({str(asset.folder)!r}))["train"]["a"][:]))
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate()[0] for process in processes] == [f"{sum(range(300))}\n"] * 3


def test_own_files_by_their_path(tmp_path):
    (tmp_path / "rows.csv").write_text("a\n5\n")
    assert download_dataset(str(tmp_path / "rows.csv"), split="train")["a"][:] == [5]
