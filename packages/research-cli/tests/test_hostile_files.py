"""Every file that a person or an import can hand us, spoilt in many ways: a sentence each time.

In this process, so that hundreds of trials take seconds. A command may succeed, or refuse with
exit code 1 or 2 and a word of why, but never with a traceback.

    HOSTILE_EVERY=1 uv run pytest packages/research-cli/tests/test_hostile_files.py    # all of them
"""

import io
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import pytest
from research_cli.app import app
from research_cli.environment.requirements import check_requirements
from research_cli.package.check import check_packages
from research_cli.package.state import packages
from research_cli.paper.check import check_papers
from research_cli.paper.state import papers
from research_train.command_line.edge import Command, at_the_edge, sentence_of
from research_train.launch import _evaluate, _train
from workspaces import Workspace

Look = Callable[[], str | None]

DIGITS = "9" * 5000
DEEP = 5_000

# Lines of aliases that unfold to nine to the power of twelve values.
BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(n)}: &{chr(n)} [{', '.join([f'*{chr(n - 1)}'] * 9)}]\n" for n in range(98, 110)
)

# What may stand in a file of any kind.
BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda content: content[: len(content) // 2],
    "all but one": lambda content: content[:-3],
    "binary": lambda _: bytes(range(256)) * 20,
    "zeros": lambda _: b"\0" * 500,
    "not UTF-8": lambda content: content[:40] + b"\xff\xfe" + content[40:],
    "UTF-16": lambda content: content.decode("utf-8", "replace").encode("utf-16"),
    "with a mark": lambda content: b"\xef\xbb\xbf" + content,
    "a list": lambda _: b"[1, 2]",
    "a number": lambda _: b"7",
    "null": lambda _: b"null",
    "text": lambda _: b'"text"',
    "huge integer": lambda _: DIGITS.encode(),
    "object of a huge integer": lambda _: f'{{"schema": {DIGITS}, "a": {DIGITS}}}'.encode(),
    "deep lists": lambda _: b"[" * DEEP + b"]" * DEEP,
    "deep objects": lambda _: b'{"a": ' * DEEP + b"1" + b"}" * DEEP,
    "bomb": lambda _: BOMB.encode(),
}
WRONG: list[object] = [
    None, True, -5, 1e308, 10**30, "", "x", "\x1b[2J\n", "../../..", "\ud800", "\0",
    [], [None], [[]], {}, {"a": None}, {"": ""}, float("nan"), float("inf"),
]  # fmt: skip


def spoilt(content: bytes) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """What may stand in a file in place of its content, made when asked for; and its name."""
    for name, change in BYTES.items():
        yield name, partial(change, content)
    try:
        value = json.loads(content)
    except ValueError:
        return
    for path in paths_in(value):
        place = ".".join(map(str, path))
        for wrong in WRONG:
            yield f"{place} = {wrong!r}", partial(changed, content, path, wrong)
        for name, text in (("digits", DIGITS), ("deep", "[" * DEEP + "]" * DEEP)):
            yield f"{place} = {name}", partial(changed, content, path, "HERE", text)
        yield f"without {place}", partial(dropped, content, path)


def changed(
    content: bytes, path: tuple[str | int, ...], new: object, text: str | None = None
) -> bytes:
    """The content with another value at a path; text: what is written in that value's place."""
    copy = json.loads(content)
    put(copy, path, new)
    written = json.dumps(copy)
    return (written if text is None else written.replace(json.dumps(new), text)).encode()


def dropped(content: bytes, path: tuple[str | int, ...]) -> bytes:
    copy = json.loads(content)
    drop(copy, path)
    return json.dumps(copy).encode()


