"""Decide which end of a metric is the better one, so that a list can begin with the best run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from research_data.errors import ResearchError

from research_train.claims.file import CLAIMS, read_claims
from research_train.experiment.members import installed_members

Best = Literal["min", "max"]

# LIKE_A_LOSS is searched for anywhere in a metric's name, the others are whole parts of it.
LIKE_A_LOSS = re.compile(r"loss|error|perplexity|nll|entropy|regret|distance|divergence")
SMALL = re.compile(
    r"err|mse|rmse|mae|mape|wer|cer|ter|per|ppl|risk|bpc|bpb|bpd|fid|kl|gap|steps|epochs|time"
    r"|seconds|memory|params|parameters|flops"
)
LARGE = re.compile(
    r"accuracy|acc|precision|recall|f1|match|bleu|rouge|meteor|auc|auroc|auprc|ap|map|ndcg|mrr|iou"
    r"|dice|score|reward|returns?|psnr|ssim|r2|likelihood|correlation|throughput|utilization"
    r"|top1|top5|wins?|success"
)


@dataclass(frozen=True)
class SortOrder:
    """How a list is sorted. first: the end it begins with. reason: why that end."""

    key: str
    first: Literal["smallest", "largest"]
    reason: str

    def __str__(self) -> str:
        return f"sorted by {self.key}, {self.first} first: {self.reason}"


def sort_order(
    key: str, papers: Sequence[str], best: Best | None = None, reverse: bool = False
) -> SortOrder:
    """How to sort runs by a key: the best first, or the worst if reversed.

    papers: of the runs, if it is a metric; none for a config key, which is sorted upwards. best:
    which end is the best, if the caller says so. Else the claims of the papers tell, then the
    metric's name; where neither does, the largest is taken for the best.
    """
    smallest, reason = _smallest_is_first(key, papers, best)
    if reverse:
        return SortOrder(key, "largest" if smallest else "smallest", f"reversed; {reason}")
    return SortOrder(key, "smallest" if smallest else "largest", reason)


def _smallest_is_first(key: str, papers: Sequence[str], best: Best | None) -> tuple[bool, str]:
    if best is not None:
        return best == "min", f"--{best}"
    if not papers:
        return True, "a config key"
    claimed = _claimed(key, papers)
    if len(claimed) == 1:
        [(direction, paper)] = claimed.items()
        return direction == "lower", f"{direction} is better in the {CLAIMS} of {paper}"
    parts = re.split(r"[^a-z0-9]+", key.lower())
    if LIKE_A_LOSS.search(key.lower()) or any(map(SMALL.fullmatch, parts)):
        return True, "lower is better, by its name"
    if any(map(LARGE.fullmatch, parts)):
        return False, "higher is better, by its name"
    return False, "nothing says which end is the better one; --min or --max does"


def _claimed(metric: str, papers: Sequence[str]) -> dict[str, str]:
    """Direction -> a paper that claims it of this metric; both, where papers disagree."""
    found: dict[str, str] = {}
    members = {member.name: member for member in installed_members()}
    for paper in papers:
        member = members.get(paper)
        if member is None or not (member.folder / CLAIMS).is_file():
            continue
        try:
            claims = read_claims(member.folder).claims
        except ResearchError:  # `paper check` tells what is wrong in it
            continue
        for claim in claims:
            if claim.metric == metric and claim.direction != "equal":
                found.setdefault(claim.direction, paper)
    return found
