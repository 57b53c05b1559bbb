"""Print `research-cli run list`, `show` and `compare`, for people and as JSON."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from research_data.shown import (
    first_few,
    print_line,
    shown_age,
    shown_duration,
    shown_number,
    shown_size,
)

from research_cli.printing import print_table

if TYPE_CHECKING:
    from research_train.history.changes import Removal
    from research_train.history.comparison import RunComparison
    from research_train.history.known_runs import KnownRun
    from research_train.places.pending import PendingJob
    from research_train.record.summary import RunSummary

    Listed = RunSummary | KnownRun

METRICS_SHOWN = 3  # in a row of the list
COLUMNS_SHOWN = 6  # of config keys that nobody asked for


def list_rows(
    found: "Sequence[Listed]",
    columns: Sequence[str],
    every_metric: bool = False,
    jobs: "Sequence[PendingJob]" = (),
) -> list[dict[str, str]]:
    """The rows, their cells by column, without columns that are empty in every row.

    columns: config keys and metrics to give a column each; every_metric: as all others. jobs: those
    that wait; one without a run has a row of its own.
    """
    many_papers = len({run.folder.parent.name for run in found}) > 1
    own = list(columns)
    if every_metric:
        own += dict.fromkeys(k for run in found for k in run.metrics if k not in columns)
    waiting = {job.run: job for job in jobs if job.run}
    rows = [_job_row(job, own) for job in jobs if not job.run]
    for run in found:
        record, config, metrics = run.record, run.config if own else {}, run.metrics
        job = waiting.get(run.id)
        others = [(k, v) for k, v in metrics.items() if k not in own][:METRICS_SHOWN]
        remarks = [job.reason if job else None, run.problem, *_remarks(run)]
        row = {
            "run": f"{run.folder.parent.name}/{run.id}" if many_papers else run.id,
            "name": (record.name if record else None) or "",
            "status": job.status if job else run.status,
            "when": shown_age(run.started),
            "took": shown_duration(run.seconds),
            "seed": str(record.seed) if record else "",
            **{key: shown_number(metrics.get(key, config.get(key, ""))) for key in own},
            "metrics": ", ".join([f"{k} {shown_number(v)}" for k, v in others]),
            "group": (record.group if record else None) or "",
            "tags": ", ".join(record.tags) if record else "",
            "remarks": "; ".join(filter(None, remarks)),
        }
        rows.append(row)
    if not rows:
        return []
    kept = [name for name in rows[0] if any(row[name] for row in rows)]
    return [{name: row[name] for name in kept} for row in rows]


def _job_row(job: "PendingJob", own: Sequence[str]) -> dict[str, str]:
    """The row of a job without a run: what was asked for, and why it waits."""
    return {
        "run": f"job {job.job}",
        "name": "",
        "status": job.status,
        "when": shown_age(job.submitted),
        "took": "",
        "seed": "",
        **dict.fromkeys(own, ""),
        "metrics": "",
        "group": "",
        "tags": "",
        "remarks": f"{job.reason}; {job.paper}: {' '.join(job.words)}",
    }


def chosen_columns(
    found: "Sequence[Listed]", asked: Sequence[str], columns: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """The config keys and metrics that get a column, and the keys that differ and get none.

    asked: those of --where and --sort. columns: of --columns; by default the config keys that
    differ between the runs, up to COLUMNS_SHOWN. Raises UsageError for one that no run has.
    """
    from research_train import varying_keys
    from research_train.history.conditions import resolve_key

    wanted: list[str] = []
    if asked or columns:
        known = {key for run in found for key in run.values}
        wanted = [resolve_key(_key_of(text), known) for text in asked if known]
        wanted += [resolve_key(name, known) for name in columns or []]
    varying = [key for key in varying_keys(found) if key not in wanted] if columns is None else []
    return [*dict.fromkeys(wanted), *varying[:COLUMNS_SHOWN]], varying[COLUMNS_SHOWN:]


def _remarks(run: "Listed") -> list[str]:
    """What is unusual about a run: no evidence, a copy, or a new paper's placeholder."""
    placeholder = ["trained on a new paper's placeholder"] if _is_placeholder(run) else []
    return [*([run.doubt] if run.doubt else []), *run.remarks, *placeholder]


