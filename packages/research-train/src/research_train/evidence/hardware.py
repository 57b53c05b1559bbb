"""Find which claims await hardware that this machine lacks, or data that it can't reach."""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from research_data.assets.verify import count_cores
from research_data.errors import HubError
from research_data.shown import first_few

from research_train.claims.claim import Claim
from research_train.errors import ClaimsError
from research_train.evidence.plan import Plan
from research_train.evidence.trainings import Setting
from research_train.record.summary import RunSummary


@dataclass(frozen=True)
class PlanHere:
    """What of a plan can be made on this machine.

    plan: the plan without the claims that wait or are left out. waiting: claims whose runs aren't
    all here, for which this machine lacks the hardware. left_out: claims that it has the hardware
    for, but whose data can't be had -> why. at_once: how many trainings fit into the memory of the
    GPU; None where no missing run needs one.
    """

    plan: Plan
    waiting: list[Claim]
    at_once: int | None = None
    left_out: Mapping[str, HubError] = field(default_factory=dict)


def plan_here(plan: Plan, there: Sequence[RunSummary]) -> PlanHere:
    """Split a plan by what this machine can make. there: the paper's runs.

    A claim that awaits hardware and whose runs are all here is judged as any other.
    """
    beyond = [claim for claim in plan.chosen if claim.name in plan.out_of_reach]
    plan = plan.without(beyond)
    missing = {(each.setting, each.seed) for each in plan.needed(there) if each.run is None}
    incomplete = [claim for claim in plan.chosen if claim.awaiting and _lacks(plan, claim, missing)]
    unfetched = [claim for claim in beyond if claim.awaiting]
    gpu_gb = gpu_memory() if incomplete or unfetched else None
    possible = split(plan, incomplete, gpu_gb)
    waiting = {each.name: each for each in [*possible.waiting, *_waiting(unfetched, gpu_gb)]}
    left_out = {
        each.name: plan.out_of_reach[each.name] for each in beyond if each.name not in waiting
    }
    return replace(possible, waiting=list(waiting.values()), left_out=left_out)


def split(plan: Plan, incomplete: Sequence[Claim], gpu_gb: float | None) -> PlanHere:
    """Split a plan by the memory of a GPU. incomplete: the claims that await one and lack runs."""
    waiting = _waiting(incomplete, gpu_gb)
    possible = [
        each.awaiting.gpu_gb for each in incomplete if each.awaiting and each not in waiting
    ]
    at_once = None
    if possible and gpu_gb is not None:
        at_once = max(1, min(count_cores(), int(gpu_gb / max(possible))))
    return PlanHere(plan.without(waiting), waiting, at_once)


def refuse_waiting(waiting: Sequence[Claim]) -> None:
    """Refuse claims that were asked for by name and can't be made here. Raises ClaimsError."""
    for claim in waiting:
        if claim.awaiting:
            raise ClaimsError(
                f"claim {claim.name} needs a CUDA GPU with {claim.awaiting.gpu_gb:g} GB of memory, "
                f"and {claim.awaiting.why_not_on(gpu_memory())}. Make it on a machine that has one "
                f"(about {claim.awaiting.hours:g} h there), or give --here to make only what this "
                "machine can"
            )


def refuse_left_out(possible: PlanHere) -> None:
    """Refuse a plan of which data is out of reach. Raises HubError, which says how to go on."""
    for why in possible.left_out.values():
        others = [claim.name for claim in possible.plan.chosen]
        hint = f" With --here, the claims that don't need it are made: {first_few(others, 8)}."
        raise HubError(f"{why}{hint if others else ''}", why.transient, why.pause)


def gpu_memory() -> float | None:
    """The memory of the CUDA device that runs would use, in GB (10^9 bytes); None without one."""
    if not _has_driver():
        return None
    import torch  # two seconds, which a machine without a GPU is spared

    if not torch.cuda.is_available():
        return None
    return float(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory) / 1e9


def _has_driver() -> bool:
    """Whether a driver of GPUs is installed: CUDA's, or ROCm's. Torch sees no GPU without."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()
    return True


def _waiting(claims: Sequence[Claim], gpu_gb: float | None) -> list[Claim]:
    """Those of claims that can't be made with a GPU of that memory."""
    return [each for each in claims if each.awaiting and each.awaiting.why_not_on(gpu_gb)]


def _lacks(plan: Plan, claim: Claim, missing: set[tuple[Setting, int]]) -> bool:
    return any(
        (setting, seed) in missing
        for setting in plan.settings[claim.name].values()
        for seed in range(plan.seeds[claim.name])
    )
