"""A recorded run as a notebook reads it: a row of a table, its curves, and how it looks.

from research_train import read_run, runs
run = read_run("20261124-1438")
run.config, run.metrics, run.record, run.curve("test/accuracy"), run.points()
pandas.DataFrame(run.row() for run in runs("mnist1d"))
"""

from pathlib import Path

from research_data.errors import UsageError
from research_data.shown import shown_duration

from research_train.history.curves import RunGroup, group_curve, why_empty
from research_train.history.html_table import html_pairs, html_table, html_text
from research_train.record.finding import find_any_run
from research_train.record.metrics_file import Point, read_metrics
from research_train.record.summary import RunSummary, record_of


class RecordedRun(RunSummary):
    """A run as it stands on the disk, of which a notebook shows a table.

    It has what a RunSummary has: `id`, `config` (dotted keys), `metrics` (the final ones),
    `record` (run.json), `status`, `folder`.
    """

    def points(self) -> list[Point]:
        """The lines of metrics.jsonl: step, time and the metrics logged there, in their order."""
        return read_metrics(self.folder)

    def curve(self, metric: str) -> tuple[list[int], list[float]]:
        """Steps and values of a metric, as `research_viz.learning_curves` takes them.

        A value that isn't finite is NaN. Raises UsageError, which names the metrics that there
        are, if the run has logged no such one.
        """
        group = RunGroup(self.id, [self])
        steps, values = group_curve(group, metric)
        if not steps:
            raise UsageError(why_empty(group, metric))
        return steps, values[0]

    def row(self) -> dict[str, object]:
        """The run in one flat dict, for a row of a data frame.

        First what the record says (`id`, `paper`, ..., `folder`), then the config under dotted
        keys, then the final metrics. A config key or metric whose name is taken is called
        `config.NAME` or `metrics.NAME`.
        """
        record = self.record
        row: dict[str, object] = {
            **{"id": self.id, "paper": self.paper},
            **{name: getattr(record, name, None) for name in ("experiment", "name", "group")},
            **{"status": self.status, "started": self.started, "seconds": self.seconds},
            "folder": str(self.folder),
        }
        for section, values in (("config", self.config), ("metrics", self.metrics)):
            row |= {f"{section}.{key}" if key in row else key: v for key, v in values.items()}
        return row

    def _repr_html_(self) -> str:
        """What a notebook shows: what it is, the final metrics, and the config to open."""
        name = self.record and self.record.name
        what = self.record.experiment if self.record else self.paper
        words = [self.status, f"started {self.started}", f"took {shown_duration(self.seconds)}"]
        told = [word for word in (name, self.problem, self.doubt, *self.remarks) if word]
        lines = [f"<b>{html_text(self.id)}</b> of {html_text(what)}: {html_text(', '.join(words))}"]
        lines += map(html_text, told)
        metrics = html_table(["metric", "final"], list(self.metrics.items()))
        shown = metrics if self.metrics else ""
        return f"<p>{'<br>'.join(lines)}</p>{shown}{html_pairs('config', self.config)}"


def read_run(run: Path | str) -> RecordedRun:
    """A recorded run, by its folder, its id or the beginning of it, its name, or `paper/id`.

    Raises RunError if there is no such run, or several, or its record can't be read.
    """
    found = find_any_run(str(run))
    record_of(found)
    return as_recorded(found)


def as_recorded(run: RunSummary) -> RecordedRun:
    """The same run, with what a notebook asks of it."""
    return RecordedRun(run.folder, run.record, run.status, run.problem, run.remarks)
