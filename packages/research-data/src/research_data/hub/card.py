"""The configs that a dataset's card declares, read as `datasets` reads it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from research_data.errors import AssetError

CARD, CARD_YAML = "README.md", ".huggingface.yaml"


def card_configs(folder: Path) -> dict[str, list[str]]:
    """The configs that a dataset's card declares, with their splits; empty if it declares none.

    Raises AssetError when the card names data files outside the dataset's folder.
    """
    found: dict[str, list[str]] = {}
    for config in _declared(folder):
        parts = config.get("data_files")
        _refuse_outside(folder, [parts, config.get("data_dir")])
        named = (
            [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        )
        splits = [str(part["split"]) for part in named if "split" in part]
        found[str(config.get("config_name", "default"))] = splits
    return found


def _declared(folder: Path) -> Iterator[dict[str, object]]:
    """The entries of `configs` at the head of the card and in the YAML file beside it."""
    from huggingface_hub import RepoCard

    for name in (CARD, CARD_YAML):
        text = ""
        with suppress(OSError, UnicodeDecodeError):
            text = (folder / name).read_text(encoding="utf-8-sig")
        if name == CARD_YAML:
            text = f"---\n{text}\n---\n"
        if not text.lstrip().startswith("---"):  # no metadata, about which the client would warn
            continue
        try:
            configs = RepoCard(text, ignore_metadata_errors=True).data.get("configs")
        except Exception:  # not YAML, or not a table: `datasets` reports what is wrong with it
            continue
        if isinstance(configs, list):
            yield from (config for config in configs if isinstance(config, dict))


def _refuse_outside(folder: Path, value: object) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            _refuse_outside(folder, each)
    elif isinstance(value, str) and (
        "://" in value or value.startswith(("/", "~")) or ".." in Path(value).parts
    ):
        raise AssetError(
            f"{folder.name}: its card names data outside the dataset, {value!r}. Such data is not "
            "read."
        )
