"""An optimizer's update as a function that can be compiled: Adam, AdamW and SGD."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from research_train.errors import RunError

Group = dict[str, Any]
States = list[list[Tensor]]  # for each kind of state, one tensor per parameter


def refuse_other_optimizers(optimizer: Optimizer) -> None:
    """Raise RunError for an optimizer whose update can't be compiled here."""
    if type(optimizer) not in (Adam, AdamW, SGD):
        raise RunError(
            f"compile=step: the optimizer is {type(optimizer).__name__}, but only torch.optim's "
            "Adam, AdamW and SGD can be compiled. Leave compile out, or use one of these."
        )
    for number, group in enumerate(optimizer.param_groups):
        if group["differentiable"]:
            raise RunError(f"compile=step: differentiable=True in group {number} is not supported")
        if isinstance(optimizer, SGD) and group["momentum"] and group["dampening"]:
            raise RunError(
                f"compile=step: dampening={group['dampening']} in group {number} is not "
                "supported: torch leaves it out of the first step. Leave compile out."
            )


def own_states(optimizer: Optimizer, group: Group, parameters: list[Tensor]) -> States:
    """The state of some of a group's parameters: for each kind of it, one tensor per parameter.

    State that the optimizer hasn't got yet is made. The tensors are the optimizer's own, so that
    changing them in place changes it.
    """
    names = _state_names(optimizer, group)
    for parameter in parameters:
        for name in names:
            if (state := optimizer.state[parameter]).get(name) is None:
                state[name] = (
                    torch.zeros((), dtype=torch.float32, device=parameter.device)
                    if name == "step"
                    else torch.zeros_like(parameter)  # of a first momentum too: 0 * m + g = g
                )
    return [[optimizer.state[parameter][name] for parameter in parameters] for name in names]


def functional_update(
    optimizer: Optimizer,
) -> Callable[[Group, list[Tensor], list[Tensor], States, Tensor], None]:
    """(group, parameters, gradients, states, learning rate): changes parameters and states."""
    return _sgd if isinstance(optimizer, SGD) else _adam


def _state_names(optimizer: Optimizer, group: Group) -> list[str]:
    if isinstance(optimizer, SGD):
        return ["momentum_buffer"] if group["momentum"] else []
    return ["step", "exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]


def _adam(
    group: Group, parameters: list[Tensor], gradients: list[Tensor], states: States, rate: Tensor
) -> None:
    steps, first, second, *largest = states
    beta1, beta2 = group["betas"]
    # In float32, 1 - 0.999 ** step is wrong by 6e-5 of itself at the first step.
    exact_steps = [step.double() for step in steps]
    adam(
        parameters,
        gradients,
        first,
        second,
        largest[0] if largest else [],
        exact_steps,
        foreach=False,
        fused=False,
        capturable=True,
        decoupled_weight_decay=group["decoupled_weight_decay"],
        amsgrad=group["amsgrad"],
        beta1=beta1,
        beta2=beta2,
        lr=rate,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=group["maximize"],
    )
    for step, exact in zip(steps, exact_steps, strict=True):
        step.copy_(exact)


def _sgd(
    group: Group, parameters: list[Tensor], gradients: list[Tensor], states: States, rate: Tensor
) -> None:
    sgd(
        parameters,
        gradients,
        [*states[0]] if states else [None] * len(parameters),
        foreach=True,  # the one that takes a rate in a tensor when compiled
        fused=False,
        weight_decay=group["weight_decay"],
        momentum=group["momentum"],
        lr=rate,  # type: ignore[arg-type]  # a tensor, so that a schedule compiles nothing anew
        dampening=group["dampening"],
        nesterov=group["nesterov"],
        maximize=group["maximize"],
    )