def _is_placeholder(run: "Listed") -> bool:
    """Whether a run is of what `paper new` makes: its only data, and its only key of its own."""
    if run.record is None or list(run.record.assets) != [f"{run.paper}-points"]:
        return False
    from research_train import TrainConfig

    return run.config.keys() - TrainConfig.model_fields.keys() == {"learning_rate"}


def as_json(run: "Listed") -> dict[str, Any]:
    """What --json says of a run in a list."""
    record = run.record
    recorded = ("experiment", "name", "ended", "seed", "group", "note")
    return {
        **{name: getattr(run, name) for name in ("id", "paper", "status", "started", "seconds")},
        **{name: getattr(record, name, None) for name in recorded},
        "tags": record.tags if record else [],
        "metrics": run.metrics,
        "folder": str(run.folder),
        "problem": run.problem,
        "remarks": _remarks(run),
    }


def complete(run: "RunSummary") -> dict[str, Any]:
    """Everything about a run, for --json and for people."""
    from research_data.assets.catalog import disk_size
    from research_train.errors import ConfigError
    from research_train.record.folders import CHECKPOINTS
    from research_train.record.metrics_file import read_metrics
    from research_train.record.record import checkpoint_folders, record_as_json
    from research_train.record.resolved_config import read_resolved_config

    try:
        config, wrong = read_resolved_config(run.folder, run.record), None
    except ConfigError as error:
        config, wrong = {}, str(error)
    sizes = {
        path.name + ("/" if path.is_dir() else ""): (
            disk_size(path) if path.is_dir() else path.lstat().st_size
        )
        for path in sorted(run.folder.iterdir())
        if path.name != CHECKPOINTS and not path.name.startswith(".")
    }
    return {
        **as_json(run),
        "seal": run.seal_state,
        "config": config,
        "config_problem": wrong,
        "last_line": (read_metrics(run.folder) or [{}])[-1],
        "record": record_as_json(run.record) if run.record else None,
        "checkpoints": {path.name: disk_size(path) for path in checkpoint_folders(run.folder)},
        "files": sizes,
        "bytes": disk_size(run.folder),
    }


