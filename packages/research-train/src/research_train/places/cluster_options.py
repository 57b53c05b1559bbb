"""What a job asks of a cluster: slurm.yaml in the user's config folder, then in the paper's.

partition: gpu
gpus: 1
time: 4:00:00

A key of the paper's file takes precedence over the user's.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from research_data.shown import brief, did_you_mean

from research_train.errors import ConfigError
from research_train.experiment.yaml_file import read_yaml

FILE = "slurm.yaml"


class ClusterOptions(BaseModel):
    """What a job asks for; None leaves it to the cluster. SLURM itself judges the values."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    partition: str | None = None
    account: str | None = None
    time: str | PositiveInt | None = None
    """The longest that one start may take: minutes, or as `4:00:00` or `2-12:00:00`."""
    gpus: str | PositiveInt | None = None
    """How many, or kind and number as `a100:2`."""
    cpus: PositiveInt | None = None
    memory: str | None = None
    """As `16G`."""
    notice: PositiveInt = 120
    """Seconds before the time is over at which the run stops with a checkpoint."""


def user_file() -> Path:
    """Where a user's own options are."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "research" / FILE


def cluster_options(paper: Path) -> ClusterOptions:
    """The options for a paper. paper: its folder. Raises ConfigError: the file and the key."""
    options = ClusterOptions()
    for file in (user_file(), paper / FILE):
        if file.exists():
            options = options.model_copy(update=_read(file).model_dump(exclude_unset=True))
    return options


def _read(file: Path) -> ClusterOptions:
    values = read_yaml(file)
    known = list(ClusterOptions.model_fields)
    for key, value in values.items():
        if key not in known:
            raise ConfigError(
                f"{file}: unknown key {key!r} = {brief(value)}.{did_you_mean(key, known)} "
                f"A job takes: {', '.join(known)}"
            )
    try:
        return ClusterOptions(**values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        wrong = f"{str(problem['loc'][0])!r} = {brief(problem['input'])}"
        message = problem["msg"].replace("Input should", "should", 1)
        raise ConfigError(f"{file}: {wrong}: {message}") from error
