"""Runs in a temporary folder of outputs: they are nobody's evidence, and are removed."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from research_data import get_datasets_dir, get_models_dir

from research_train.experiment.config_values import load_config
from research_train.experiment.members import Experiment
from research_train.experiment.needs import prepare_assets
from research_train.record.run import Run
from research_train.record.running_code import RunningCode, running_code
from research_train.record.start import start_run


@dataclass(frozen=True)
class Scratch:
    """Where runs of an experiment can be started that leave nothing behind."""

    experiment: Experiment
    overrides: Sequence[str]
    assets: Mapping[str, str]
    code: RunningCode

    def new_run(self, overrides: Sequence[str] = ()) -> Run:
        """A new run with these `key=value` words as well. Raises ConfigError."""
        # The runs that init_from may name are not here; weights don't change what a step costs.
        words = [*self.overrides, *overrides, "init_from="]
        config = load_config(self.experiment, words)
        run = start_run(self.experiment, config, self.assets, code=lambda: self.code)
        run.quiet = True
        return run


@contextmanager
def scratch_runs(experiment: Experiment, overrides: Sequence[str] = ()) -> Iterator[Scratch]:
    """In this block outputs go to a temporary folder; datasets and models are those of before."""
    config = load_config(experiment, [*overrides, "init_from="])
    assets = prepare_assets(experiment, config=config)
    here = [get_datasets_dir(), get_models_dir()]
    before = os.environ.get("RESEARCH_ASSETS")
    with tempfile.TemporaryDirectory(prefix="research-bench-") as folder:
        for place in here:
            place.mkdir(parents=True, exist_ok=True)
            Path(folder, place.name).symlink_to(place)
        os.environ["RESEARCH_ASSETS"] = folder
        try:
            yield Scratch(experiment, overrides, assets, running_code(experiment))
        finally:
            del os.environ["RESEARCH_ASSETS"]
            if before is not None:
                os.environ["RESEARCH_ASSETS"] = before
