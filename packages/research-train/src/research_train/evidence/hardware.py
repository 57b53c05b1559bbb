"""Find which claims await hardware that this machine lacks."""

from collections.abc import Sequence
from dataclasses import dataclass

from research_data.assets.verify import count_cores

from research_train.claims.claim import Claim
from research_train.errors import ClaimsError
from research_train.evidence.plan import Plan
from research_train.evidence.trainings import Setting
from research_train.record.summary import RunSummary


@dataclass(frozen=True)
class PlanHere:
    """What of a plan can be made on this machine.

    plan: the plan without the claims that wait. waiting: claims whose runs aren't all here and
    can't be made here. at_once: how many trainings fit into the memory of the GPU; None where no
    missing run needs one.
    """

    plan: Plan
    waiting: list[Claim]
    at_once: int | None = None


def plan_here(plan: Plan, there: Sequence[RunSummary]) -> PlanHere:
    """Split a plan by what this machine can make. there: the paper's runs.

    A claim that awaits hardware and whose runs are all here is judged as any other.
    """
    missing = {(each.setting, each.seed) for each in plan.needed(there) if each.run is None}
    incomplete = [claim for claim in plan.chosen if claim.awaiting and _lacks(plan, claim, missing)]
    if not incomplete:
        return PlanHere(plan, [])
    return split(plan, incomplete, gpu_memory())


def split(plan: Plan, incomplete: Sequence[Claim], gpu_gb: float | None) -> PlanHere:
    """Split a plan by the memory of a GPU. incomplete: the claims that await one and lack runs."""
    waiting = [
        each
        for each in incomplete
        if each.awaiting and each.awaiting.why_not_on(gpu_gb) is not None
    ]
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


def gpu_memory() -> float | None:
    """The memory of the CUDA device that runs would use, in GB (10^9 bytes); None without one."""
    import torch  # slow to import, and most papers need no GPU

    if not torch.cuda.is_available():
        return None
    return float(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory) / 1e9


def _lacks(plan: Plan, claim: Claim, missing: set[tuple[Setting, int]]) -> bool:
    return any(
        (setting, seed) in missing
        for setting in plan.settings[claim.name].values()
        for seed in range(plan.seeds[claim.name])
    )
