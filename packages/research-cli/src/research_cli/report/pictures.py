"""The pictures that a paper's runs logged: the newest of each name, with `run.log_image`."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from research_data.shown import first_few, shown_size
from research_train import read_media
from research_train.record.summary import RunSummary

from research_cli.report.readme import LARGEST, Picture

MOST_PICTURES = 6  # of a paper
PNG = b"\x89PNG\r\n\x1a\n"  # what such a file begins with


@dataclass(frozen=True)
class RunPicture:
    """A picture as it is shown, and where it comes from."""

    name: str
    step: int
    run: str
    picture: Picture


@dataclass(frozen=True)
class RunPictures:
    """The pictures of a paper's runs. remark: what is left out; empty where nothing is."""

    shown: list[RunPicture]
    remark: str


def run_pictures(runs: Sequence[RunSummary]) -> RunPictures:
    """The last picture of each name, from the newest run that has one of this name.

    runs: of one paper, newest first. A file that is no PNG, or can't be read, is left out.
    """
    shown: dict[str, RunPicture] = {}
    large: list[str] = []
    more: list[str] = []
    for run in runs:
        last = {each.name: each for each in read_media(run.folder) if each.kind == "image"}
        for name, each in last.items():
            if name in shown or name in large or name in more:
                continue
            try:
                if each.file.stat().st_size > LARGEST:
                    large.append(name)
                    continue
                content = each.file.read_bytes()
            except OSError:
                continue
            if not content.startswith(PNG):
                continue
            if len(shown) == MOST_PICTURES:
                more.append(name)
                continue
            coded = base64.b64encode(content).decode()
            words = f"{name} at step {each.step} of {run.id}"
            picture = Picture(f"data:image/png;base64,{coded}", words)
            shown[name] = RunPicture(name, each.step, run.id, picture)
    left_out = [
        f"{why}: {first_few(names, 10)}"
        for why, names in (
            (f"larger than {shown_size(LARGEST)}", large),
            (f"more than {MOST_PICTURES} names", more),
        )
        if names
    ]
    return RunPictures(
        list(shown.values()), f"not shown: {'; '.join(left_out)}" if left_out else ""
    )
