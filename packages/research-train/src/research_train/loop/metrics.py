"""Losses and metrics: plain functions of a model and data."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from research_train.errors import MetricError
from research_train.record.record import Metrics

CHUNK = 4096  # examples a forward pass
IGNORED = -100  # a target that doesn't count, as in torch's cross entropy
INTEGERS = {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8}


@dataclass(frozen=True)
class Evaluation:
    """What a paper's evaluate(config, run) returns, for printing, recording and drawing.

    metrics: name -> number, None where there was none. table: rows of the same columns. confusion:
    (classes, classes) counts, row the true class; labels: a name a class.
    """

    metrics: Mapping[str, float | None]
    table: Sequence[Mapping[str, str | float | int | None]] = ()
    confusion: list[list[int]] | None = None
    labels: list[str] = field(default_factory=list)


def classification_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean cross entropy in nats over the targets that count.

    batch: inputs (batch, ...) and targets (batch,) of classes or (batch, length) of tokens, class
    numbers of an integer type; targets of -100 don't count. The model gives a logit a class behind
    the targets' shape. Returns a scalar. Raises MetricError where shapes or types don't fit, or a
    target is no class (on a CPU; a GPU says so in its own words).
    """
    inputs, targets = batch if type(batch) is tuple and len(batch) == 2 else _pair(batch)
    logits = model(inputs)
    if not _plain(logits, targets):
        inputs, targets = _pair((inputs, targets))
        logits = _checked(logits, targets).flatten(0, -2)
        targets = targets.flatten().long()
    try:
        return cross_entropy(logits, targets)
    except IndexError as error:
        raise _no_class(logits, targets) or error from None


def accuracy(model: nn.Module, data: tuple[Tensor, Tensor], name: str = "test") -> Metrics:
    """Share of targets that are the most likely class, as `<name>/accuracy` between 0 and 1.

    data: inputs (examples, ...) and targets (examples,) of classes or (examples, length) of tokens,
    class numbers of an integer type, on any device; targets of -100 don't count. The model gives a
    logit a class behind the targets' shape; where one is NaN nothing is right. Raises MetricError
    where shapes or types don't fit, a target is no class, or none counts.
    """
    right = counted = 0
    with evaluation_mode(model):
        for logits, targets in _counted(model, data):
            found = (logits.argmax(-1) == targets) & ~logits.isnan().any(-1)
            right += int(found.sum())
            counted += len(targets)
    return {f"{name}/accuracy": right / counted}


def mean_loss(model: nn.Module, data: tuple[Tensor, Tensor], name: str = "test") -> Metrics:
    """Mean cross entropy in nats over all targets that count, as `<name>/loss`.

    data, and what is raised: as for `accuracy`. Summed in float64, so how the examples are cut into
    batches changes nothing.
    """
    total, counted = torch.zeros((), dtype=torch.float64), 0
    with evaluation_mode(model):
        for logits, targets in _counted(model, data):
            exact = logits if logits.dtype is torch.float64 else logits.float()
            total += cross_entropy(exact, targets, reduction="none").double().sum().cpu()
            counted += len(targets)
    return {f"{name}/loss": float(total) / counted}


def perplexity(model: nn.Module, data: tuple[Tensor, Tensor], name: str = "test") -> Metrics:
    """`<name>/perplexity`, the exponential of the mean loss, beside that loss; as `mean_loss`.

    Infinite where a float holds no such number.
    """
    metrics = mean_loss(model, data, name)
    try:
        exponential = math.exp(metrics[f"{name}/loss"])
    except OverflowError:
        exponential = math.inf
    return {**metrics, f"{name}/perplexity": exponential}


