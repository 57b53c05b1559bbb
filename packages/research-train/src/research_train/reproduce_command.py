"""The command `reproduce`: compare published with reproduced numbers and judge each claim.

uv run --package paper-mnist1d reproduce
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from research_data.errors import HubError, UsageError
from research_data.progress import ProgressLine
from research_data.shown import counted, first_few, print_line, say, shown_duration

from research_train.command_line.edge import at_the_edge
from research_train.processes.children import end_with_parent
from research_train.processes.collector import collect_rarely
from research_train.processes.hash_seed import start_with_fixed_hashes
from research_train.processes.srun import refuse_tasks

if TYPE_CHECKING:
    from argparse import Namespace

    from research_train.claims.claim import Finding
    from research_train.evidence.hardware import PlanHere
    from research_train.evidence.plan import Settled
    from research_train.evidence.reproduce import Reproduction
    from research_train.evidence.trainings import NeededRun
    from research_train.experiment.members import Member
    from research_train.record.summary import RunSummary
    from research_train.results.costs import Cost
    from research_train.results.recorded import RecordedResults

# Imported where used: what reads members and configs (0.2 s, which a process that starts again
# would spend twice), and what only a reproduction needs.


def reproduce_command() -> int:
    """The console script `reproduce`; always of the workspace's own version."""
    start_with_fixed_hashes()  # for this process and those it starts
    collect_rarely()
    end_with_parent()
    return at_the_edge(reproduce_words, sys.argv[1:])


