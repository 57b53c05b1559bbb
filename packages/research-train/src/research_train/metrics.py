"""Losses and metrics: plain functions of a model and data."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from research_train.record import Metrics

CHUNK = 4096  # examples a forward pass


@dataclass(frozen=True)
class Evaluation:
    """What a paper's evaluate(config, run) returns, for printing, recording and drawing.

    metrics: name -> number. table: rows of one shape. confusion: (classes, classes) counts, row
    the true class; labels: a name a class.
    """

    metrics: Metrics
    table: Sequence[dict[str, str | float | int]] = ()
    confusion: list[list[int]] | None = None
    labels: list[str] = field(default_factory=list)


def classification_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean cross entropy in nats.

    batch: inputs (batch, ...) and targets (batch,), int64 class numbers. Returns a scalar.
    """
    inputs, targets = batch
    return cross_entropy(model(inputs), targets)


def accuracy(model: nn.Module, data: tuple[Tensor, Tensor], name: str = "test") -> Metrics:
    """Share of examples classified right, as `<name>/accuracy` between 0 and 1.

    data: inputs (examples, ...) and targets (examples,), int64, on any device.
    """
    _, targets = data
    right = (_predict(model, data) == targets.cpu()).sum().item()
    return {f"{name}/accuracy": right / len(targets)}


def mean_loss(model: nn.Module, data: tuple[Tensor, Tensor], name: str = "test") -> Metrics:
    """Mean cross entropy in nats over all targets, as `<name>/loss`.

    data: inputs (examples, ...) and targets (examples,) of classes or (examples, length) of tokens,
    int64; targets of -100 don't count. The model gives a logit a class behind the targets' shape:
    (examples, [length,] classes). Summed in float64, so how the examples are cut into batches
    changes nothing.
    """
    inputs, targets = data
    device = next(model.parameters()).device
    total = torch.zeros((), dtype=torch.float64, device=device)
    with evaluation_mode(model):
        for chunk, wanted in zip(inputs.split(CHUNK), targets.split(CHUNK), strict=True):
            logits = model(chunk.to(device)).flatten(0, -2).float()
            each = cross_entropy(logits, wanted.to(device).flatten(), reduction="none")
            total += each.double().sum()
    return {f"{name}/loss": total.item() / int((targets != -100).sum())}


def perplexity(model: nn.Module, data: tuple[Tensor, Tensor], name: str = "test") -> Metrics:
    """`<name>/perplexity`, the exponential of the mean loss, beside that loss; as `mean_loss`."""
    metrics = mean_loss(model, data, name)
    return {**metrics, f"{name}/perplexity": math.exp(metrics[f"{name}/loss"])}


def classification_report(
    model: nn.Module, data: tuple[Tensor, Tensor], labels: Sequence[str], name: str = "test"
) -> Evaluation:
    """Accuracy, and for each class precision, recall, F1 score, and what it is taken for.

    data: inputs (examples, ...) and targets (examples,), int64. labels: a name a class.
    """
    from sklearn.metrics import (  # imports SciPy and pandas, which training has no use for
        confusion_matrix,
        precision_recall_fscore_support,
    )

    _, targets = data
    truth, predicted = targets.cpu().numpy(), _predict(model, data).numpy()
    classes = range(len(labels))
    columns = precision_recall_fscore_support(truth, predicted, labels=classes, zero_division=0)
    table: list[dict[str, str | float | int]] = [
        {
            "class": label,
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "examples": int(examples),
        }
        for label, precision, recall, f1, examples in zip(labels, *columns, strict=True)
    ]
    return Evaluation(
        metrics={f"{name}/accuracy": float((truth == predicted).mean())},
        table=table,
        confusion=confusion_matrix(truth, predicted, labels=classes).tolist(),
        labels=list(labels),
    )


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """In this block the model drops nothing out and no gradient is kept."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():  # inference_mode would spoil tensors that a model caches
            yield
    finally:
        model.train(training)


def _predict(model: nn.Module, data: tuple[Tensor, Tensor]) -> Tensor:
    """The most likely class of each example, (examples,) on the CPU."""
    inputs, _ = data
    device = next(model.parameters()).device
    with evaluation_mode(model):
        chunks = [model(chunk.to(device)).argmax(-1) for chunk in inputs.split(CHUNK)]
    return torch.cat(chunks).cpu()
