"""The datasets, models and files that a pyproject names under [tool.research]."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeGuard
from urllib.parse import unquote, urlsplit

from research_data.assets.manifest import Kind, check_file_names, refuse_steering, why_no_name
from research_data.errors import AssetError, UsageError
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


@dataclass(frozen=True)
class FileNeed:
    """A file at an address of the web.

    name: what the paper calls it. size: in bytes. sha256: of its bytes, in hex. licence: in words,
    or as an SPDX identifier.
    """

    name: str
    url: str
    size: int
    sha256: str
    licence: str

    @property
    def file(self) -> str:
        """The name of the file, as the address ends."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name


FILE_KEYS = {"url": str, "size": int, "sha256": str, "licence": str}


def file_needs(research: Mapping[str, object]) -> list[FileNeed]:
    """The files under [tool.research.files]. Raises UsageError, which names the file."""
    table = research.get("files", {})
    if not isinstance(table, dict):
        raise UsageError(f"files must be a table, a file under each name; it is {brief(table)}")
    return [_file_need(name, entry) for name, entry in table.items()]


def _file_need(name: str, entry: object) -> FileNeed:
    if not isinstance(entry, dict) or entry.keys() != FILE_KEYS.keys():
        raise UsageError(
            f"files.{name} must have exactly url, size, sha256 and licence; it is {brief(entry)}"
        )
    for key, kind in FILE_KEYS.items():
        if type(entry[key]) is not kind or not entry[key]:
            what = "a number of bytes" if kind is int else "a text"
            raise UsageError(f"files.{name}: {key} must be {what}; it is {brief(entry[key])}")
    need = FileNeed(name, **entry)
    if reason := why_no_name(name):
        raise UsageError(f"files.{name}: the name {reason}")
    if need.size < 0 or not re.fullmatch("[0-9a-f]{64}", need.sha256):
        raise UsageError(
            f"files.{name}: size must be above 0 and sha256 64 lower-case hex digits; they are "
            f"{need.size} and {brief(need.sha256)}"
        )
    try:
        parts = urlsplit(need.url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
        check_file_names([need.file])
        refuse_steering([need.file])
    except (AssetError, ValueError) as error:
        raise UsageError(f"files.{name}: url {brief(need.url)}: {error}") from error
    if not right:
        raise UsageError(
            f"files.{name}: url must be https://HOST/.../FILE or http://..., without a user name; "
            f"it is {brief(need.url)}"
        )
    return need


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