def reproduce_words(
    words: Sequence[str], settled: "Settled | None" = None, member: "Member | None" = None
) -> int:
    """Do what `reproduce` does with these words; returns its exit code.

    settled: as for `reproduce`, which raises NotSettled then. With it the workspace's README isn't
    renewed: that is done once, after all papers. member: the paper, if the caller has found it.
    """
    from research_train.command_line.usage import parse, reproduce_parser
    from research_train.command_line.which_paper import which_member
    from research_train.experiment.members import installed_members
    from research_train.versions.hand_over import leave_releases

    leave_releases()
    parser = reproduce_parser()
    options = parse(parser, words)
    if options.help:
        print(parser.format_help())
        return 0
    refuse_tasks("reproduce", ", or `reproduce --on slurm`, which submits the runs as jobs")
    for name in ("seeds", "jobs"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise UsageError(f"--{name} {value}: at least one")
    member = member or which_member(options.paper, installed_members())
    if options.on == "slurm":
        _refuse_slurm(options, member)
    from research_train.evidence.hardware import plan_here, refuse_left_out
    from research_train.evidence.plan import plan_runs
    from research_train.evidence.reproduce import due_runs
    from research_train.history.table import runs
    from research_train.results.recorded import read_results

    if options.dry_run:
        there = runs(member.name)
        every = plan_runs(
            member, options.words, options.seeds, options.quick, options.quiet, settled
        )
        possible = plan_here(every, there)
        if not options.here:
            refuse_left_out(possible)
        plan = possible.plan
        needed = due_runs(plan, there)
        _print_plan(needed, possible, read_results(member), options.json)
        older = 0 if options.quick else len(plan.older_evidence(needed, there))
        if older and not options.json:
            print(f"{older} settings have runs of older code: one run of each is replayed first")
        return 0
    from research_train.evidence.reproduce import reproduce
    from research_train.processes.beside import Beside
    from research_train.results.kept import with_kept
    from research_train.results.overview import states_of_others, write_overview
    from research_train.results.readme import read_readme
    from research_train.results.recorded import costs_of
    from research_train.results.report import write_report
    from research_train.results.screen import live_table

    if not options.quick:
        read_readme(member)  # before hours of training, not after
    live = sys.stderr.isatty() and not options.quick and options.on == "local"
    with (
        live_table() if live else nullcontext(lambda work: None) as show,
        _queue_line(options.quiet) as queue,
    ):
        outcome = reproduce(
            member,
            options.words,
            options.seeds,
            options.jobs,
            options.quick,
            (lambda line: None) if live or options.quiet else queue.say,
            show,
            options.here,
            options.quiet,
            options.on,
            queue.show,
            settled,
        )
    # The whole README is renewed only at the end of what isn't a part or a smoke test.
    whole = not outcome.quick and settled is None and outcome.incomplete is None
    others = Beside(lambda: states_of_others(member)) if whole else None
    outcome = with_kept(outcome)
    costs = {} if outcome.quick else costs_of(outcome)
    files = write_report(outcome, costs)
    if files and others is not None:
        write_overview(member.workspace, others.result())
    _print_outcome(outcome, costs, files, options.json)
    if outcome.quick:
        return 1 if outcome.failed else 0
    return 0 if outcome.holds else 1


def _refuse_slurm(options: "Namespace", member: "Member") -> None:
    """Find what stands in the way of jobs, before a plan is made. Raises the errors of `reproduce`.

    A smoke test of seconds would wait in the queue for longer.
    """
    from research_train.places.cluster_options import cluster_options
    from research_train.places.slurm import refuse_without_slurm

    if options.quick:
        raise UsageError("--quick --on slurm: a smoke test takes seconds; leave out --on slurm")
    cluster_options(member.folder)
    if not options.dry_run:
        refuse_without_slurm()


class _QueueLine:
    """How the jobs of a cluster stand: at a terminal one line that changes, else one per change."""

    def __init__(self, quiet: bool):
        self._line, self._shown = ProgressLine(quiet), ""

    def say(self, line: str) -> None:
        """Show a line that stays."""
        self._line.clear()
        say(line)

    def clear(self) -> None:
        """Remove the line that changes."""
        self._line.clear()

    def show(self, line: str) -> None:
        """Show how all stands now."""
        if line != self._shown:
            self._line.show(line)
            self._shown = line


@contextmanager
def _queue_line(quiet: bool) -> Iterator[_QueueLine]:
    line = _QueueLine(quiet)
    try:
        yield line
    finally:
        line.clear()


def _print_outcome(
    outcome: "Reproduction", costs: "Mapping[str, Cost]", files: Iterable[Path], as_json: bool
) -> None:
    from research_data.shown import table_lines

    from research_train.results.rows import COLUMNS, claims_table

    columns, rows = claims_table(outcome.findings, costs)
    if outcome.quick:
        judged = [finding.verdict == "awaiting" for finding in outcome.findings]
        rows = [
            row if each else [*row[:-1], "not judged"]
            for row, each in zip(rows, judged, strict=True)
        ]
    if as_json:
        failed = [{"run": each.needed.label, "why": each.why} for each in outcome.failed]
        claims = [
            {
                **dict(zip(COLUMNS, row, strict=False)),
                **_facts(finding, outcome.quick),
                "cost": cost.model_dump() if (cost := costs.get(finding.claim.name)) else None,
            }
            for row, finding in zip(rows, outcome.findings, strict=True)
        ]
        edited = [run.id for run in outcome.edited]
        value = {
            "claims": claims,
            "failed": failed,
            "edited": edited,
            "quick": outcome.quick,
            "left_out": _as_text(outcome.left_out),
        }
        print(json.dumps(value, indent=2))
        return
    for line in table_lines(columns, rows, right=True) if rows else ():
        print_line(line)
    for each in outcome.failed:
        print_line(f"failed: {each.needed.label}: {each.why}")
    _say_left_out(outcome.left_out)
    _say_edited(outcome.edited)
    if outcome.quick:
        print_line("a smoke test shows only that everything runs: it is no evidence")
    elif outcome.incomplete:
        print_line(f"the paper's README and results.json are unchanged: {outcome.incomplete}")
    for file in files:
        print(file)


def _facts(finding: "Finding", quick: bool) -> dict[str, object]:
    """What JSON says of a claim besides its row in the table."""
    from research_train.results.rows import verdict_notes

    claim, judged = finding.claim, not quick or finding.verdict == "awaiting"
    return {
        "verdict": finding.verdict if judged else "not judged",
        "notes": verdict_notes(finding) if judged else [],
        "scale": claim.scale,
        "awaiting": claim.awaiting.model_dump() if claim.awaiting else None,
        "page": claim.page,
        "quote": claim.quote,
    }


def _say_edited(runs: Iterable["RunSummary"]) -> None:
    for run in runs:
        print_line(f"no evidence: {run.id}: changed after it ended, its seal no longer fits")


def _say_left_out(left_out: Mapping[str, HubError]) -> None:
    for why in dict.fromkeys(_as_text(left_out).values()):
        names = [name for name, each in left_out.items() if str(each) == why]
        print_line(f"left out: {first_few(names, 8)}: {why}")


def _as_text(left_out: Mapping[str, HubError]) -> dict[str, str]:
    return {name: str(why) for name, why in left_out.items()}


def _print_plan(
    needed: Sequence["NeededRun"],
    possible: "PlanHere",
    recorded: "RecordedResults | None",
    as_json: bool,
) -> None:
    from research_train.evidence.reproduce import edited_runs

    edited = edited_runs(needed)
    missing = [each for each in needed if each.run is None]
    known = [each.seconds for each in missing if each.seconds is not None]
    there, took = recorded.together if recorded else (0, None)
    if as_json:
        rows = [
            {
                "run": each.label,
                "evidence": each.run.id if each.run else None,
                "seconds": each.seconds,
            }
            for each in needed
        ]
        value = {
            "runs": rows,
            "missing": len(missing),
            "seconds": sum(known),
            "recorded": {"runs": there, "seconds": took},
            "edited": [run.id for run in edited],
            "awaiting": {
                each.name: each.awaiting.model_dump() for each in possible.waiting if each.awaiting
            },
            "left_out": _as_text(possible.left_out),
        }
        print(json.dumps(value, indent=2))
        return
    for each in needed:
        if each.run is not None:
            state = f"there: {each.run.id}"
        elif each.resume is not None:
            state = f"to be finished: {each.resume.id}"
        else:
            state = "to be run"
        print_line(
            f"{each.label}: {state}" + (f", about {each.seconds:.0f} s" if each.seconds else "")
        )
    for claim in possible.waiting:
        print_line(f"{claim.name}: awaits {claim.awaiting}")
    _say_left_out(possible.left_out)
    _say_edited(edited)
    unknown = len(missing) - len(known)
    times = [f"about {sum(known):.0f} s one after another"] if known or not missing else []
    times += [f"{counted(unknown, 'run')} of unknown duration"] if unknown else []
    print_line(f"{len(missing)} of {len(needed)} to run: {', '.join(times)}")
    if unknown and recorded and took is not None:
        print_line(
            f"the {counted(there, 'run')} of the recorded results took {shown_duration(took)} one "
            f"after another ({recorded.hardware})"
        )
