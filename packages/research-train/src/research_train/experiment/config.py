"""The base classes of a Config: sections of keys, and the keys that every experiment has."""

from typing import Annotated, Literal

from annotated_types import Interval
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PlainSerializer,
    PositiveInt,
)


def _read_compile(value: object) -> object:
    return {"false": "no", "true": "model"}.get(str(value).lower(), value)


def _write_compile(value: str) -> str | bool:
    # As older versions wrote it, so that a run's config stays equal to what it was.
    return {"no": False, "model": True}.get(value, value)


Compile = Annotated[
    Literal["no", "model", "step"],
    BeforeValidator(_read_compile),
    PlainSerializer(_write_compile),
]


class ConfigSection(BaseModel):
    """Keys that belong together, like `optimizer.learning_rate`: typed, frozen, no others allowed.

    `train --help` shows each key's docstring.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,  # a key that may be infinite needs Field(allow_inf_nan=True)
        use_attribute_docstrings=True,
        ser_json_inf_nan="constants",
        protected_namespaces=(),
    )


class TrainConfig(ConfigSection):
    """The keys that every trainable experiment has; an experiment's Config adds its own.

    A Config's own keys have no defaults: only the experiment's YAML has their values.
    """

    seed: Annotated[int, Interval(ge=0, lt=2**63)] = 0
    """Seed of every random number generator."""
    steps: PositiveInt = 1000
    """Number of weight updates."""
    batch_size: PositiveInt = 32
    """Number of examples in each update."""
    device: str = "auto"
    """Where to train: auto (a GPU if there is one), cpu, cuda, cuda:1, mps."""
    accumulate: PositiveInt = 1
    """Number of parts to split a batch into, which saves memory; the update stays the same."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the forward pass: bfloat16 and float16 use autocast; weights stay float32."""
    compile: Compile = "no"
    """What torch.compile compiles: the model's loss, or the whole step (see the README)."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """What several processes do: ddp (each has all weights) or fsdp (each has a part of them)."""
    deterministic: bool = False
    """Use only GPU kernels that give the same bits every time."""
    log_every: PositiveInt = 50
    """Number of steps between two lines of metrics."""
    evaluate_every: PositiveInt = 500
    """Number of steps between two evaluations."""
    checkpoint_every: PositiveInt = 1000
    """Number of steps between two checkpoints; the end and a stop always write one."""
    keep_checkpoints: PositiveInt = 2
    """Number of newest checkpoints to keep."""
    keep_every: NonNegativeInt = 0
    """Keep the checkpoint of every N-th step as well; 0: none."""
    keep_best: Annotated[str, Field(pattern=r"^((min|max):\S+)?$")] = ""
    """Keep the best checkpoint by a metric as well: max:test/accuracy, min:test/loss."""
    patience: NonNegativeInt = 0
    """Stop after this many evaluations without an improvement of keep_best; 0: never."""
    checkpoint_failure: Literal["stop", "continue"] = "stop"
    """What to do when a checkpoint can't be written."""
    init_from: str = ""
    """Run whose last weights to start from: its id, or PAPER/ID."""
    tensorboard: bool = True
    """Write TensorBoard event files beside the metrics."""
    wandb: Literal["disabled", "offline", "online"] = "disabled"
    """Log to Weights & Biases."""
    trackers: tuple[str, ...] = ()
    """Further trackers, by the names under which installed packages offer them."""
    max_minutes: Annotated[float, Interval(ge=0, le=1e6)] = 0.0
    """Stop with a checkpoint this many minutes after the start or resume; 0: never."""
