"""What a hub, a network or a disk did, said with advice that fits; the clients left as found."""

import errno
import os
from pathlib import Path

import pytest
from research_data import AssetError, HubError, StorageError, pull_dataset
from research_data.errors import ResearchError

NOWHERE = "http://127.0.0.1:9"

PULL = """
from research_data import pull_dataset
from research_data.errors import ResearchError
try:
    pull_dataset("org/rows", quiet=True)
except ResearchError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("settings", "words", "never"),
    [
        (
            {"HF_ENDPOINT": "https://127.0.0.1:9", "SSL_CERT_FILE": "/no/ca.pem"},
            "SSL_CERT_FILE is /no/ca.pem",
            "pull again",
        ),
        (
            {"HF_ENDPOINT": "https://127.0.0.1:9", "SSL_CERT_FILE": "/etc/hosts"},
            "SSL_CERT_FILE is /etc/hosts",
            "pull again",
        ),
        (
            {"HF_ENDPOINT": "http://hub.invalid", "http_proxy": "foo://me:SECRET@x"},
            "the proxy foo://x can't be used",
            "pull again",
        ),
        (
            {"HF_ENDPOINT": "http://hub.invalid", "http_proxy": "http://me:SECRET@127.0.0.1:9"},
            "through the proxy http://127.0.0.1:9",
            "pull again",
        ),
        (
            {"HF_ENDPOINT": "http://hub.invalid", "http_proxy": ""},
            "hub.invalid could not be resolved",
            "pull again",
        ),
        ({"HF_ENDPOINT": NOWHERE}, "is its address right?", "room"),
        ({"HF_ENDPOINT": "hub.org"}, "HF_ENDPOINT is 'hub.org'", "pull"),
        ({"HF_ENDPOINT": "http://hub.org:99999"}, "HF_ENDPOINT is 'http://hub.org:99999'", "pull"),
        ({"HF_ENDPOINT": NOWHERE, "HF_HUB_OFFLINE": "1"}, "nothing is fetched offline", "again"),
    ],
)
def test_the_advice_fits_the_cause(hub, settings, words, never):
    clear = dict.fromkeys(("NO_PROXY", "no_proxy", "https_proxy", "all_proxy"), "")
    done = hub.python(PULL, **clear, **settings)
    assert words in done.stdout, done.stderr
    assert never not in done.stdout
    assert "SECRET" not in done.stdout + done.stderr
    assert done.stderr == ""


def test_a_hub_that_does_not_answer_and_one_that_answers_something_else(hub, monkeypatch):
    hub.add("datasets", "org/rows", {"rows.csv": b"a\n1\n"})
    monkeypatch.setattr("research_data.hub.client.METADATA_TIMEOUT", 0.2)
    hub.server.fault("/api/datasets/org/rows", "hang", seconds=1)
    with pytest.raises(HubError, match="didn't answer in time"):
        pull_dataset("org/rows", quiet=True)
    hub.server.clear_faults()
    hub.server.fault("/api/datasets/org/rows", "short", bytes=1)
    with pytest.raises(HubError, match=r"cut off or is not that of a hub.*JSON"):
        pull_dataset("org/rows", quiet=True)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "Free some room"),
        (errno.EROFS, "read-only"),
        (errno.ENOTDIR, "is a file where a folder should be"),
        (errno.ENAMETOOLONG, "shorter"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "The disk"),
    ],
)
def test_what_a_disk_says_gets_its_own_advice(number, words):
    error = OSError(number, os.strerror(number))
    assert words in str(StorageError(Path("x"), error))
    assert (number == errno.ENOSPC) == ("room" in str(StorageError(Path("x"), error)))


def test_a_file_where_the_datasets_belong(hub):
    hub.add("datasets", "org/rows", {"rows.csv": b"a\n1\n"})
    hub.assets.mkdir()
    (hub.assets / "datasets").write_text("mine")
    with pytest.raises(ResearchError, match="Move it away"):
        pull_dataset("org/rows", quiet=True)
    assert (hub.assets / "datasets").read_text() == "mine"
    with pytest.raises(AssetError):
        pull_dataset("org/rows", offline=True, quiet=True)


def test_a_pull_leaves_the_clients_as_it_found_them(hub):
    names = "HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_UPDATE_DOWNLOAD_COUNTS"
    code = f"""
    import os
    for name in {names!r}:
        os.environ.pop(name, None)
    import datasets.config, huggingface_hub
    from huggingface_hub import constants
    from research_data import pull_dataset
    def state():
        settings = {{k: v for k, v in os.environ.items() if k.startswith("HF_")}}
        hooks = {{k: len(v) for k, v in huggingface_hub.get_session().event_hooks.items()}}
        libraries = [vars(constants).copy(), vars(datasets.config).copy()]
        plain = [{{k: v for k, v in each.items() if k.isupper()}} for each in libraries]
        return settings, hooks, plain
    before = state()
    pull_dataset("squad", ["short"], quiet=True)
    assert state() == before
    try:
        pull_dataset("org/none", quiet=True)
    except Exception:
        pass
    assert state() == before
    print("as found")
    """
    done = hub.python(code)
    assert done.stdout == "as found\n", done.stderr
