"""Files from an address: pulled into assets, resumed, verified, and used offline afterwards."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from research_data import AssetError, HubError
from research_train import MemberError, prepare_assets

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT at every path, from any byte on; cut: ends the first answers after so many."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cut, self.asked = CONTENT, [], []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/data/input.txt"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        said = self.headers.get("Range")
        self.server.asked.append(said)
        start = int(said.removeprefix("bytes=").removesuffix("-")) if said else 0
        whole = self.server.content
        self.send_response(206 if said else 200)
        self.send_header("Content-Length", str(len(whole) - start))
        if said:
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        self.end_headers()
        end = start + self.server.cut.pop(0) if self.server.cut else len(whole)
        self.wfile.write(whole[start:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def member(experiment, server):
    """The paper tiny, which needs the server's file."""
    pyproject = experiment.member.folder / "pyproject.toml"
    lines = {"url": server.url, "size": len(CONTENT), "sha256": SHA256, "licence": "public domain"}
    table = "".join(f"{key} = {value!r}\n" for key, value in lines.items())
    pyproject.write_text(pyproject.read_text() + f"\n[tool.research.files.corpus]\n{table}")
    return experiment.member


def folder_of(workspace):
    return workspace.root / f"assets/datasets/corpus@{SHA256[:12]}"


def edit(member, old, new):
    file = member.folder / "pyproject.toml"
    file.write_text(file.read_text().replace(old, new))


def test_a_file_is_resumed_verified_and_then_used_offline(member, workspace, server, monkeypatch):
    server.cut = [300_000]
    assert prepare_assets(member)["corpus"] == SHA256
    assert server.asked == [None, "bytes=300000-"]
    assert (folder_of(workspace) / "input.txt").read_bytes() == CONTENT
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert prepare_assets(member)["corpus"] == SHA256
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [(SHA256, "0" * 64, "sha256"), (f"= {len(CONTENT)}", "= 999", "999 bytes")],
)
def test_other_bytes_than_promised_are_refused_and_not_kept(member, workspace, old, new, part):
    edit(member, old, new)
    with pytest.raises(HubError, match=part):
        prepare_assets(member)
    assert not [path for path in (workspace.root / "assets").rglob("*") if "input" in path.name]
    assert not list((workspace.root / "assets").rglob("*.incomplete"))


def test_without_a_network_it_says_where_to_put_the_file(member, workspace, server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place = folder_of(workspace) / "input.txt"
    with pytest.raises(AssetError) as error:
        prepare_assets(member)
    for part in (server.url, str(place), SHA256, f"{len(CONTENT):,} bytes"):
        assert part in str(error.value)
    place.parent.mkdir()
    place.write_bytes(CONTENT)
    assert prepare_assets(member)["corpus"] == SHA256
    assert server.asked == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("http://", "ftp://"),
        ("/data/input.txt", "/data/.."),
        (f"size = {len(CONTENT)}", "size = 'much'"),
        (SHA256, "86c4"),
        ("licence", "license"),
        ("files.corpus", "files.'../corpus'"),
    ],
)
def test_a_wrong_entry_is_refused(member, server, old, new):
    edit(member, old, new)
    with pytest.raises(MemberError, match=r"pyproject\.toml: \[tool\.research\] files\."):
        prepare_assets(member)
    assert server.asked == []