def paths_in(value: object, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore
    for key, below in list(pairs)[:40]:
        yield (*above, key)
        if isinstance(below, dict | list):
            yield from paths_in(below, (*above, key))


def put(value: object, path: tuple[str | int, ...], new: object) -> None:
    for key in path[:-1]:
        value = value[key]  # type: ignore
    value[path[-1]] = new  # type: ignore


def drop(value: object, path: tuple[str | int, ...]) -> None:
    for key in path[:-1]:
        value = value[key]  # type: ignore
    del value[path[-1]]  # type: ignore


def typed(*words: str) -> str | None:
    """What is wrong with how a command of research-cli ended; None: nothing."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            app(list(words))
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
    errors = err.getvalue()
    if "Traceback" in errors or code not in (0, 1, 2):
        return f"{' '.join(words)[:100]}: {errors[-1500:]}"
    if any(len(line) > 2000 for line in errors.splitlines()):
        return f"{' '.join(words)[:100]}: a line of {max(map(len, errors.splitlines()))} letters"
    if code == 1 and not (errors or out.getvalue()):
        return f"{' '.join(words)[:100]}: ends with 1 and no word"
    return None


def ended(command: Command, *words: str) -> str | None:
    """What is wrong with how `train` or `evaluate` ended; None: nothing."""
    errors = io.StringIO()
    with redirect_stderr(errors), redirect_stdout(io.StringIO()):
        at_the_edge(command, words)
    said = errors.getvalue()
    return f"{' '.join(words)}: {said[-1500:]}" if "Traceback" in said else None


def called(function: Callable[..., object], *arguments: object) -> str | None:
    """What is wrong with what a function raises; None: nothing."""
    try:
        function(*arguments)
    except BaseException as error:
        sentence = sentence_of(error)
        if sentence is None:
            return f"{function.__name__}: {traceback.format_exc()[-1500:]}"
        if len(sentence) > 5000:
            return f"{function.__name__}: a sentence of {len(sentence)} letters"
    return None


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with two runs, one of them evaluated, and its paper importable here."""
    workspace = Workspace(tmp_path_factory.mktemp("hostile") / "workspace")
    workspace.add_paper()
    first = workspace.train("--quiet").folder.name
    assert workspace.train("seed=1", "--quiet").code == 0
    assert workspace.run("evaluate", "--paper", "tiny", "--run", first).code == 0
    export = ("run", "export", first, str(workspace.root / "run.tar"))
    assert workspace.run("research-cli", *export).code == 0
    real = Path(__file__).parents[3]
    for file in ("claims.yaml", "results.json", "README.md"):
        shutil.copyfile(real / "papers/mnist1d" / file, workspace.root / "papers/tiny" / file)
    shutil.copyfile(real / "uv.lock", workspace.root / "uv.lock")
    workspace.add_package("research-train")
    before = dict(os.environ)
    os.environ["RESEARCH_ASSETS"] = str(workspace.root / "assets")
    sys.path.insert(0, str(workspace.site))
    yield workspace
    sys.path.remove(str(workspace.site))
    os.environ.clear()
    os.environ.update(before)


EVERY = int(os.environ.get("HOSTILE_EVERY", "211"))  # one in so many values of a file is spoilt


def problems(file: Path, looks: Sequence[Look]) -> Iterator[str]:
    """What goes wrong with each way to spoil the file."""
    content = file.read_bytes()
    try:
        for number, (name, new) in enumerate(spoilt(content)):
            if number < len(BYTES) or number % EVERY == 0:
                file.write_bytes(new())
                for look in looks:
                    if problem := look():
                        yield f"{file.name}, {name}: {problem}"
    finally:
        file.write_bytes(content)


def run_names(workspace: Workspace) -> list[str]:
    return [folder.name for folder in sorted((workspace.outputs / "tiny").glob("[!.]*"))]


def test_the_record_of_a_run(workspace: Workspace) -> None:
    first, second = run_names(workspace)
    words = [
        ["run", "list", "--sort", "test/accuracy", "--where", "seed<5"],
        ["run", "show", first],
        ["run", "compare", first, second],
        ["run", "watch", first],
        ["run", "tag", first, "x"],
        ["run", "remove", first],
        ["run", "export", first, str(workspace.root / "out.tar")],
    ]
    looks = [partial(typed, *each) for each in words]
    looks.append(partial(ended, _evaluate, "--paper", "tiny", "--run", first))
    looks.append(partial(ended, _train, "--paper", "tiny", "--resume", first, "steps=20"))
    assert list(problems(workspace.outputs / "tiny" / first / "run.json", looks)) == []


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml",
        "metrics.jsonl",
        "evaluation.json",
        "checkpoints/step-00000020/manifest.json",
        "checkpoints/step-00000020/state.json",
    ],
)
def test_other_files_of_a_run(workspace: Workspace, name: str) -> None:
    first, _ = run_names(workspace)
    looks = [
        partial(typed, "run", "list", "--where", "seed<5"),
        partial(typed, "run", "show", first),
        partial(ended, _evaluate, "--paper", "tiny", "--run", first),
    ]
    assert list(problems(workspace.outputs / "tiny" / first / name, looks)) == []


def test_an_export(workspace: Workspace) -> None:
    file = workspace.root / "run.tar"
    assert list(problems(file, [partial(typed, "run", "import", str(file))])) == []


def test_the_archive_of_the_code(workspace: Workspace) -> None:
    [file] = (workspace.outputs / ".sources").iterdir()
    names = run_names(workspace)
    looks = [partial(typed, "run", "compare", *names), partial(typed, "run", "rerun", names[0])]
    assert list(problems(file, looks)) == []


def test_the_manifest_of_an_asset(workspace: Workspace) -> None:
    folders = (workspace.root / "assets" / "datasets").iterdir()
    [folder] = [each for each in folders if each.is_dir() and not each.is_symlink()]
    looks = [
        partial(typed, "dataset", "list"),
        partial(typed, "dataset", "show", folder.name),
        partial(typed, "dataset", "verify", folder.name),
    ]
    for file in sorted(folder.glob("*.json")):
        assert list(problems(file, looks)) == []


@pytest.mark.parametrize(
    "name",
    [
        "papers/tiny/pyproject.toml",
        "papers/tiny/claims.yaml",
        "papers/tiny/results.json",
        "papers/tiny/README.md",
        "pyproject.toml",
        "packages/research-train/pyproject.toml",
    ],
)
def test_files_of_papers_and_packages(workspace: Workspace, name: str) -> None:
    readers: list[Callable[..., object]] = [papers]
    if name.endswith(".toml"):  # all of them read these, and no other file here
        readers += [packages, check_packages, check_requirements]
    looks = [partial(called, function, workspace.root) for function in readers]
    assert list(problems(workspace.root / name, looks)) == []


@pytest.mark.parametrize("name", ["pyproject.toml", "config.yaml", "paper_tiny/config.py"])
def test_what_paper_check_says_of_them(workspace: Workspace, name: str) -> None:
    file = workspace.root / "papers" / "tiny" / name
    content = file.read_bytes()
    for way in ("not UTF-8", "UTF-16", "huge integer", "deep lists", "bomb"):
        file.write_bytes(BYTES[way](content))
        assert called(check_papers, workspace.root) is None
    file.write_bytes(content)
