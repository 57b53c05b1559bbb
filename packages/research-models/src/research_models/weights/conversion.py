"""Read a family's config.json and tensor names in both directions."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from research_models.attention import Attention

PLAIN_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Activations of transformers by their names there; of two with one meaning, the first is
written."""
GATED_ACTIVATIONS = {
    "silu": "swiglu",
    "swish": "swiglu",
    "gelu": "geglu",
    "gelu_pytorch_tanh": "geglu_tanh",
    "relu": "reglu",
}

# Keys of any config.json that change nothing of what the model computes for given tokens.
WITHOUT_EFFECT = {
    *("_name_or_path", "architectures", "dtype", "model_type", "torch_dtype"),
    *("transformers_version", "use_cache", "initializer_range", "gradient_checkpointing"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "mask_token_id"),
    *("sep_token_id", "decoder_start_token_id", "tokenizer_class"),
    *("id2label", "label2id", "problem_type", "task_specific_params", "finetuning_task"),
    *("output_attentions", "output_hidden_states", "return_dict"),
}

DEFAULTS: dict[str, Any] = {
    **{"is_decoder": False, "is_encoder_decoder": False, "cross_attention_hidden_size": None},
    **{"add_cross_attention": False, "tie_encoder_decoder": False, "tie_word_embeddings": True},
    **{"chunk_size_feed_forward": 0, "pruned_heads": {}, "prefix": None},
    **{"torchscript": False, "use_bfloat16": False, "tf_legacy_loss": False},
    # Of generation, which transformers 4 had in this file.
    **{"max_length": 20, "min_length": 0, "do_sample": False, "early_stopping": False},
    **{"num_beams": 1, "num_beam_groups": 1, "diversity_penalty": 0.0, "temperature": 1.0},
    **{"top_k": 50, "top_p": 1.0, "typical_p": 1.0, "repetition_penalty": 1.0},
    **{"length_penalty": 1.0, "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0},
    **{"bad_words_ids": None, "num_return_sequences": 1, "output_scores": False},
    **{"return_dict_in_generate": False, "forced_bos_token_id": None, "forced_eos_token_id": None},
    **{"remove_invalid_values": False, "exponential_decay_length_penalty": None},
    **{"suppress_tokens": None, "begin_suppress_tokens": None},
}
"""Keys that any config.json may have, with the only value that is handled: that of transformers'
PretrainedConfig (4.57), unless a family reads the key itself."""

DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
"""Those of a model's tensors: all others are of quantised weights."""


class Transposed(str):
    """A name whose weight is stored as (inputs, outputs), the transpose of torch's."""


Names = Mapping[str, str | tuple[str, ...]]
"""The tensor's or module's name in the model to that in the file; {} is the layer's number. A
module's holds for its weight and bias. A tuple is of tensors that the model has as one, row after
row: queries, keys and values, or gate and value."""


class Settings:
    """config.json of a published model: every key must be read, required or without effect.

    source: the file, for messages.
    """

    def __init__(self, source: str, values: Mapping[str, Any]):
        self.source = source
        self.values = dict(values)
        self.known = set(WITHOUT_EFFECT)

    def take(self, key: str, default: Any) -> Any:
        """The value of a key, or the default that transformers has where it is left out."""
        self.known.add(key)
        return self.values.get(key, default)

    def size(self, key: str, default: int) -> int:
        """A number of something. Raises ValueError unless it is a positive integer."""
        value = self.take(key, default)
        if type(value) is not int or value < 1:
            raise ValueError(f"{self.source}: {key} = {value!r} must be a positive integer")
        return value

    def optional_size(self, key: str, default: int | None = None) -> int | None:
        """As `size`, but null stands for a number that follows from others."""
        return None if self.take(key, default) is None else self.size(key, default or 1)

    def number(self, key: str, default: float, most: float = math.inf) -> float:
        """Raises ValueError unless it is a number from 0 to the most."""
        value = self.take(key, default)
        if not is_number(value) or not 0 <= value <= most:
            bound = "" if most == math.inf else f" and at most {most:g}"
            raise ValueError(
                f"{self.source}: {key} = {value!r} must be a number, at least 0{bound}"
            )
        return float(value)

    def share(self, key: str, default: float) -> float:
        """Of features set to 0. Raises ValueError unless it is from 0 to 1."""
        return self.number(key, default, most=1.0)

    def flag(self, key: str, default: bool) -> bool:
        """Raises ValueError unless it is true or false."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise ValueError(f"{self.source}: {key} = {value!r} must be true or false")
        return value

    def table(self, key: str) -> dict[str, Any]:
        """An object, empty where it is null or left out. Raises ValueError for anything else."""
        value = self.take(key, None)
        if value is not None and not isinstance(value, dict):
            raise ValueError(f"{self.source}: {key} = {value!r} must be an object")
        return value or {}

    def activation(self, key: str, default: str, names: Mapping[str, str]) -> str:
        """The name in TransformerConfig of the activation that a key names."""
        value = self.take(key, default)
        if not isinstance(value, str) or value not in names:
            raise ValueError(
                f"{self.source}: {key} = {value!r} is not handled, only {', '.join(names)}"
            )
        return names[value]

    def only(self, **values: Any) -> None:
        """Keys that must be left out or have this value, as no other is handled."""
        for key, value in values.items():
            self.known.add(key)
            seen = self.values.get(key, value)
            if seen != value:
                raise ValueError(f"{self.source}: {key} = {seen!r} is not handled, only {value!r}")

    def without_effect(self, *keys: str) -> None:
        """Further keys that change nothing of what the model computes."""
        self.known.update(keys)

    def finish(self) -> None:
        """Raise ValueError when a key is left that nobody asked for, and not at its default."""
        unread = [key for key in self.values if key not in self.known]
        self.only(**{key: DEFAULTS[key] for key in unread if key in DEFAULTS})
        for key in unread:
            if key not in DEFAULTS:
                raise ValueError(f"{self.source}: {key} = {self.values[key]!r} is not handled")


@dataclass(frozen=True)
class Family:
    """A family of published models."""

    model_type: str
    """That of config.json."""
    architecture: str
    """The class of transformers, as config.json names it in `architectures`."""
    config_from: Callable[[Settings], Any]
    settings_from: Callable[[Any], dict[str, Any]]
    """Keys of config.json for a config; keys with only one value for the family are left out."""
    make: type[nn.Module]
    names: Names
    prefix: str = ""
    """Some files leave it out at the beginning of all names."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """Tensors that some files hold though they equal another of the file, by name."""
    unused: tuple[str, ...] = ()
    """Patterns of tensors that files may hold, but that this architecture doesn't use."""
    old_endings: Mapping[str, str] = field(default_factory=dict)
    """How names end in old files, and how in the table."""

    def config(self, settings: Settings) -> Any:
        """The model's config. Raises ValueError when a key is not handled."""
        config = self.config_from(settings)
        settings.finish()
        return config


def is_number(value: object) -> bool:
    """Whether a value of JSON is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def written_name(names: Mapping[str, str], name: str) -> str:
    """The first name of transformers for one of ours; ours itself where it has none."""
    return next((theirs for theirs, ours in names.items() if ours == name), name)


def their_names(names: Names, name: str) -> tuple[str, ...]:
    """The file's names of a parameter, several where the model has them as one."""
    number = re.search(r"\.(\d+)\.", name)
    general = re.sub(r"\.\d+\.", ".{}.", name, count=1)
    module, _, kind = general.rpartition(".")
    exact = names.get(general)
    theirs, ending = (names[module], f".{kind}") if exact is None else (exact, "")
    each = theirs if isinstance(theirs, tuple) else (theirs,)
    layer = number[1] if number else ""
    made = (f"{one}{ending}".replace("{}", layer) for one in each)
    if isinstance(theirs, Transposed) and kind == "weight":
        return tuple(Transposed(one) for one in made)
    return tuple(made)


def rows_of_parts(model: nn.Module, name: str, rows: int, parts: int) -> list[int]:
    """How many rows of a parameter each of its parts has."""
    owner = model.get_submodule(name.rpartition(".")[0].rpartition(".")[0])
    if parts > 1 and isinstance(owner, Attention):
        groups = owner.key_value_heads * owner.head_width
        return [owner.heads * owner.head_width, groups, groups]
    return [rows // parts] * parts


def to_file(model: nn.Module, names: Names) -> dict[str, Tensor]:
    """The tensors of a file by name, from a model's parameters."""
    tensors = {}
    for name, parameter in model.named_parameters():
        theirs = their_names(names, name)
        rows = rows_of_parts(model, name, len(parameter), len(theirs))
        for each, part in zip(theirs, parameter.detach().split(rows), strict=True):
            tensors[str(each)] = (part.T if isinstance(each, Transposed) else part).contiguous()
    return tensors


def from_file(
    model: nn.Module, family: Family, stored: Mapping[str, str], read: Callable[[str], Tensor]
) -> dict[str, Tensor]:
    """A state dict for a model on the meta device.

    stored: the file's own name of each tensor, by the name that the family's table has.
    read: gives a tensor by the file's own name.
    Raises ValueError when tensors are missing, left over, of another shape or of several dtypes.
    """
    state: dict[str, Tensor] = {}
    dtypes: dict[str, torch.dtype] = {}
    missing: list[str] = []
    used: set[str] = set()
    for name, parameter in model.named_parameters():
        theirs = their_names(family.names, name)
        used.update(map(str, theirs))
        absent = [each for each in theirs if each not in stored]
        missing += absent
        if absent:
            continue
        parts = []
        rows = rows_of_parts(model, name, len(parameter), len(theirs))
        for each, count in zip(theirs, rows, strict=True):
            part = read(stored[each])
            expected = (count, *parameter.shape[1:])
            stored_as = tuple(reversed(expected)) if isinstance(each, Transposed) else expected
            if tuple(part.shape) != stored_as:
                raise ValueError(
                    f"{stored[each]} has the shape {tuple(part.shape)}, but the config says "
                    f"{stored_as}"
                )
            dtypes[stored[each]] = part.dtype
            parts.append(part.T if isinstance(each, Transposed) else part)
        state[name] = (
            torch.cat(parts)
            if len(parts) > 1
            else parts[0].clone(memory_format=torch.contiguous_format)
        )
    copies = family.copies
    extra = [
        stored[each]
        for each in sorted(stored)
        if each not in used
        and not is_unused(each, family.unused)
        and (
            copies.get(each) not in stored
            or not torch.equal(read(stored[each]), read(stored[copies[each]]))
        )
    ]
    if missing or extra:
        parts_of_message = [
            f"{word}: {listed(tensors)}"
            for word, tensors in (("missing", missing), ("not used", extra))
            if tensors
        ]
        raise ValueError(f"tensors don't fit {family.architecture}: {'; '.join(parts_of_message)}")
    check_dtypes(dtypes)
    return state


def check_dtypes(dtypes: Mapping[str, torch.dtype]) -> None:
    """Raise ValueError, naming the odd one, unless all tensors have one floating dtype."""
    usual = Counter(dtypes.values()).most_common(1)[0][0]
    for name, dtype in dtypes.items():
        if dtype not in DTYPES:
            raise ValueError(f"{name} has the dtype {dtype}, but weights are floating point")
        if dtype != usual:
            raise ValueError(
                f"{name} has the dtype {dtype}, but others have {usual}: a model has one"
            )


def is_unused(name: str, patterns: Iterable[str]) -> bool:
    """Whether a tensor's name matches one of the patterns as a whole."""
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def listed(names: list[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more
