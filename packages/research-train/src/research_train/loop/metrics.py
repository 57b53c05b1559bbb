"""Losses and metrics: plain functions of a model and data."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from research_train.errors import MetricError
from research_train.loop.split_evaluation import present_evaluation
from research_train.record.record import Metrics

CHUNK = 4096  # examples a forward pass
IGNORED = -100  # a target that doesn't count, as in torch's cross entropy
INTEGERS = {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8}


@dataclass(frozen=True)
class Evaluation:
    """What a paper's evaluate(config, run) returns, for printing, recording and drawing.

    metrics: name -> number, or None if it is not finite. table: rows with the same columns.
    confusion: (classes, classes) counts, true classes in rows. labels: one name per class.
    """

    metrics: Mapping[str, float | None]
    table: Sequence[Mapping[str, str | float | int | None]] = ()
    confusion: list[list[int]] | None = None
    labels: list[str] = field(default_factory=list)


def classification_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean cross entropy in nats over the targets that count.

    batch: inputs (batch, ...) and targets (batch,) of classes or (batch, length) of tokens, class
    numbers of an integer type; targets of -100 don't count. The model returns logits
    (*targets.shape, classes). Returns a scalar. Raises MetricError if shapes or types don't fit, or
    if a target is not a class (on a CPU; on a GPU, CUDA raises its own error).
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
    class numbers of an integer type, on any device; targets of -100 don't count. The model returns
    logits (*targets.shape, classes); a prediction with a NaN logit is wrong. Raises MetricError if
    shapes or types don't fit, a target is not a class, or no target counts.
    """

    def right(logits: Tensor, targets: Tensor) -> Tensor:
        found = (logits.argmax(-1) == targets) & ~logits.isnan().any(-1)
        return found.sum()

    total, counted = _summed(right, torch.zeros((), dtype=torch.int64), model, data)
    return {f"{name}/accuracy": int(total) / counted}


def mean_loss(model: nn.Module, data: tuple[Tensor, Tensor], name: str = "test") -> Metrics:
    """Mean cross entropy in nats over all targets that count, as `<name>/loss`.

    data and errors: as for `accuracy`. Summed in float64, so that the number of examples per
    forward pass doesn't change the result.
    """

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        exact = logits if logits.dtype is torch.float64 else logits.float()
        return cross_entropy(exact, targets, reduction="none").double().sum()

    total, counted = _summed(loss, torch.zeros((), dtype=torch.float64), model, data)
    return {f"{name}/loss": float(total) / counted}


def perplexity(model: nn.Module, data: tuple[Tensor, Tensor], name: str = "test") -> Metrics:
    """`<name>/perplexity`, the exponential of the mean loss, together with `<name>/loss`.

    data and errors: as for `accuracy`. Infinite if it is too large for a float.
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
    """Accuracy; precision, recall and F1 score of each class; and the confusion matrix.

    Precision is 0 for a class that is never predicted, recall for one that never occurs, F1 for one
    that does neither.

    data and errors: as for `accuracy`. labels: one name per class. Also raises MetricError if
    there are not as many labels as classes, or a logit is NaN.
    """
    classes = len(labels)

    def outcomes(logits: Tensor, targets: Tensor) -> Tensor:
        truth, predicted = _outcomes(logits, targets, labels)
        return torch.bincount(truth * classes + predicted, minlength=classes**2)

    zeros = torch.zeros(classes**2, dtype=torch.int64)
    counts, counted = _summed(outcomes, zeros, model, data)
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
        metrics={f"{name}/accuracy": sum(map(int, counts[:: classes + 1])) / counted},
        table=table,
        confusion=confusion,
        labels=list(labels),
    )


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """In this block the model is in evaluation mode and no gradients are recorded.

    Afterwards every module is back in its own mode, so that a frozen part stays in evaluation mode.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():  # inference_mode would spoil tensors that a model caches
            yield
    finally:
        # Call `train` instead of setting the flag: a module may do more there (merge adapters).
        for module, mode in modes:  # parents first, because their `train` changes their children
            if module.training != mode:
                module.train(mode)