def classification_report(
    model: nn.Module, data: tuple[Tensor, Tensor], labels: Sequence[str], name: str = "test"
) -> Evaluation:
    """Accuracy, and for each class precision, recall, F1 score, and what it is taken for.

    Precision, recall or F1 of a class that is never said, never there, or neither, is 0.

    data: as for `accuracy`. labels: a name a class. Raises MetricError besides where the labels
    aren't as many as the model's classes, or a logit is NaN.
    """
    with evaluation_mode(model):
        chunks = [_outcomes(*each, labels) for each in _counted(model, data)]
    truth, predicted = torch.cat(chunks, dim=1)
    classes = len(labels)
    counts = torch.bincount(truth * classes + predicted, minlength=classes**2)
    confusion: list[list[int]] = counts.reshape(classes, classes).tolist()  # [truth][predicted]
    table: list[dict[str, str | float | int | None]] = []
    for number, label in enumerate(labels):
        right, examples = confusion[number][number], sum(confusion[number])
        said = sum(row[number] for row in confusion)
        table.append(
            {
                "class": label,
                "precision": right / said if said else 0.0,
                "recall": right / examples if examples else 0.0,
                "f1": 2 * right / (said + examples) if said + examples else 0.0,
                "examples": examples,
            }
        )
    return Evaluation(
        metrics={f"{name}/accuracy": float((truth == predicted).double().mean())},
        table=table,
        confusion=confusion,
        labels=list(labels),
    )


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """In this block the model drops nothing out and no gradient is kept.

    Then every module is in the mode that it was in, a frozen part in evaluation mode as well.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():  # inference_mode would spoil tensors that a model caches
            yield
    finally:
        # By `train`, not by its flag alone: a module may do more there (adapters that are merged).
        for module, mode in modes:  # a parent stands before its children, and changes theirs
            if module.training != mode:
                module.train(mode)


def _counted(model: nn.Module, data: tuple[Tensor, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunks of logits (targets, classes) and of the targets (targets,) that count, on one device.

    The one place where metrics look at shapes and types. Raises MetricError.
    """
    inputs, targets = _pair(data)
    device = next((t.device for t in chain(model.parameters(), model.buffers())), inputs.device)
    anything = False
    for chunk, wanted in zip(inputs.split(CHUNK), targets.split(CHUNK), strict=True):
        logits, wanted = model(chunk.to(device)), wanted.to(device)
        logits = _checked(logits, wanted).flatten(0, -2)
        wanted = wanted.flatten().long()
        if not (counts := wanted != IGNORED).all():
            logits, wanted = logits[counts], wanted[counts]
        if (error := _no_class(logits, wanted)) is not None:
            raise error
        if len(wanted):
            anything = True
            yield logits, wanted
    if not anything:
        raise MetricError(f"none of the {tuple(targets.shape)} targets counts: all are {IGNORED}")


def _outcomes(logits: Tensor, targets: Tensor, labels: Sequence[str]) -> Tensor:
    """True and predicted classes, (2, targets) on the CPU."""
    if logits.shape[-1] != len(labels):
        raise MetricError(
            f"{len(labels)} labels for the {logits.shape[-1]} classes that the model gives logits "
            "for: name every class"
        )
    if bad := int(logits.isnan().any(-1).sum()):
        raise MetricError(f"the model gives NaN for {bad} of {len(logits)} examples")
    return torch.stack([targets, logits.argmax(-1)]).cpu()


def _pair(data: object) -> tuple[Tensor, Tensor]:
    """Inputs and targets, equally many and at least one, targets of an integer type."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        size = f" of {len(data)}" if isinstance(data, tuple | list) else ""
        raise MetricError(f"(inputs, targets) are needed, got a {type(data).__name__}{size}")
    for what, field_ in zip(("inputs", "targets"), data, strict=True):
        if not isinstance(field_, Tensor) or not field_.ndim:
            raise MetricError(f"{what}: a tensor (examples, ...) is needed, got {_shown(field_)}")
    inputs, targets = data
    if targets.dtype not in INTEGERS:
        raise MetricError(
            f"targets: class numbers of an integer type are needed, got {_shown(targets)}"
            + ("; .long() makes them 0 and 1" if targets.dtype is torch.bool else "")
        )
    if len(inputs) != len(targets):
        raise MetricError(f"inputs {_shown(inputs)} and targets {_shown(targets)} differ in number")
    if not len(inputs):
        raise MetricError(f"no examples: inputs {_shown(inputs)}, targets {_shown(targets)}")
    return inputs, targets


def _plain(logits: Tensor, targets: Tensor) -> bool:
    """Whether nothing is left to check or to flatten: a small model feels every question."""
    try:
        rows, classes = logits.shape
        return targets.dtype is torch.int64 and targets.shape == (rows,) and classes > 1
    except (AttributeError, ValueError):  # no tensor, or of other dimensions
        return False


def _checked(logits: object, targets: Tensor) -> Tensor:
    """The logits, where they are (*targets' shape, classes) of two classes at least."""
    if not isinstance(logits, Tensor):
        raise MetricError(
            f"the model gives a {type(logits).__name__}, where its logits, a tensor, are needed"
        )
    if logits.shape[:-1] != targets.shape or logits.ndim < 2 or not logits.is_floating_point():
        raise MetricError(
            f"logits {_shown(logits)} and targets {_shown(targets)} don't fit: for each target a "
            f"logit a class is needed, (*{tuple(targets.shape)}, classes)"
            + (". targets.squeeze(-1) may be meant" if targets.shape[-1:] == (1,) else "")
        )
    if logits.shape[-1] < 2:
        raise MetricError(
            f"logits {_shown(logits)} are of {logits.shape[-1]} class: a logit for each of two or "
            "more is needed, for a yes or no two"
        )
    return logits


def _no_class(logits: Tensor, targets: Tensor) -> "MetricError | None":
    """What to say of targets (targets,) that are none of the classes, if there are such."""
    classes = logits.shape[-1]
    odd = targets[((targets < 0) | (targets >= classes)) & (targets != IGNORED)]
    if not len(odd):
        return None
    return MetricError(
        f"target {int(odd[0])} is none of the {classes} classes, 0 to {classes - 1}, that the "
        f"model gives logits for ({len(odd)} such targets; {IGNORED} is one that doesn't count)"
    )


def _shown(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return f"a {type(value).__name__}"
