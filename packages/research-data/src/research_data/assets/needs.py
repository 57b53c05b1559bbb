"""The datasets and models of a hub that a pyproject names under [tool.research]."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from research_data.assets.manifest import Kind
from research_data.errors import UsageError
from research_data.shown import brief


@dataclass(frozen=True)
class HubNeed:
    """A dataset or model of the hub that a paper or project needs.

    name: NAME@REVISION, as written. configs, splits: the parts of a dataset; empty means all.
    """

    kind: Kind
    name: str
    configs: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()


def hub_needs(kind: Kind, research: Mapping[str, object]) -> list[HubNeed]:
    """The needs of one kind. research: the table [tool.research]. Raises UsageError."""
    listed = research.get(f"{kind}s", [])
    needs = [_need(kind, each) for each in listed] if isinstance(listed, list) else [None]
    if None in needs:
        table = ', or { name = "NAME@REVISION", configs = [...], splits = [...] }'
        raise UsageError(
            f'{kind}s must be a list of "NAME@REVISION"{table if kind == "dataset" else ""}; '
            f"it is {brief(listed)}"
        )
    return [need for need in needs if need]


def _need(kind: Kind, need: object) -> HubNeed | None:
    if isinstance(need, str):
        return HubNeed(kind, need)
    if kind != "dataset" or not isinstance(need, dict):
        return None
    name, configs, splits = (need.get(key, []) for key in ("name", "configs", "splits"))
    known = need.keys() <= {"name", "configs", "splits"}
    if not (known and isinstance(name, str) and _are_texts(configs) and _are_texts(splits)):
        return None
    return HubNeed(kind, name, tuple(configs), tuple(splits))


def _are_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
