"""Write a report as one HTML page, from report.html, report.css and report.js.

The template escapes every text that comes from the workspace's files. The page's
Content-Security-Policy forbids the browser to load anything from outside the page.
"""

import multiprocessing
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from research_data import StorageError
from research_data.assets.verify import count_cores
from research_data.durable import write_bytes
from research_data.shown import printable, shown_duration, shown_number
from research_train import runs as recorded_runs
from research_train.experiment.members import Member, find_member
from research_train.experiment.workspace_members import TRAINABLE, workspace_members
from research_train.history.comparison import differing
from research_train.history.curves import BESIDE_THE_POINT
from research_train.record.record import utc_now
from research_train.record.summary import RunSummary

from research_cli.report.curves import PageFigure, claims_figure, curve_figures
from research_cli.report.member import ShownMember, arxiv_link, ordered, shown_member
from research_cli.report.pictures import RunPictures, run_pictures
from research_cli.report.strip import strip

SHAPES = {
    "reproduced": "●",
    "better": "▲",
    "known gap": "◆",
    "undecided": "?",
    "not reproduced": "✖",
    "awaiting": "□",
    "scaled": "◐",
    "stale": "◌",
    "no evidence": "○",
}
METRICS_BESIDE = 3  # final metrics shown of a run, besides the first
FEW_RUNS = 50  # fewer are drawn faster than worker processes start
MOST_RUN_PROBLEMS = 20  # listed one by one; more are only counted
PROBLEM_LENGTH = 300  # characters shown of a problem


@dataclass(frozen=True)
class Written:
    """A report that was written: its size, what is in it, and what is wrong in the workspace.

    elsewhere: the papers whose evidence rests on runs of which none is among the outputs here.
    """

    bytes: int
    papers: int
    projects: int
    runs: int
    problems: list[str]
    elsewhere: list[str]


@dataclass(frozen=True)
class Section:
    """A paper or project on the page."""

    facts: ShownMember
    arxiv: str | None
    runs: int
    claims: PageFigure | None
    curves: list[PageFigure]
    pictures: RunPictures
    problems: list[str]

    @property
    def place(self) -> str:
        """The id of its part of the page."""
        return self.facts.place.replace("/", "-")


@dataclass(frozen=True)
class RunRow:
    """A row of the table of runs. seconds, first_value: for sorting; empty when there is none."""

    paper: str
    id: str
    experiment: str
    settings: str
    status: str
    started: str
    seconds: str
    took: str
    seed: str
    first_metric: str
    first_value: str
    metrics: str
    remarks: str
    evidence: bool


def write_report(workspace: Path, file: Path, papers: Sequence[str] = ()) -> Written:
    """Write the page. papers: names of the papers and projects to report on; by default all.

    Raises MemberError for an unknown name, StorageError when the file can't be written.
    """
    every = members = workspace_members(workspace, TRAINABLE, unread=True)
    if papers:
        chosen = [find_member(name, members) for name in papers]
        members = [member for member in members if member in chosen]
    found = recorded_runs()
    if papers:
        names = {member.name for member in members}
        found = [run for run in found if run.paper in names]
    sections = _sections(members, found)
    problems = [problem for section in sections for problem in section.problems]
    problems += _run_problems(found, {member.name for member in every})
    evidence = {run for section in sections for run in section.facts.evidence}
    varied = _varied_keys(found)
    page = _template().render(
        name=workspace.name,
        written=utc_now()[:16].replace("T", " ") + " UTC",
        papers=[section for section in sections if section.facts.kind == "paper"],
        verdicts=ordered(sum((Counter(each.facts.verdicts) for each in sections), Counter())),
        projects=[section for section in sections if section.facts.kind == "project"],
        rows=[_row(run, evidence, varied) for run in found],
        problems=problems,
        shapes=SHAPES,
        strip=strip,
        style=_part("report.css"),
        script=_part("report.js"),
    )
    content = page.encode("utf-8", errors="replace")  # a lone surrogate from some file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(file, error) from error
    write_bytes(file, content)
    kinds = [section.facts.kind for section in sections]
    here = {run.id for run in found}
    elsewhere = [
        each.facts.name
        for each in sections
        if each.facts.evidence and not each.facts.evidence & here
    ]
    return Written(
        len(content), kinds.count("paper"), kinds.count("project"), len(found), problems, elsewhere
    )


def _sections(members: Sequence[Member], found: Sequence[RunSummary]) -> list[Section]:
    """The section of every member, made on all cores where that is safe: figures take the time."""
    runs = [[run for run in found if run.paper == member.name] for member in members]
    processes = min(count_cores(), len(members))
    # Forked processes have matplotlib loaded; others would each take a second to import it.
    if processes < 2 or len(found) < FEW_RUNS or sys.platform != "linux":
        return list(map(_section, members, runs))
    with ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("fork"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),  # only this process handles Ctrl-C
    ) as pool:
        return list(pool.map(_section, members, runs))


