"""Divide a model, its gradients and its optimizer's state among processes: `parallel=fsdp`.

torch's `fully_shard` (FSDP2) keeps a part of every parameter in each process, and gathers the whole
of a layer only while it computes.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from research_data.errors import UsageError
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.optim import Optimizer

from research_train.errors import ConfigError, RunError
from research_train.experiment.config import TrainConfig
from research_train.processes.world import World

REFUSED = "parallel=fsdp can't be used with {}. Use parallel=ddp, or leave {} out."


def refuse_config(config: TrainConfig, world: World) -> None:
    """Raise ConfigError or UsageError if the config alone shows that it can't be honoured.

    world: of a new run; a resumed one may go on in a single process, which holds everything.
    """
    refused = {
        f"compile={config.compile}": config.compile != "no",
        "precision=float16": config.precision == "float16",
    }
    _refuse(refused, ConfigError)
    if world.size == 1:
        raise UsageError(
            "parallel=fsdp divides a model among several processes, but this is one: add "
            "--nproc 2, or leave parallel out"
        )
    try:
        from torch.distributed.checkpoint import HuggingFaceStorageReader  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"parallel=fsdp needs a newer torch than {torch.__version__}, one that writes its "
            "distributed checkpoints as safetensors"
        ) from error


def shard(
    model: nn.Module,
    optimizers: Iterable[Optimizer],
    device: torch.device,
    world: World,
    **options: object,
) -> None:
    """Divide a model in place, and have the optimizers update what is left in this process.

    Every process begins with the first one's weights. options: of the Trainer; those that are set
    are refused. Raises RunError for these, and for a model that can't be divided.
    """
    _refuse({f"{name}=": bool(value) for name, value in options.items()}, RunError)
    for name, module in model.named_modules():
        if getattr(module, "sparse", False) and isinstance(module, nn.Embedding | nn.EmbeddingBag):
            raise RunError(REFUSED.format(f"sparse gradients ({name})", "sparse=True"))
    for tensor in (*model.parameters(), *model.buffers()):
        dist.broadcast(tensor.detach(), 0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    mesh = init_device_mesh(device.type, (world.size,))
    try:
        # Gathered parts are let go after every forward pass, so that outside of one the model's
        # parameters are always those that the optimizers know and checkpoints hold.
        for block in _blocks(model):
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
        fully_shard(model, mesh=mesh, reshard_after_forward=True)
    except (ValueError, NotImplementedError) as error:
        raise RunError(f"parallel=fsdp: {error}") from error
    model.register_forward_pre_hook(_share_buffers)
    parts = dict(model.named_parameters())
    for optimizer in optimizers:
        _hand_over(optimizer, {number: parts[name] for number, name in names.items()})


def _refuse(refused: Mapping[str, bool], error: type[ConfigError] | type[RunError]) -> None:
    if reasons := [reason for reason, is_so in refused.items() if is_so]:
        raise error(REFUSED.format(", ".join(reasons), "it" if len(reasons) == 1 else "them"))


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The members of the model's lists of modules: a Transformer's layers, gathered one by one.

    Left to the model as a whole are those that share a parameter with what is outside of them.
    """
    uses = _uses(model)
    return [
        block
        for block in _members(model)
        if (inside := _uses(block)) and all(uses[number] == n for number, n in inside.items())
    ]


def _members(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(module, nn.ModuleList) and not isinstance(
            child, nn.ModuleList | nn.ModuleDict
        ):
            yield child
        else:
            yield from _members(child)


def _uses(module: nn.Module) -> dict[int, int]:
    """id of each parameter -> how many modules have it."""
    uses: dict[int, int] = {}
    for each in module.modules():
        for parameter in each._parameters.values():
            if parameter is not None:
                uses[id(parameter)] = uses.get(id(parameter), 0) + 1
    return uses


def _share_buffers(model: nn.Module, _: object) -> None:
    """Give every process the first one's buffers before a step, as DistributedDataParallel does."""
    if torch.is_grad_enabled():
        for buffer in model.buffers():
            dist.broadcast(buffer.detach(), 0)


def _hand_over(optimizer: Optimizer, parts: Mapping[int, nn.Parameter]) -> None:
    """Put the parts in place of whole parameters: in an optimizer's groups and in its state."""
    from research_train.state.sharded_state import like

    for group in optimizer.param_groups:
        group["params"][:] = [parts.get(id(each), each) for each in group["params"]]
    state: dict[Any, dict[str, Any]] = dict(optimizer.state)
    optimizer.state.clear()
    for whole, values in state.items():
        part = parts.get(id(whole), whole)
        optimizer.state[part] = {
            name: like(value, part) if isinstance(value, Tensor) else value
            for name, value in values.items()
        }
