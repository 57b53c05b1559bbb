"""What a hub, a network or a disk did, said with advice that fits; the clients left as found."""

import errno
import os
from pathlib import Path

import pytest
from research_data import AssetError, HubError, StorageError, pull_dataset
from research_data.errors import ResearchError

NOWHERE = "http://127.0.0.1:9"  # an address where nothing listens
UNKNOWN = "http://hub.invalid"  # a name that no resolver knows

PULL = """
from research_data import pull_dataset
from research_data.errors import ResearchError
try:
    pull_dataset("org/rows", quiet=True)
except ResearchError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("endpoint", "settings", "fact", "never"),
    [
        ("https://127.0.0.1:9", {"SSL_CERT_FILE": "/no/ca.pem"}, "/no/ca.pem", "pull again"),
        ("https://127.0.0.1:9", {"SSL_CERT_FILE": "/etc/hosts"}, "certificates", "pull again"),
        (UNKNOWN, {"http_proxy": "foo://me:SECRET@x"}, "proxy foo://x", "pull again"),
        (UNKNOWN, {"http_proxy": "http://me:SECRET@127.0.0.1:9"}, f"proxy {NOWHERE}", "pull again"),
        (UNKNOWN, {"http_proxy": ""}, "name hub.invalid", "pull again"),
        (NOWHERE, {}, "Connection refused", "room"),
        ("hub.org", {}, "HF_ENDPOINT is 'hub.org'", "pull"),
        ("http://hub.org:99999", {}, "HF_ENDPOINT is 'http://hub.org:99999'", "pull"),
        (NOWHERE, {"HF_HUB_OFFLINE": "1"}, "offline", "again"),
    ],
)
def test_a_hub_that_cannot_be_reached_gets_advice_that_fits(hub, endpoint, settings, fact, never):
    clear = dict.fromkeys(("NO_PROXY", "no_proxy", "https_proxy", "all_proxy"), "")
    done = hub.python(PULL, **clear, HF_ENDPOINT=endpoint, **settings)
    assert fact in done.stdout, done.stderr
    assert never not in done.stdout
    assert "SECRET" not in done.stdout + done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("fault", "options", "fact"),
    [("hang", {"seconds": 1}, "answer in time"), ("short", {"bytes": 1}, "cut off")],
)
def test_a_hub_that_answers_too_late_or_not_whole_is_said_so(
    hub, monkeypatch, fault, options, fact
):
    hub.add("datasets", "org/rows", {"rows.csv": b"a\n1\n"})
    monkeypatch.setattr("research_data.hub.client.METADATA_TIMEOUT", 0.2)
    hub.server.fault("/api/datasets/org/rows", fault, **options)
    with pytest.raises(HubError, match=fact):
        pull_dataset("org/rows", quiet=True)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "Free some room"),
        (errno.EROFS, "read-only"),
        (errno.ENOTDIR, "is a file"),
        (errno.ENAMETOOLONG, "shorter"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "The disk"),
    ],
)
def test_each_error_of_a_disk_gets_its_own_advice(number, words):
    error = OSError(number, os.strerror(number))
    assert words in str(StorageError(Path("x"), error))
    assert (number == errno.ENOSPC) == ("room" in str(StorageError(Path("x"), error)))


def test_a_file_in_place_of_the_datasets_folder_is_refused_and_kept(hub):
    hub.add("datasets", "org/rows", {"rows.csv": b"a\n1\n"})
    hub.assets.mkdir()
    (hub.assets / "datasets").write_text("mine")
    with pytest.raises(ResearchError, match=r"datasets.*Move"):
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
