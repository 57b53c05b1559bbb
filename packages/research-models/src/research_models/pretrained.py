"""Load published weights from a folder, and save a model so that transformers reads it back."""

import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import fields, replace
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
    architecture, a value of config.json that is not handled, an index that is not of these parts,
    and a tensor that is missing, left over, of another shape or of another dtype than the others.
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
            state = from_file(model, family, table_names(stored, family), read)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from None
    model.load_state_dict(state, assign=True)
    kept = {key: values[key] for key in values if key in WITHOUT_EFFECT - NOT_KEPT}
    model.pretrained_settings = kept
    return model.eval()


def save_pretrained(model: nn.Module, folder: str | os.PathLike[str]) -> None:
    """Write config.json and model.safetensors, which transformers and load_pretrained read.

    model: a Transformer of the kind of GPT-2, Llama or Qwen3, a BertMaskedLM, or a ViT. One that is
        GPT-2's but for its biases, as nanoGPT's is, is written with biases of 0: what is read back
        computes the same, and has these biases.

    Raises ValueError when none of the families computes what the model does, with the values that
    differ from the nearest one's.
    """
    folder = Path(folder)
    kept = getattr(model, "pretrained_settings", {})
    model, family, settings = written_form(model, kept)
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


def written_form(
    model: nn.Module, kept: Mapping[str, Any]
) -> tuple[nn.Module, Family, dict[str, Any]]:
    """What is written for a model: itself or the same with biases, its family, its config.json."""
    try:
        return model, *family_for(model, kept)
    except ValueError:
        if type(model) is not Transformer or model.config.bias or has_mixer(model):
            raise
        biased = with_zero_biases(model)
        try:
            found = family_for(biased, kept)
        except ValueError:
            found = None  # the reason of the model itself is the one to tell
        if found is None:
            raise
        return biased, *found


def with_zero_biases(model: Transformer) -> Transformer:
    """A model that shares the weights of one without biases and has biases of 0."""
    with torch.device("meta"):
        biased = Transformer(replace(model.config, bias=True))
    state = model.state_dict()
    some = model.embedding.weight
    for name, parameter in biased.named_parameters():
        if name not in state:
            state[name] = torch.zeros(parameter.shape, dtype=some.dtype, device=some.device)
    biased.load_state_dict(state, assign=True)
    return biased


def family_for(model: nn.Module, kept: Mapping[str, Any]) -> tuple[Family, dict[str, Any]]:
    """The family that computes what a model does, and its config.json, with the keys kept."""
    families = [family for family in FAMILIES.values() if type(model) is family.make]
    if not families:
        kinds = ", ".join(sorted({family.make.__name__ for family in FAMILIES.values()}))
        raise ValueError(f"only {kinds} can be saved so, got {type(model).__name__}")
    if has_mixer(model):
        raise ValueError("transformers has no model with a mixer in place of attention")
    config: Any = model.config
    if getattr(config, "length", 0) is None:
        raise ValueError(
            "config.json says how long a sequence may be, but the model's config has length=None: "
            "give it one, model.config = replace(model.config, length=...)"
        )
    refused = []
    for family in families:
        made = family.settings_from(config)
        for settings in ({**made, **kept}, {**kept, **made}):
            try:
                differences = unlike(family.config(Settings(CONFIG, settings)), config)
                reason = f"would have {', '.join(differences)}"
                if not differences:
                    return family, settings
            except ValueError as error:
                # How near the family is, its defaults tell.
                differences = unlike(family.config(Settings(CONFIG, {})), config)
                reason = f"refuses it: {error}"
        refused.append((len(differences), f"{family.model_type} {reason}"))
    names = ", ".join(family.model_type for family in families)
    nearest = min(refused, key=lambda each: each[0])[1]
    raise ValueError(f"none of {names} computes what this config says; {nearest}")


def has_mixer(model: nn.Module) -> bool:
    """Whether a layer of a model has something in place of attention."""
    stack = next(module for name, module in model.named_modules() if name.endswith("stack"))
    return not stack.has_attention()


def unlike(theirs: Any, ours: Any) -> list[str]:
    """Where a family's config isn't a model's, as `name=value (not value)`."""
    theirs, ours = theirs.filled(), ours.filled()
    pairs = [(f.name, getattr(theirs, f.name), getattr(ours, f.name)) for f in fields(ours)]
    return [f"{name}={their!r} (not {our!r})" for name, their, our in pairs if their != our]


def open_tensors(folder: Path, opened: ExitStack) -> tuple[list[str], Callable[[str], Tensor]]:
    """The names of a folder's tensors, and a function that reads one."""
    index = folder / f"{WEIGHTS}.index.json"
    if (folder / WEIGHTS).is_file():
        file = opened_file(folder / WEIGHTS, opened)
        return list(file.keys()), file.get_tensor
    if not index.is_file():
        raise FileNotFoundError(f"{folder} has no {WEIGHTS} and no {index.name}")
    listed = parts_by_tensor(index)
    found: dict[str, str] = {}
    files: dict[str, Any] = {}
    for part in sorted(set(listed.values())):
        if not (folder / part).is_file():
            raise FileNotFoundError(f"{index} lists {part}, but {folder} has no such file")
        files[part] = opened_file(folder / part, opened)
        tensors = files[part].keys()
        for name in tensors:
            if name in found:
                raise ValueError(f"{folder}: {name} is in {found[name]} and in {part}")
            found[name] = part
    for name, part in listed.items():
        if found.get(name) != part:
            raise ValueError(f"{index} lists {name} in {part}, but that has no such tensor")
    return list(found), lambda name: files[found[name]].get_tensor(name)


def opened_file(path: Path, opened: ExitStack) -> Any:
    """A safetensors file, its tensors not yet read. Raises ValueError for any other file."""
    try:
        return opened.enter_context(safetensors.safe_open(path, framework="pt"))
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None


def parts_by_tensor(index: Path) -> dict[str, str]:
    """The file beside an index that holds each tensor. Raises ValueError for no index."""
    parts = read_json(index).get("weight_map")
    if not isinstance(parts, dict):
        raise ValueError(f"{index}: weight_map must be an object, got {parts!r}")
    for name, part in parts.items():
        if not isinstance(part, str) or part in ("", ".", "..") or re.search(r"[/\\\0]", part):
            raise ValueError(f"{index}: {name} is in {part!r}, which is no file of the folder")
    return parts


def table_names(stored: list[str], family: Family) -> dict[str, str]:
    """The file's own name of each tensor, by the name that a family's table has.

    Raises ValueError when two of the file have one name in the table.
    """
    left_out = not any(name.startswith(family.prefix) for name in stored)
    names: dict[str, str] = {}
    for name in stored:
        table = f"{family.prefix}{name}" if left_out and name not in family.copies else name
        for old, new in family.old_endings.items():
            if table.endswith(old):
                table = table.removesuffix(old) + new
        if table in names:
            raise ValueError(f"{names[table]} and {name} are the same tensor, {table}")
        names[table] = name
    return names


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object. Raises FileNotFoundError, or ValueError for any other content."""
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
