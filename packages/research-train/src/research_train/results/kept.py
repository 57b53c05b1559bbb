"""Keep what results.json has on claims whose hardware isn't here."""

from dataclasses import replace

from research_data.errors import ResearchError

from research_train.evidence.reproduce import Reproduction
from research_train.results.recorded import read_results
from research_train.results.standing import standings


def with_kept(reproduction: Reproduction) -> Reproduction:
    """The reproduction, with the entries of results.json on claims that await hardware here.

    So evidence that was made on a machine with the hardware isn't lost where there is none. An
    entry that doesn't fit the present claims.yaml is not kept.
    """
    waiting = [each.claim for each in reproduction.findings if each.verdict == "awaiting"]
    try:
        before = read_results(reproduction.member) if waiting else None
    except ResearchError:  # it is written again
        before = None
    if before is None:
        return reproduction
    made = f"{before.date}, on {before.hardware}"
    entries = [
        each.model_copy(update={"kept": each.kept or made}) if each.values else each
        for each in before.claims
    ]
    kept = {
        each.name: each
        for each in standings(waiting, before.model_copy(update={"claims": entries}))
        if each.recorded and each.recorded.values and each.finding and not each.doubts
    }
    return replace(
        reproduction,
        findings=[
            found.finding if (found := kept.get(each.claim.name)) and found.finding else each
            for each in reproduction.findings
        ],
        kept={
            name: each.recorded.model_dump(mode="json", by_alias=True, exclude_unset=True)
            for name, each in kept.items()
            if each.recorded
        },
    )
