"""`research-cli dataset` and `model`, typed as a user types them, against a hub on 127.0.0.1."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import fork_server
import pytest
from hub_server import add_repo, running_hub
from research_data import this_workspace

COMMAND = Path(sys.executable).with_name("research-cli")
PACKAGES = Path(__file__).parents[2]

ROWS = {"README.md": b"---\nlicense: mit\n---\n", "train.csv": b"a,b\n" + b"1,2\n" * 500}


class Cli:
    """Runs the command with assets of its own."""

    def __init__(self, server: SimpleNamespace, root: Path, folder: Path):
        self.server, self.root, self.assets = server, root, folder / "assets"
        self.commit = add_repo(root, "datasets", "org/rows", ROWS, aliases=["rows"])
        weights = b"\x02\x00\x00\x00\x00\x00\x00\x00{}"
        add_repo(root, "models", "org/net", {"model.safetensors": weights, "config.json": b"{}"})
        self.environment = {
            **os.environ,
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "RESEARCH_ASSETS": str(self.assets),
        }
        server.clear_faults()
        server.clear()

    def __call__(self, *words: str, code: int = 0, **environ: str) -> str:
        environment = {**self.environment, **environ}
        done = fork_server.run("research-cli", words, Path.cwd(), environment)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        self.errors = done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SimpleNamespace, Path]]:
    root = tmp_path_factory.mktemp("hub")
    with running_hub(root) as server:
        yield server, root


@pytest.fixture
def cli(hub_server: tuple[SimpleNamespace, Path], tmp_path: Path) -> Cli:
    server, root = hub_server
    return Cli(server, root, tmp_path)


def test_a_croissant_file_that_mlcroissant_reads(cli: Cli) -> None:
    import mlcroissant  # here, as it takes a second, and every worker of the tests reads this file

    folder = Path(cli("dataset", "pull", "rows").strip())
    file = Path(cli("dataset", "export", "rows", str(cli.assets), "--croissant").strip())
    assert file == cli.assets / f"{folder.name}.croissant.json"
    cli("dataset", "export", "rows", str(file), "--croissant", code=2)
    read = mlcroissant.Dataset(file).metadata
    assert not read.issues.errors
    assert (read.name, read.license, read.version) == ("org/rows", ["mit"], cli.commit)
    page = f"{cli.server.url}/datasets/org/rows"
    assert read.url == page
    found = {
        each.name: (each.content_url, each.content_size, each.sha256) for each in read.distribution
    }
    assert found == {
        name: (
            f"{page}/resolve/{cli.commit}/{name}",
            f"{len(content)} B",
            hashlib.sha256(content).hexdigest(),
        )
        for name, content in ROWS.items()
    }
    # Files of one's own have their names: the description lies beside them.
    own = cli.assets / "own rows.csv"
    own.write_text("a\n1\n")
    own_folder = Path(cli("dataset", "import", str(own), "--name", "mine").strip())
    beside = own_folder.with_name("beside.json")
    cli("dataset", "export", "mine", str(beside), "--croissant")
    [only] = mlcroissant.Dataset(beside).metadata.distribution
    assert (only.content_url, (own_folder / only.content_url).is_file()) == ("own rows.csv", True)
    cli("model", "pull", "org/net")
    cli("model", "export", "org/net", str(cli.assets), "--croissant", code=2)


def test_pull_list_verify_repair_remove(cli: Cli) -> None:
    folder = Path(cli("dataset", "pull", "rows").strip())
    assert folder == cli.assets / "datasets" / f"org--rows@{cli.commit[:12]}"
    assert "2 files, 2.0 kB" in cli.errors and "licence mit" in cli.errors
    cli("dataset", "pull", "rows")
    assert "rows is already here" in cli.errors
    listed = cli("dataset", "list")
    for part in ("rows", cli.commit[:12], "2.0 kB", "mit", "org/rows"):
        assert part in listed
    assert "ok       org--rows@" in cli("dataset", "verify", "rows")
    content = (folder / "train.csv").read_bytes()
    (folder / "train.csv").write_bytes(b"A" + content[1:])
    damaged = cli("dataset", "verify", "--all", code=1)
    assert f"damaged  {folder.name}/train.csv" in damaged and "sha256" in damaged
    assert "--repair" in damaged
    assert f"repaired {folder.name}: train.csv" in cli("dataset", "verify", "rows", "--repair")
    assert (folder / "train.csv").read_bytes() == content
    freed = cli("dataset", "remove", "rows", "--dry-run")
    assert "would remove" in freed and folder.exists()
    removed = cli("dataset", "remove", "rows")
    assert removed.split(": ")[1] == freed.split(": ")[1]
    assert not folder.exists()
    assert "0 datasets" in cli("dataset", "list")


def test_everything_in_json(cli: Cli) -> None:
    pulled = json.loads(cli("dataset", "pull", "rows", "--json"))["assets"][0]
    assert (pulled["revision"], pulled["licence"]) == (cli.commit, "mit")
    listed = json.loads(cli("dataset", "list", "--json"))["assets"][0]
    assert listed["names"] == ["rows"] and listed["used_by"] == []
    assert json.loads(cli("dataset", "info", "rows", "--json"))["files"].keys() == ROWS.keys()
    assert json.loads(cli("dataset", "verify", "rows", "--json"))["assets"][0]["damaged"] == {}
    assert json.loads(cli("model", "list", "--json"))["assets"] == []
    file = json.loads(cli("dataset", "export", "rows", str(cli.assets), "--json"))["file"]
    assert json.loads(cli("dataset", "remove", "rows", "--json"))["removed"][0]["freed"] > 2000
    assert json.loads(cli("dataset", "import", file, "--json"))["names"] == ["rows"]


def test_a_dry_run_fetches_nothing(cli: Cli) -> None:
    shown = cli("dataset", "pull", "rows", "--dry-run")
    assert "train.csv" in shown and "fetch 2 files, 2.0 kB" in shown
    plan = json.loads(cli("dataset", "pull", "rows", "--dry-run", "--json"))["assets"][0]
    assert plan["to_fetch"] == sum(map(len, ROWS.values()))
    assert not cli.assets.exists()


def test_several_names_go_on_past_a_wrong_one(cli: Cli) -> None:
    shown = cli("dataset", "pull", "rowz", "rows", code=2)
    assert "error: " in cli.errors and "'rowz'" in cli.errors
    assert f"org--rows@{cli.commit[:12]}" in shown


def test_offline_says_how_and_asks_nothing(cli: Cli) -> None:
    cli("dataset", "pull", "rows", "--offline", code=1)
    assert "rows" in cli.errors and "offline" in cli.errors
    cli("dataset", "pull", "rows")
    cli.server.clear()
    cli("dataset", "pull", "rows", "--offline")
    cli("dataset", "pull", f"rows@{cli.commit}", HF_HUB_OFFLINE="1")
    assert cli.server.requests() == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["dataset", "pull", "rows", "--max-size", "1kB"], 1, "1.0 kB"),
        (["dataset", "pull", "rows", "--max-size", "many"], 2, "--max-size 'many'"),
        (["dataset", "pull", "rows", "--config", "x"], 2, "no config 'x'"),
        (["dataset", "info", "roww"], 2, "dataset 'roww'"),
        (["dataset", "verify"], 2, "--all"),
        (["dataset", "link", "nowhere", "rows"], 2, "dataset 'rows'"),
        (["dataset", "import", "gone.tar"], 2, "gone.tar"),
        (["dataset", "pull", "./gone.csv"], 2, "gone.csv"),
        (["model", "pull", "org/net", "--include", "*.bin"], 2, "run code"),
    ],
)
def test_one_message_and_the_exit_code(cli: Cli, words: list[str], code: int, message: str) -> None:
    cli(*words, code=code)
    assert cli.errors.count("error: ") == 1
    assert message in cli.errors


def test_own_files_and_models(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("a\n1\n")
    folder = Path(cli("dataset", "pull", str(tmp_path / "mine.csv")).strip())
    assert folder.name.startswith("mine@")
    cli("model", "pull", "org/net")
    shown = cli("model", "info", "org/net")
    assert "model.safetensors" in shown and "not stated" in shown


@pytest.mark.usefixtures("alone_in_exploratory")
def test_link_and_unlink_a_real_member(cli: Cli) -> None:
    workspace = this_workspace()
    assert workspace is not None
    data = workspace / "projects" / "exploratory" / "data"
    if os.path.lexists(data):
        pytest.fail(f"{data} is in the way of this test")
    cli("dataset", "pull", "rows")
    try:
        shown = cli("dataset", "link", "exploratory", "rows")
        assert shown.startswith(f"{data} -> {cli.assets}")
        assert "exploratory" in cli("dataset", "list")
        cli("dataset", "remove", "rows", code=2)
        assert "used by exploratory" in cli.errors
    finally:
        cli("dataset", "unlink", "exploratory")
    assert not os.path.lexists(data)


def test_progress_at_a_terminal(
    cli: Cli, at_a_terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cli.environment.items():
        monkeypatch.setenv(name, value)
    cli.server.fault("train.csv", "slow", bytes_per_second=2000)
    shown = at_a_terminal(COMMAND, "dataset", "pull", "rows")
    assert "pull org/rows@" in shown
    assert "B/s" in shown


ROOM = """
mount -t tmpfs -o size={size} none "$RESEARCH_ASSETS" && {command}
"""


def in_a_small_disk(cli: Cli, command: str, size: str = "1m") -> subprocess.CompletedProcess[str]:
    cli.assets.mkdir(exist_ok=True)
    return subprocess.run(
        ["unshare", "-Urm", "sh", "-c", ROOM.format(size=size, command=command)],
        env=cli.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(cli: Cli) -> None:
    add_repo(cli.root, "datasets", "org/big", {"rows.csv": os.urandom(3_000_000)})
    done = in_a_small_disk(cli, f"{COMMAND} dataset pull org/big")
    assert done.returncode == 1
    assert "needs 3.0 MB" in done.stderr and "Nothing was fetched" in done.stderr


def test_a_disk_that_fills_up_on_the_way_leaves_nothing_half(cli: Cli) -> None:
    files = {f"rows-{i}.csv": os.urandom(300_000) for i in range(3)}
    add_repo(cli.root, "datasets", "org/fills", files)
    cli.server.fault("/fills/", "slow", bytes_per_second=150_000)
    filling = (  # once the pull has looked at the room there is
        "(until ls -A $RESEARCH_ASSETS/datasets | grep -q partial; do sleep 0.02; done; "
        "head -c 800000 /dev/zero > $RESEARCH_ASSETS/other) 2>/dev/null &"
    )
    script = (
        f"{filling} {COMMAND} dataset pull org/fills; echo code $?; ls $RESEARCH_ASSETS/datasets; "
        f"rm $RESEARCH_ASSETS/other; {COMMAND} dataset pull org/fills"
    )
    done = in_a_small_disk(cli, script)
    assert "code 1\n" in done.stdout, done
    assert "cannot write" in done.stderr and "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.split("code 1\n")[1].startswith(str(cli.assets))  # ls showed nothing


def test_assets_that_can_only_be_read(cli: Cli) -> None:
    cli("dataset", "pull", "rows")
    script = (
        'mount --bind "$RESEARCH_ASSETS" "$RESEARCH_ASSETS" && '
        'mount -o remount,bind,ro "$RESEARCH_ASSETS" && '
        f"{COMMAND} dataset pull rows && {COMMAND} dataset verify rows && "
        f"{COMMAND} model pull org/net"
    )
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script],
        env=cli.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ok       org--rows@" in done.stdout
    assert "error: cannot write" in done.stderr and "Read-only file system" in done.stderr
    assert done.stderr.count("error: ") == 1