def show_lines(value: dict[str, Any]) -> Iterable[str]:
    """What `complete` returned, line by line for people."""
    record = value["record"] or {}
    packages = dict(record.get("packages", {}))
    for name, sha256 in record.get("releases", {}).items():
        packages[name] = f"{packages.get(name, '')}  a release, sha256 of its wheel {sha256[:12]}"
    git = record.get("git") or {}
    commit = (
        f"{git['commit'] or 'none'}{', with uncommitted changes' if git.get('dirty') else ''}"
        if git
        else ""
    )
    error = record.get("error") or {}
    rows = {
        "run": value["id"],
        "problem": value["problem"],
        "remarks": "; ".join(value["remarks"]),
        "paper": value["paper"],
        "experiment": value["experiment"],
        "name": value["name"],
        "status": value["status"],
        "error": f"{error['type']}: {error['message']}" if error else "",
        "started": f"{value['started']} ({shown_age(value['started'])})",
        "ended": value["ended"],
        "took": shown_duration(value["seconds"]),
        "seed": "" if value["seed"] is None else str(value["seed"]),
        "tags": ", ".join(value["tags"]),
        "note": value["note"],
        "parent": record.get("parent"),
        "group": value["group"],
        "seal": {
            "none": "none: only a completed run has one",
            "fits": "fits: record, config, metrics and weights are unchanged",
            "broken": "BROKEN: record, config, metrics or weights were changed after the run ended"
            if record.get("seal")
            else "BROKEN: the run is completed but has no seal, so it is not evidence",
        }[value["seal"]],
        "command": " ".join(record.get("command", [])),
        "git": commit,
        "source": record.get("source"),
        "fingerprint": record.get("fingerprint"),
        "folder": value["folder"],
        "size": shown_size(value["bytes"]),
    }
    yield from (f"{key:<12} {text}" for key, text in rows.items() if text)
    if value["config_problem"]:
        yield f"{'config':<12} {value['config_problem']}"
    for title, pairs in (
        ("metrics", {k: shown_number(v) for k, v in value["metrics"].items()}),
        ("last line of metrics.jsonl", {k: shown_number(v) for k, v in value["last_line"].items()}),
        ("config", {k: shown_number(v) for k, v in value["config"].items()}),
        ("packages", packages),
        ("assets", record.get("assets", {})),
        ("environment", record.get("environment", {})),
        ("checkpoints", {k: shown_size(v) for k, v in value["checkpoints"].items()}),
        ("files", {k: shown_size(v) for k, v in value["files"].items()}),
    ):
        if pairs:
            width = max(map(len, pairs))
            yield ""
            yield title
            yield from (f"  {k:<{width}}  {'-' if v is None else v}" for k, v in pairs.items())
    if attempts := record.get("attempts", []):
        yield ""
        yield "attempts"
        for each in attempts:
            end = each["end"] or "end not recorded"
            yield f"  {each['time']} - {end}  {each['status']}  on {each['host']}"


def print_comparison(comparison: "RunComparison") -> None:
    """Print a table with a column for each run, and remarks below it."""
    from research_train.history.comparison import labels

    runs = comparison.runs
    heads = labels(runs)
    two = len(runs) == 2
    ids = [run.id for run in runs]
    rows = [
        *([["run", "", *ids]] if heads != ids else []),
        ["status", "", *(run.status for run in runs)],
        ["took", "", *(shown_duration(run.seconds) for run in runs)],
    ]
    for section, keys in comparison.differences.items():
        for index, (key, values) in enumerate(keys.items()):
            rows.append([section if index == 0 else "", key, *(_cell(value) for value in values)])
    for index, (name, numbers) in enumerate(comparison.metrics.items()):
        cells = [shown_number(number) for number in numbers]
        if two and None not in numbers:
            cells.append(f"{numbers[1] - numbers[0]:+.4g}")  # type: ignore[operator]
        rows.append(["metrics" if index == 0 else "", name, *cells])
    columns = ["", "", *heads, *(["difference"] if two else [])]
    print_table(columns, [row + [""] * (len(columns) - len(row)) for row in rows])
    if comparison.same_experiment:
        print("same experiment: the fingerprints are equal")
    if files := comparison.changed_files:
        print_line(f"source files that differ: {first_few(files, 10)}")
    for run in comparison.missing_archives:
        print_line(f"the code archive of {run} is not here, so its source files can't be compared")


def removal_lines(removal: "Removal", done: bool) -> Iterable[str]:
    """What removing runs would free or has freed, line by line for people."""
    verb = "removed" if done else "would remove"
    for path, size in removal.runs.items():
        yield f"{verb} {path}: {shown_size(size)}"
    for path, size in removal.archives.items():
        yield f"{verb} {path}, code that no other run uses: {shown_size(size)}"
    if removal.kept:
        yield f"code is kept: {removal.kept}"
    if not done:
        yield f"{shown_size(removal.size)} in all; nothing is removed yet: add --yes to remove"


def _key_of(text: str) -> str:
    """The key in a condition, or the key itself."""
    for index, letter in enumerate(text):
        if letter in "<>=!":
            return text[:index].strip()
    return text


def _cell(value: object) -> str:
    text = shown_number(value)
    whole = len(text) in (40, 64) and set(text) <= set("0123456789abcdef")
    return text[:12] if whole else text  # a hash
