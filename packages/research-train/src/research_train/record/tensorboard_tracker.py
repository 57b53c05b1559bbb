"""Write what a run logs as TensorBoard's event files."""

import json
import shutil
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from research_data.shown import printable

from research_train.record.folders import CONFIG, RECORD


class TensorBoardTracker:
    """Event files in the run's folder `tensorboard`, made anew.

    Its protocol is used directly, because torch's SummaryWriter would import torch here too.
    """

    def __init__(self, folder: Path):
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2
        self._tensor, self._types = tensor_pb2.TensorProto, types_pb2
        self._folder = folder
        self._last = 0, 0.0  # step and time
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        self._writer = EventFileWriter(str(folder / "tensorboard"))
        for name, text in (("run", str(folder)), ("config", _as_markdown(folder / CONFIG))):
            self._writer.add_event(self._of([self._text(name, text)]))
        self._write_settings()

    def log(self, step: int, time: float, metrics: Mapping[str, float]) -> None:
        """Add one event with one scalar per metric."""
        values = [
            self._summary.Summary.Value(tag=printable(name), simple_value=value)
            for name, value in metrics.items()
        ]
        self._last = step, time
        self._writer.add_event(self._of(values, step, time))

    def show(self, step: int, time: float, name: str, file: Path) -> None:
        """Add a picture, text or histogram."""
        content = file.read_bytes()
        if file.suffix == ".png":
            width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
            image = self._summary.Summary.Image(
                width=width, height=height, encoded_image_string=content
            )
            value = self._summary.Summary.Value(tag=name, image=image)
        elif file.suffix == ".txt":
            value = self._text(name, content.decode())
        else:
            value = self._summary.Summary.Value(tag=name, histo=self._histogram(content))
        self._writer.add_event(self._of([value], step, time))

    def close(self) -> None:
        """Write how the run ended, its final metrics, and what is left."""
        self._write_end()
        self._writer.close()

    def _of(self, values: list[Any], step: int = 0, time: float | None = None) -> Any:
        when = {} if time is None else {"wall_time": time}
        return self._event(step=step, summary=self._summary.Summary(value=values), **when)

    def _text(self, name: str, text: str) -> Any:
        metadata = self._summary.SummaryMetadata
        written = text.encode(errors="backslashreplace")
        return self._summary.Summary.Value(
            tag=name,
            metadata=metadata(plugin_data=metadata.PluginData(plugin_name="text")),
            tensor=self._tensor(dtype=self._types.DT_STRING, string_val=[written]),
        )

    def _histogram(self, content: bytes) -> Any:
        said = json.loads(content)
        edges, counts = said["edges"], said["counts"]
        middles = [(low + high) / 2 for low, high in pairwise(edges)]
        return self._summary.HistogramProto(
            min=edges[0],
            max=edges[-1],
            num=sum(counts),
            sum=sum(n * x for n, x in zip(counts, middles, strict=True)),
            sum_squares=sum(n * x * x for n, x in zip(counts, middles, strict=True)),
            bucket_limit=edges[1:],
            bucket=counts,
        )

    # The tab HPARAMS: a row for each run, whose columns are its config and its scalars. Without an
    # event that describes an experiment, TensorBoard finds the columns of all runs by itself.

    def _write_settings(self) -> None:
        from tensorboard.plugins.hparams import plugin_data_pb2

        record = json.loads((self._folder / RECORD).read_text(encoding="utf-8"))
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=_seconds(record["started"]))
        for key, value in _flat(record["config"] or {}):
            if isinstance(value, bool):
                start.hparams[key].bool_value = value
            elif isinstance(value, int | float):
                start.hparams[key].number_value = value
            else:
                shown = value if isinstance(value, str) else json.dumps(value)
                start.hparams[key].string_value = printable(shown)
        self._write_plugin_data("session_start_info", start)

    def _write_end(self) -> None:
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

        record = json.loads((self._folder / RECORD).read_text(encoding="utf-8"))
        if record["status"] == "running":  # it was killed
            return
        step, time = self._last
        final = {f"final/{k}": v for k, v in record["metrics"].items() if v is not None}
        if final:
            self.log(step, time or _seconds(record["ended"]), final)
        states = {"completed": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE}
        state = states.get(record["status"], api_pb2.STATUS_UNKNOWN)
        end = plugin_data_pb2.SessionEndInfo(status=state, end_time_secs=_seconds(record["ended"]))
        self._write_plugin_data("session_end_info", end)

    def _write_plugin_data(self, name: str, content: Any) -> None:
        from tensorboard.plugins.hparams import plugin_data_pb2

        whole = plugin_data_pb2.HParamsPluginData(version=0, **{name: content})
        metadata = self._summary.SummaryMetadata
        data = metadata.PluginData(plugin_name="hparams", content=whole.SerializeToString())
        empty = self._tensor(dtype=self._types.DT_FLOAT)
        empty.tensor_shape.dim.add(size=0)
        tag, described = f"_hparams_/{name}", metadata(plugin_data=data)
        value = self._summary.Summary.Value(tag=tag, metadata=described, tensor=empty)
        self._writer.add_event(self._of([value]))


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The config under dotted keys."""
    found = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        below = isinstance(value, dict) and value
        found += _flat(value, f"{name}.") if below else [(name, value)]
    return found


def _as_markdown(config: Path) -> str:
    lines = config.read_text(encoding="utf-8").splitlines()
    return "\n".join(f"    {line}" for line in lines)  # indented: Markdown's form for code


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