def _section(member: Member, runs: Sequence[RunSummary]) -> Section:
    facts = shown_member(member)
    problems = list(dict.fromkeys(facts.problems))  # the same broken file may be reported twice
    claims = None
    try:
        claims = claims_figure(facts)
    except ValueError as error:
        problems.append(f"{member.name}: its claims can't be drawn: {error}")
    curves = list(curve_figures(facts, runs, problems))
    here = {run.id for run in runs}
    # On a fresh clone all of them are elsewhere, which is nothing to mend: results.json has values.
    if (gone := facts.evidence - here) and gone != facts.evidence:
        problems.append(
            f"{member.name}: {len(gone)} of the {len(facts.evidence)} runs that its claims rest "
            "on are not among the outputs here"
        )
    return Section(
        facts,
        arxiv_link(facts.arxiv),
        len(runs),
        claims,
        curves,
        run_pictures(runs),
        problems,
    )


def _run_problems(found: Sequence[RunSummary], known: set[str]) -> list[str]:
    """What is wrong with run folders: records that can't be read, papers that aren't here."""
    problems = [
        f"run {run.paper}/{run.id}: {run.problem}"[:PROBLEM_LENGTH] for run in found if run.problem
    ]
    problems += [
        f"run {run.paper}/{run.id}: its config.yaml can't be read"
        for run in found
        if run.record and not run.config
    ]
    if (more := len(problems) - MOST_RUN_PROBLEMS) > 0:
        problems[MOST_RUN_PROBLEMS:] = [
            f"{more} more runs have problems: the table of runs shows them"
        ]
    strange = sorted({run.paper for run in found} - known)
    if strange:
        problems.append(f"runs of papers that this workspace doesn't have: {', '.join(strange)}")
    return problems


def _varied_keys(found: Sequence[RunSummary]) -> dict[tuple[str, str], list[str]]:
    """Paper and experiment -> the config keys in which its runs differ.

    Keys in BESIDE_THE_POINT don't count. Configs are compared, not command lines: the command line
    of a run started from Python or with a config file doesn't show its settings.
    """
    configs: dict[tuple[str, str], list[dict[str, object]]] = {}
    for run in found:
        if run.record and run.config:
            configs.setdefault((run.paper, run.record.experiment), []).append(run.config)
    return {
        name: [key for key in differing(each) if key not in BESIDE_THE_POINT]
        for name, each in configs.items()
    }


def _row(
    run: RunSummary, evidence: set[str], varied: Mapping[tuple[str, str], Sequence[str]]
) -> RunRow:
    record = run.record
    metrics = [(name, value) for name, value in run.metrics.items()]
    first = metrics[0] if metrics else ("", None)
    keys = varied.get((run.paper, record.experiment), ()) if record else ()
    settings = [f"{key}={run.config[key]}" for key in keys if key in run.config]
    problems = [run.problem] if run.problem else []
    if record and not run.config:
        problems.append("its config.yaml can't be read")
    tags = [f"tagged {', '.join(record.tags)}"] if record and record.tags else []
    note = [record.note] if record and record.note else []
    try:
        seconds = run.seconds
    except (ValueError, TypeError):  # an attempt's time can't be parsed
        seconds = None
    doubts = [run.doubt] if run.doubt else []
    return RunRow(
        paper=run.paper,
        id=run.id,
        experiment=record.experiment if record else "",
        settings=" ".join(settings),
        status=run.status,
        started=_minute(run.started),
        seconds="" if seconds is None else f"{seconds:.1f}",
        took=shown_duration(seconds),
        seed=str(record.seed) if record else "",
        first_metric=f"{first[0]} {shown_number(first[1])}" if metrics else "",
        first_value="" if first[1] is None else f"{first[1]:.6g}",
        metrics=", ".join(f"{k} {shown_number(v)}" for k, v in metrics[1 : 1 + METRICS_BESIDE]),
        remarks="; ".join([*problems, *doubts, *run.remarks, *tags, *note])[:PROBLEM_LENGTH],
        evidence=run.id in evidence,
    )


def _minute(moment: str) -> str:
    try:
        return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return moment


def _template() -> Template:
    environment = Environment(
        finalize=_written,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Figures by research_viz are the only markup from outside this template. Their texts come from
    # files too, so control characters in them are written out.
    environment.filters["svg"] = lambda drawn: Markup(printable(drawn, keep="\n"))
    return environment.from_string(_part("report.html"))


def _written(value: object) -> object:
    """Text with control characters written out, such as one that reverses the rest of a line."""
    return printable(value, keep="\n") if type(value) is str else value


def _part(name: str) -> Markup:
    return Markup(files("research_cli").joinpath("report", name).read_text(encoding="utf-8"))
