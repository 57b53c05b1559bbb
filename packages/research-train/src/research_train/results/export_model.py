"""Export the model that a run trained, as a folder that the hub and transformers read.

model.safetensors   the weights, under transformers' names where it has such a model
config.json         what transformers makes the model of; none where it has no such model
tokenizer.json, ... those of the pretrained model that the paper starts from
README.md           the card: the run, what was published and what was reproduced, how to load it
"""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from research_data import ResearchError, StorageError, check_asset
from research_data.assets.manifest import read_manifest
from research_data.durable import write_bytes
from research_data.shown import say
from torch import nn

from research_train.errors import RunError
from research_train.evaluating import call_evaluate
from research_train.experiment.config_values import load_config
from research_train.experiment.members import Experiment, find_member, installed_members
from research_train.history.export_run import export_folder, new_export, sound_record
from research_train.record.folders import CONFIG
from research_train.record.run import Model, Run
from research_train.record.running_code import changes_since
from research_train.record.summary import RunSummary
from research_train.results.model_card import CARD, model_card
from research_train.state.snapshot import MODEL, TRANSFORMERS_CONFIG
from research_train.versions.choice import choose_versions

TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model"),
    *("tokenizer.model", "chat_template.jinja"),
)
# What a folder may hold: no pickles, and no code that `trust_remote_code` would run.
SUFFIXES = {".json", ".safetensors", ".txt", ".model", ".jinja", ".md"}


@dataclass(frozen=True)
class ExportedModel:
    """A folder with a model. why_plain: why transformers can't read it; None where it can."""

    folder: Path
    why_plain: str | None


def export_model(run: RunSummary, folder: Path) -> ExportedModel:
    """Write the model of a completed run into a new folder, in one step.

    The model is the one that the paper's `evaluate` fills with the run's weights. If it has a
    method `save_pretrained(folder)`, as transformers' models have, or is one of research-models'
    that transformers knows, `from_pretrained(folder)` reads the folder. Of any other model the
    folder has the run's own model.safetensors, and the card says what it is.

    Raises UsageError if the folder exists or has no parent; RunError if the run didn't complete,
    was changed, or its paper's `evaluate` loads no weights; MemberError if the paper isn't here;
    and what its code raises.
    """
    folder = export_folder(folder)
    record = sound_record(run)
    experiment = _experiment_of(run)
    config = load_config(experiment, file=run.folder / CONFIG)
    loading = _Loading(run.folder, record, config, quiet=True)
    for name in record.assets:  # its own revisions, which need not be today's
        check_asset(loading.asset(name))
    if changed := changes_since(record, config, experiment):
        say(
            "warning: the model is made by code that has changed since the run: "
            + ", ".join(changed)
        )
    model = _loaded_model(loading, experiment)
    with new_export(folder) as partial:
        why_plain = _write_model(model, loading, partial)
        _copy_tokenizer(loading, partial)
        architecture = _architecture(partial)
        card = model_card(run, experiment, model, architecture, why_plain)
        write_bytes(partial / CARD, card.encode())
        _refuse_code_and_pickles(partial)
    return ExportedModel(folder, why_plain)


class _LoadedError(BaseException):
    """The way out of a paper's evaluate. Not an Exception: no `except Exception` swallows it."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model


class _Loading(Run):
    """A run whose evaluation ends where it has loaded the weights."""

    def load_weights(self, model: Model) -> NoReturn:
        raise _LoadedError(super().load_weights(model))


def _loaded_model(run: _Loading, experiment: Experiment) -> nn.Module:
    """The model that the paper's evaluate loads, on the CPU, in evaluation mode."""
    try:
        call_evaluate(run, experiment)
    except _LoadedError as loaded:
        return loaded.model.cpu()
    raise RunError(
        f"{experiment.module}.evaluate never calls run.load_weights(model), so nothing says which "
        f"model {run.record.id} trained"
    )


def _experiment_of(run: RunSummary) -> Experiment:
    """The experiment of a run. Raises MemberError, or RunError if it runs under releases."""
    assert run.record is not None
    member = find_member(run.record.paper, installed_members())
    released = [
        f"{name} {choice.version}"
        for name, choice in choose_versions(member).items()
        if choice.release is not None
    ]
    if released:
        raise RunError(
            f"{member.name} runs with the releases {', '.join(released)}, and an export makes the "
            "model with the workspace's own code. `research-cli paper unpin` lets the paper use "
            "that."
        )
    return member.experiment(run.record.experiment)


def _write_model(model: nn.Module, run: Run, folder: Path) -> str | None:
    """Write weights and, where transformers has such a model, config.json; else returns why not."""
    save = _saver(model)
    if save is not None:
        try:
            save(folder)
        except ValueError as error:
            why = f"transformers has no counterpart of this {type(model).__name__}: {error}"
        else:
            if (folder / TRANSFORMERS_CONFIG).is_file():
                return None
            why = f"save_pretrained of {type(model).__name__} wrote no {TRANSFORMERS_CONFIG}"
        for file in folder.iterdir():
            file.unlink()
    else:
        why = (
            f"transformers has no counterpart of {type(model).__name__}, a class without "
            "save_pretrained(folder)"
        )
    try:
        shutil.copyfile(run.checkpoints()[-1] / MODEL, folder / MODEL)
    except OSError as error:
        raise StorageError(folder, error) from error
    return why


def _saver(model: nn.Module) -> Callable[[Path], object] | None:
    """The model's own save_pretrained, or the one of the package that its class is of."""
    own: Callable[[Path], object] | None = getattr(model, "save_pretrained", None)
    if own is not None:
        return own
    package = sys.modules.get(type(model).__module__.partition(".")[0])
    of_package: Callable[[nn.Module, Path], object] | None
    of_package = getattr(package, "save_pretrained", None)
    return None if of_package is None else lambda folder: of_package(model, folder)


def _architecture(folder: Path) -> str | None:
    """The class of transformers that config.json names; None without such a file."""
    file = folder / TRANSFORMERS_CONFIG
    if not file.is_file():
        return None
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return (config.get("architectures") or ["AutoModel"])[0]


def _copy_tokenizer(run: Run, folder: Path) -> None:
    """Copy the tokenizer of the one pretrained model that the run used, where it has one."""
    models = [run.asset(name) for name in run.record.assets]
    with_one = [
        model
        for model in models
        if read_manifest(model).kind == "model"
        and any((model / name).is_file() for name in TOKENIZER[:2])
    ]
    if len(with_one) != 1:
        return
    for name in TOKENIZER:
        if (with_one[0] / name).is_file() and not (folder / name).exists():
            shutil.copyfile(with_one[0] / name, folder / name)


def _refuse_code_and_pickles(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file() and file.suffix not in SUFFIXES:
            raise ResearchError(
                f"save_pretrained wrote {file.name}: an export holds safetensors, JSON and text, "
                "no code and no pickles"
            )
