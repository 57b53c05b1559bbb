"""How a toy model arranges its features ("The geometry of superposition")."""

from research_train import Metrics
from torch import Tensor

from paper_superposition.config import Config
from paper_superposition.model import ToyModels, cells


def geometry(weight: Tensor) -> dict[str, float]:
    """Counts and means over the features of one model. weight: (features, hidden), W^T.

    `features`: how many are represented, with a norm of 1/2 or more. `last`: the last one's norm.
    `dimensions_per_feature`: D*, hidden / |W|^2. Means over the represented ones, with u the
    direction of W_i: of `dimensionality`, D_i = |W_i|^2 / sum over j of (u . W_j)^2; of `overlap`,
    that sum without j = i; of `nearest_opposite`, the smallest cosine, 0 if none is negative.
    """
    norms = weight.norm(dim=1)
    kept = weight[norms >= 0.5]
    directions = kept / kept.norm(dim=1, keepdim=True)
    projections, own = (directions @ weight.T).square().sum(1), kept.square().sum(1)
    cosines = (directions @ directions.T).clamp(max=0)
    return {
        "features": float(len(kept)),
        "last": norms[-1].item(),
        "dimensions_per_feature": weight.shape[1] / norms.square().sum().item(),
        "dimensionality": (own / projections).mean().item(),
        "overlap": (projections - own).mean().item(),
        "nearest_opposite": cosines.min(1).values.mean().item() if len(kept) else 0.0,
    }


def measured(config: Config, models: ToyModels) -> Metrics:
    """The geometry of every model: `density-0.1/importance-0.9/features` and so on."""
    return {
        f"density-{density:g}/importance-{importance:g}/{name}": value
        for (importance, density), weight in zip(cells(config), models.weight, strict=True)
        for name, value in geometry(weight.detach()).items()
    }
