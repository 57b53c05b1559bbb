"""Write what a run logs as a run of W&B."""

import html
import json
import shutil
from collections.abc import Mapping
from pathlib import Path


class WandbTracker:
    """A W&B run in the run's folder `wandb`; offline it is made anew, online it continues."""

    def __init__(self, folder: Path):
        import wandb

        from research_train.experiment.yaml_file import read_yaml
        from research_train.record.folders import CONFIG
        from research_train.record.record import read_record

        record, config = read_record(folder), read_yaml(folder / CONFIG)
        mode = config["wandb"]
        if mode == "offline":
            shutil.rmtree(folder / "wandb", ignore_errors=True)
        self._wandb = wandb
        self._folder = folder
        self._run = wandb.init(
            project=record.paper,
            id=record.id.replace(".", "-"),
            name=record.name or record.id,
            group=record.group,
            tags=record.tags,
            dir=folder,
            config=config,
            notes=str(folder),  # where the run's record is
            mode="offline" if mode == "offline" else "online",
            resume=None if mode == "offline" else "allow",
            settings=wandb.Settings(console="off", silent=True, disable_git=True),
        )

    def log(self, step: int, time: float, metrics: Mapping[str, float]) -> None:
        """Add the metrics to W&B's history of the step."""
        self._run.log({**metrics, "time": time}, step=step)

    def show(self, step: int, time: float, name: str, file: Path) -> None:
        """Add a picture, text or histogram to W&B's history of the step."""
        wandb = self._wandb
        if file.suffix == ".png":
            shown = wandb.Image(str(file))
        elif file.suffix == ".txt":
            text = html.escape(file.read_text(encoding="utf-8"))
            shown = wandb.Html(f"<pre>{text}</pre>", inject=False)
        else:
            said = json.loads(file.read_bytes())
            shown = wandb.Histogram(np_histogram=(said["counts"], said["edges"]))
        self._run.log({name: shown}, step=step)

    def close(self) -> None:
        """Add the final metrics to the summary, and finish the W&B run."""
        from research_train.record.record import read_record

        self._run.summary.update(read_record(self._folder).metrics)
        self._run.finish()