def _summed(
    measure: Callable[[Tensor, Tensor], Tensor],
    zeros: Tensor,
    model: nn.Module,
    data: tuple[Tensor, Tensor],
) -> tuple[Tensor, int]:
    """The sum of what `measure` gives for all targets that count, and how many those are.

    measure: logits (targets, classes) and targets (targets,), on one device -> a tensor like zeros.
    In an evaluation of several processes each of them looks at its part, in equally many passes.
    Raises MetricError.
    """
    evaluation = present_evaluation()
    inputs, targets = _pair(data)
    device = next((t.device for t in chain(model.parameters(), model.buffers())), inputs.device)
    first, end = evaluation.part(len(inputs))
    sums, counted = zeros, 0
    failed: Exception | None = None
    with evaluation_mode(model), evaluation.same_buffers(model):
        for _ in range(evaluation.passes(len(inputs), CHUNK)):
            rows = slice(first, min(first + CHUNK, end))
            first = rows.stop
            empty = rows.start == rows.stop  # an example is shown to the model, but not counted
            try:
                logits = model(inputs[slice(1) if empty else rows].to(device))
                if not empty and failed is None:
                    logits, wanted = _counting(logits, targets[rows].to(device))
                    if len(wanted):
                        sums = sums + measure(logits, wanted).cpu()
                        counted += len(wanted)
            except Exception as error:
                if evaluation.world.size == 1:
                    raise
                failed = failed or error  # after the other processes have done their passes too
        evaluation.agree(failed)
    sums, counted = evaluation.total(sums), int(evaluation.total(torch.tensor(counted)))
    if not counted:
        raise MetricError(f"none of the {tuple(targets.shape)} targets counts: all are {IGNORED}")
    return sums, counted


def _counting(logits: object, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The logits (targets, classes) and the targets (targets,) that count.

    The one place where metrics check shapes and types. Raises MetricError.
    """
    flat, targets = _checked(logits, targets).flatten(0, -2), targets.flatten().long()
    if not (counts := targets != IGNORED).all():
        flat, targets = flat[counts], targets[counts]
    if (error := _no_class(flat, targets)) is not None:
        raise error
    return flat, targets


def _outcomes(logits: Tensor, targets: Tensor, labels: Sequence[str]) -> Tensor:
    """True and predicted classes, (2, targets) on the CPU."""
    if logits.shape[-1] != len(labels):
        raise MetricError(
            f"{len(labels)} labels for the {logits.shape[-1]} classes of the model's logits: name "
            "every class"
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


def _plain(logits: object, targets: object) -> bool:
    """Whether nothing needs to be checked or flattened: full checks would slow a small model."""
    return (
        isinstance(logits, Tensor)
        and isinstance(targets, Tensor)
        and logits.ndim == 2
        and targets.dtype is torch.int64
        and targets.shape == logits.shape[:1]
        and logits.shape[1] > 1
    )


def _checked(logits: object, targets: Tensor) -> Tensor:
    """The logits. Raises MetricError unless they are (*targets.shape, 2 or more classes)."""
    if not isinstance(logits, Tensor):
        raise MetricError(
            f"the model returned a {type(logits).__name__}: logits are needed, which are a tensor"
        )
    if logits.shape[:-1] != targets.shape or logits.ndim < 2 or not logits.is_floating_point():
        raise MetricError(
            f"logits {_shown(logits)} and targets {_shown(targets)} don't fit: each target needs "
            f"one logit per class, (*{tuple(targets.shape)}, classes)"
            + (". Did you mean targets.squeeze(-1)?" if targets.shape[-1:] == (1,) else "")
        )
    if logits.shape[-1] < 2:
        raise MetricError(
            f"logits {_shown(logits)} have {logits.shape[-1]} class: at least two are needed, also "
            "for a yes-or-no question"
        )
    return logits


def _no_class(logits: Tensor, targets: Tensor) -> "MetricError | None":
    """The error for targets (targets,) that are not among the classes; None if all are."""
    classes = logits.shape[-1]
    odd = targets[((targets < 0) | (targets >= classes)) & (targets != IGNORED)]
    if not len(odd):
        return None
    return MetricError(
        f"target {int(odd[0])} is none of the {classes} classes, 0 to {classes - 1}, that the "
        f"model gives logits for ({len(odd)} such targets; {IGNORED} marks a target to ignore)"
    )


def _shown(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return f"a {type(value).__name__}"
