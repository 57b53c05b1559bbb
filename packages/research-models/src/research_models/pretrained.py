"""Load published weights from a folder, and save a model so that transformers reads it back."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from research_models.transformer import Transformer
from research_models.vit import ViT
from research_models.weights.bert import BERT, BertMaskedLM
from research_models.weights.conversion import WITHOUT_EFFECT, Family, Settings, from_file, to_file
from research_models.weights.gpt2 import GPT2
from research_models.weights.llama import LLAMA
from research_models.weights.qwen3 import QWEN3
from research_models.weights.vit import VIT

FAMILIES = {family.model_type: family for family in (BERT, GPT2, LLAMA, QWEN3, VIT)}
CONFIG, WEIGHTS = "config.json", "model.safetensors"
# Of the program that wrote the folder, and of the weights in it.
NOT_KEPT = {"_name_or_path", "architectures", "dtype", "model_type", "torch_dtype"}
NOT_KEPT |= {"transformers_version"}


def load_pretrained(folder: str | os.PathLike[str]) -> Transformer | BertMaskedLM | ViT:
    """The model that a folder holds, in evaluation mode, on the CPU, in the dtype of its file.

    folder: with config.json, and model.safetensors or the parts that model.safetensors.index.json
        lists. BertForMaskedLM gives a `BertMaskedLM`, GPT2LMHeadModel, LlamaForCausalLM and
        Qwen3ForCausalLM a `Transformer`, ViTForImageClassification a `ViT`.

    What config.json has beside the architecture, such as eos_token_id, is kept as
    `model.pretrained_settings`, and written again by save_pretrained.

    Raises FileNotFoundError when a file is missing; ValueError, which names it, for another
    architecture, a value of config.json that is not handled, and a tensor that is missing, left
    over or of another shape.
    """
    folder = Path(folder)
    values = read_json(folder / CONFIG)
    family = family_of(folder / CONFIG, values)
    config = family.config(Settings(str(folder / CONFIG), values))
    with torch.device("meta"):
        model: Any = family.make(config)
    with ExitStack() as opened:
        stored, read = open_tensors(folder, opened)
        try:
            state = from_file(model, family, table_names(stored, family.prefix), read)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from None
    model.load_state_dict(state, assign=True)
    kept = {key: values[key] for key in values if key in WITHOUT_EFFECT - NOT_KEPT}
    model.pretrained_settings = kept
    return model.eval()


def save_pretrained(model: nn.Module, folder: str | os.PathLike[str]) -> None:
    """Write config.json and model.safetensors, which transformers and load_pretrained read.

    model: a Transformer of the kind of GPT-2, Llama or Qwen3, a BertMaskedLM, or a ViT.

    Raises ValueError when none of the families computes what the model does, with the values that
    differ from the nearest one's.
    """
    folder = Path(folder)
    kept = getattr(model, "pretrained_settings", {})
    family, settings = family_for(model, kept)
    tensors = to_file(model, family.names)
    dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}
    settings |= {"model_type": family.model_type, "architectures": [family.architecture]}
    if len(dtypes) == 1:
        settings["dtype"] = dtypes.pop()
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    format_of = {"format": "pt"}  # which transformers asks for
    write_whole(
        folder / WEIGHTS, lambda path: safetensors.torch.save_file(tensors, path, format_of)
    )
    write_whole(folder / CONFIG, lambda path: path.write_text(text, encoding="utf-8"))


def family_of(source: Path, values: Mapping[str, Any]) -> Family:
    """The family that a config.json names. Raises ValueError when it is none of ours."""
    model_type, architectures = values.get("model_type"), values.get("architectures")
    family = FAMILIES.get(str(model_type))
    if family is None:
        raise ValueError(
            f"{source}: model_type = {model_type!r} is not handled, only {', '.join(FAMILIES)}"
        )
    if architectures is not None and architectures != [family.architecture]:
        raise ValueError(
            f"{source}: architectures = {architectures!r} is not handled, only "
            f"{[family.architecture]!r}"
        )
    return family


def family_for(model: nn.Module, kept: Mapping[str, Any]) -> tuple[Family, dict[str, Any]]:
    """The family that computes what a model does, and its config.json, with the keys kept."""
    differences = {}
    for family in FAMILIES.values():
        if type(model) is not family.make:
            continue
        made = family.settings_from(model.config)
        for settings in ({**made, **kept}, {**kept, **made}):
            differences[family.model_type] = unlike(family, settings, model.config)
            if not differences[family.model_type] and not has_mixer(model):
                return family, settings
    if not differences:
        kinds = ", ".join(sorted({family.make.__name__ for family in FAMILIES.values()}))
        raise ValueError(f"only {kinds} can be saved so, got {type(model).__name__}")
    if has_mixer(model):
        raise ValueError("transformers has no model with a mixer in place of attention")
    nearest = min(differences, key=lambda name: len(differences[name]))
    raise ValueError(
        f"none of {', '.join(differences)} computes what this config says; {nearest} would have "
        f"{', '.join(differences[nearest])}"
    )


def has_mixer(model: nn.Module) -> bool:
    """Whether a layer of a model has something in place of attention."""
    stack = next(module for name, module in model.named_modules() if name.endswith("stack"))
    return not stack.has_attention()


def unlike(family: Family, settings: dict[str, Any], config: Any) -> list[str]:
    """What of a config a family would have otherwise, as `name=value (not value)`."""
    try:
        theirs = family.config(Settings(CONFIG, settings)).filled()
    except ValueError as error:
        return [str(error)]
    ours = config.filled()
    pairs = (
        (each.name, getattr(theirs, each.name), getattr(ours, each.name)) for each in fields(ours)
    )
    return [f"{name}={his!r} (not {our!r})" for name, his, our in pairs if his != our]


def open_tensors(folder: Path, opened: ExitStack) -> tuple[list[str], Callable[[str], Tensor]]:
    """The names of a folder's tensors, and a function that reads one."""
    index = folder / f"{WEIGHTS}.index.json"
    if (folder / WEIGHTS).is_file():
        paths = [folder / WEIGHTS]
    elif index.is_file():
        paths = [
            folder / Path(name).name
            for name in sorted(set(read_json(index)["weight_map"].values()))
        ]
    else:
        raise FileNotFoundError(f"{folder} has no {WEIGHTS} and no {index.name}")
    files: dict[str, Any] = {}
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{index} lists {path.name}, but {folder} has no such file")
        try:
            file = opened.enter_context(safetensors.safe_open(path, framework="pt"))
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path} is not a whole safetensors file: {error}") from None
        files |= dict.fromkeys(file.keys(), file)
    return list(files), lambda name: files[name].get_tensor(name)


def table_names(stored: list[str], prefix: str) -> dict[str, str]:
    """The file's own name of each tensor, by the name that a family's table has.

    Old files have gamma and beta for a norm's weight and bias, and some leave out the prefix.
    """
    left_out = not any(name.startswith(prefix) for name in stored)
    names = {}
    for name in stored:
        table = f"{prefix}{name}" if left_out else name
        for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
            if table.endswith(old):
                table = table.removesuffix(old) + new
        names[table] = name
    return names


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object. Raises FileNotFoundError, or ValueError when it is none."""
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} has no {path.name}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(values).__name__}")
    return values


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call write on a file beside path and rename it, so that path is never there in part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
