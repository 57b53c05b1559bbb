"""A sweep as a YAML file says it.

vary:
  learning_rate: 1e-4..1e-1        # as on the command line
  model.width: [64, 128]
  steps: 500                       # the same for all
seeds: [0, 1, 2, 3, 4]             # or 0..4
metric: test/accuracy
direction: max
sampler: tpe
trials: 40
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError
from research_data.shown import brief, did_you_mean

from research_train.errors import ConfigError
from research_train.experiment.yaml_file import read_yaml
from research_train.sweeps.study import Direction


class SweepOptions(BaseModel):
    """A sweep as a file describes it; None where the defaults of `sweep` hold."""

    model_config = ConfigDict(extra="forbid", strict=True)

    vary: dict[str, Any] = {}
    seeds: list[NonNegativeInt] | str | None = None
    experiment: str | None = None
    name: str | None = None
    sampler: str | None = None
    sampler_seed: NonNegativeInt | None = None
    pruner: str | None = None
    trials: PositiveInt | None = None
    metric: Annotated[str, Field(min_length=1)] | None = None
    direction: Direction | None = None

    @property
    def varied(self) -> dict[str, Any]:
        """Config key -> values, the seeds among them."""
        return self.vary if self.seeds is None else {**self.vary, "seed": self.seeds}


def read_options(file: Path) -> SweepOptions:
    """The options in a YAML file. Raises ConfigError."""
    content = read_yaml(file)
    if odd := [key for key in content if key not in SweepOptions.model_fields]:
        known = list(SweepOptions.model_fields)
        raise ConfigError(
            f"{file}: unknown key {brief(odd[0])}.{did_you_mean(odd[0], known)} It may have "
            f"{', '.join(known)}; config keys belong under `vary`."
        )
    try:
        return SweepOptions.model_validate(content)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        where = ".".join(map(str, wrong["loc"][:2]))
        raise ConfigError(f"{file}: {where} = {brief(wrong['input'])}: {wrong['msg']}") from error
