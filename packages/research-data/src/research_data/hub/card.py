"""What a dataset's card says of its configs, without a look at the hub."""

from contextlib import suppress
from pathlib import Path

from research_data.errors import AssetError


def card_configs(folder: Path) -> dict[str, list[str]]:
    """The configs that a dataset's card declares, with their splits; empty where it declares none.

    Raises AssetError for data files that would lie outside the dataset's folder.
    """
    import yaml

    found: dict[str, list[str]] = {}
    for name in ("README.md", ".huggingface.yaml"):
        text = ""
        with suppress(OSError, UnicodeDecodeError):
            text = (folder / name).read_text(encoding="utf-8")
        if name == "README.md":
            text = text.partition("---\n")[2].partition("\n---")[0] if text[:4] == "---\n" else ""
        try:
            card = yaml.safe_load(text) or {}
        except (yaml.YAMLError, ValueError, RecursionError):  # the library says what is wrong
            continue
        for config in (card.get("configs") if isinstance(card, dict) else None) or []:
            if isinstance(config, dict):
                parts = config.get("data_files", [])
                _refuse_outside(folder, [parts, config.get("data_dir")])
                splits = [str(p["split"]) for p in parts if isinstance(p, dict) and "split" in p]
                found[str(config.get("config_name", "default"))] = splits
    return found


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
            f"{folder.name}: its card names data outside the dataset, {value!r}, which is not read"
        )
