"""In a run the hub's clients, asked by name, read what is pinned or nothing.

Real ones, in processes of their own, with a cache that holds other data under the same names.
"""

import pytest
from research_data import HubError, pinned_assets, pull_dataset, pull_model

from .conftest import bert_files

BEFORE = "import datasets, huggingface_hub, transformers\n"

BY_NAME = """
import sys
{first}
from research_data import open_dataset, pinned_assets, pull_dataset, pull_model
pins = {pins}
def refused(ask):
    try:
        with pinned_assets(pins):
            print("read", ask())
    except Exception as error:
        print("refused", type(error).__name__, "tool.research" in str(error))
def squad():
    import datasets
    return datasets.load_dataset("rajpurkar/squad", "short")
def cached_squad():
    import datasets
    return datasets.load_dataset("rajpurkar/squad", "short", cache_dir={old!r} + "/datasets")
def other():
    from transformers import AutoConfig
    return AutoConfig.from_pretrained("google/other")
def config():
    from transformers import AutoConfig
    return [AutoConfig.from_pretrained(name).hidden_size for name in ("bert", "google/bert")]
def files():
    from huggingface_hub import hf_hub_download, snapshot_download
    whole = open(snapshot_download("bert") + "/config.json").read()
    return open(hf_hub_download("google/bert", "config.json")).read(), len(whole)
def an_old_revision():
    from huggingface_hub import hf_hub_download
    return hf_hub_download("google/bert", "config.json", revision={older!r})
def api():
    from huggingface_hub import HfApi
    return HfApi(endpoint={endpoint!r}).dataset_info("rajpurkar/squad").id
def paths():
    import datasets, transformers
    folder = pull_dataset("squad").folder
    model = transformers.AutoConfig.from_pretrained(pull_model("bert").folder).hidden_size
    data = datasets.load_dataset("parquet", data_files=str(folder / "short" / "*.parquet"))
    return model, len(data["train"]), len(open_dataset(folder, "short")["train"])
for ask in (squad, cached_squad, other, config, files, an_old_revision, api, paths):
    refused(ask)
import datasets, huggingface_hub
print("after", huggingface_hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)
print("after", huggingface_hub.constants.HF_HUB_CACHE == {old!r} + "/hub")
print("after", str(datasets.config.HF_DATASETS_CACHE) == {old!r} + "/datasets")
print("after", {old!r} in huggingface_hub.hf_hub_download("google/other", "config.json"))
"""


@pytest.fixture
def pinned(hub, tmp_path):
    """The repositories as pinned, and a cache of the clients with other revisions of them."""
    older = hub.add("models", "google/bert", bert_files() | {"config.json": CONFIG % 1})
    hub.add("models", "google/other", bert_files() | {"config.json": CONFIG % 2})
    hub.old = tmp_path / "hf-home"
    fill = hub.python(
        """
        import datasets, huggingface_hub
        datasets.load_dataset("rajpurkar/squad", "short")
        for name in ("google/bert", "google/other", "bert"):
            huggingface_hub.snapshot_download(name)
        """
    )
    assert fill.returncode == 0, fill.stderr
    hub.older = older
    hub.pins = {
        "bert": hub.add("models", "google/bert", bert_files() | {"config.json": CONFIG % 77}),
        "squad": hub.squad,
    }
    pull_dataset(f"squad@{hub.squad}", quiet=True)
    pull_model(f"bert@{hub.pins['bert']}", quiet=True)
    hub.server.clear()
    return hub


CONFIG = b'{"model_type": "bert", "hidden_size": %d}'


@pytest.mark.parametrize("first", ["", BEFORE], ids=["imported in the run", "imported before"])
def test_by_name_the_clients_read_what_is_pinned_or_nothing(pinned, first):
    hub = pinned
    code = BY_NAME.format(
        first=first,
        pins=hub.pins,
        old=str(hub.old),
        older=hub.older,
        endpoint=hub.server.url,
    )
    done = hub.python(code)
    assert done.returncode == 0, done.stderr
    refused = "refused UsageError True"
    config = (CONFIG % 77).decode()
    assert done.stdout.splitlines() == [
        refused,  # squad
        refused,  # with a cache of its own
        refused,  # other
        "read [77, 77]",
        f"read ({config!r}, {len(config)})",
        refused,  # an older revision, though the cache has it
        refused,  # the hub's own interface
        "read (77, 2, 2)",
        "after False False",
        "after True",
        "after True",
        "after True",
    ]


def test_in_a_run_more_of_what_is_pinned_can_be_pulled(hub, monkeypatch):
    pull_dataset(f"squad@{hub.squad}", ["short"], quiet=True)
    with pinned_assets({"squad": hub.squad}):
        asset = pull_dataset("squad", ["plain_text"], quiet=True)
    assert asset.manifest.configs.keys() == {"short", "plain_text"}
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.server.clear()
    with pinned_assets({"bert": hub.bert}), pytest.raises(HubError, match="offline"):
        pull_model("bert", quiet=True)
    assert hub.requests() == []
