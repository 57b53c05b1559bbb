"""What the Config of an experiment inherits: its sections, and the keys every one has."""

from typing import Annotated, Literal

from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt


class ConfigSection(BaseModel):
    """Keys that belong together, `optimizer.learning_rate`: typed, frozen, and no others allowed.

    A key's docstring is what `train --help` shows.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,  # a key that may be infinite says so: Field(allow_inf_nan=True)
        use_attribute_docstrings=True,
        ser_json_inf_nan="constants",
        protected_namespaces=(),
    )


class TrainConfig(ConfigSection):
    """The keys that every trainable experiment has; an experiment's Config adds its own.

    A Config's own keys have no defaults: their values stand in the experiment's YAML alone.
    """

    seed: Annotated[int, Interval(ge=0, lt=2**63)] = 0
    """Seed of every random number generator."""
    steps: PositiveInt = 1000
    """Weight updates."""
    batch_size: PositiveInt = 32
    """Examples an update."""
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda, cuda:1, mps."""
    accumulate: PositiveInt = 1
    """Parts that a batch is split into, to need less memory; the update is the same."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the forward pass; the others are autocast, weights stay float32."""
    compile: bool = False
    """Compile the model with torch.compile."""
    deterministic: bool = False
    """Only kernels that give the same bits every time, where a GPU would otherwise not."""
    log_every: PositiveInt = 50
    """Steps between two lines of metrics."""
    evaluate_every: PositiveInt = 500
    """Steps between two evaluations."""
    checkpoint_every: PositiveInt = 1000
    """Steps between two checkpoints; one is always written at the end and on a stop."""
    keep_checkpoints: PositiveInt = 2
    """How many of the newest checkpoints stay on disk."""
    keep_every: NonNegativeInt = 0
    """The checkpoint of every so many steps stays as well; 0: none."""
    keep_best: Annotated[str, Field(pattern=r"^((min|max):\S+)?$")] = ""
    """The best one by a metric stays as well: max:test/accuracy, min:test/loss."""
    patience: NonNegativeInt = 0
    """End after so many evaluations without a better keep_best; 0: never."""
    checkpoint_failure: Literal["stop", "continue"] = "stop"
    """What a checkpoint that can't be written does to the training."""
    init_from: str = ""
    """A run whose last weights to start from: its id, or PAPER/ID."""
    tensorboard: bool = True
    """Write TensorBoard event files beside the metrics."""
    wandb: Literal["disabled", "offline", "online"] = "disabled"
    """Weights & Biases."""
