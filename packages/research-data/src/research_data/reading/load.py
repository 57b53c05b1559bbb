"""Load datasets with `datasets` and models with `transformers` from assets.

squad = download_dataset("squad")                   # a datasets.DatasetDict, mapped from assets
bert = AutoModel.from_pretrained(download_model("bert-base-uncased"))
"""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, overload

from research_data.assets.archives import import_asset, is_path
from research_data.assets.catalog import Asset, find_asset
from research_data.assets.verify import check_asset
from research_data.durable import new_folder
from research_data.errors import AssetError, StorageError, UsageError
from research_data.hub.card import card_configs
from research_data.hub.pull import pull_dataset, pull_model
from research_data.reading.derived import Shards, key_of, open_or_make

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


@overload
def download_dataset(
    name: str, config: str | None = None, *, split: None = None, offline: bool = False
) -> "DatasetDict": ...
@overload
def download_dataset(
    name: str, config: str | None = None, *, split: str, offline: bool = False
) -> "Dataset": ...
def download_dataset(
    name: str, config: str | None = None, *, split: str | None = None, offline: bool = False
) -> "DatasetDict | Dataset":
    """A dataset of the hub, `NAME[@REVISION]`, memory-mapped; it is pulled if it isn't here.

    name: may also be a path of your own files, `./rows.csv`. config: needed when the dataset has
    several. split: return only this one, as a `Dataset`. Only the requested parts are pulled. The
    result is an object of the library `datasets`, whose Arrow files are made once and kept in
    assets. Raises like pull_dataset and open_dataset.
    """
    if is_path(name):
        asset = import_asset(Path(name))
    else:
        configs, splits = [config] if config else [], [split] if split else []
        asset = pull_dataset(name, configs, splits, offline=offline)
    opened = open_dataset(asset.folder, config)
    return _one_split(opened, asset, split) if split else opened


def download_model(
    name: str, include: Sequence[str] = (), *, offline: bool = False, quiet: bool = False
) -> Path:
    """The folder of a model of the hub, `NAME[@REVISION]`; it is pulled if it isn't here.

    Pass it to any `from_pretrained`, which then needs no network. Raises like pull_model.
    """
    return pull_model(name, include, offline=offline, quiet=quiet).folder


def open_dataset(folder: Path | str, config: str | None = None) -> "DatasetDict":
    """The dataset in an asset's folder, as `datasets` reads it, without any network request.

    folder: may also be the name of a dataset that is here. Raises UsageError when the config
    doesn't exist, or is not given although there are several; DamagedAssetError; AssetError when
    `datasets` can't read the files, or would read files outside the asset; StorageError.
    """
    if isinstance(folder, str):
        folder = find_asset("dataset", folder).folder
    asset = Asset(folder, check_asset(folder))
    if asset.manifest.source == "generated":
        raise AssetError(f"{folder.name} was generated: read it with research_data.load_arrays")
    asset.mark_used()
    card_configs(folder)  # raises when the card names files outside the asset
    files = {name: entry.sha256 for name, entry in asset.manifest.files.items()}
    view = asset.derived / f"files-{key_of(files)}"
    data_files = _chosen_files(asset, config)
    identity = {
        "files": files,
        "config": config,
        "data_files": data_files,
        "view": str(view),  # Arrow files of images and sounds hold absolute paths into it
    }

    def make(partial: Path) -> Shards:
        _make_view(asset, view)
        return _build(asset, view, config, data_files, partial)

    return open_or_make(asset.derived, config or "default", identity, make)


def tokenize_dataset(
    dataset: str,
    tokenizer: str,
    columns: Sequence[str],
    *,
    config: str | None = None,
    keep: Sequence[str] = (),
    offline: bool = False,
    **options: object,
) -> "DatasetDict":
    """A dataset's text as tokens of a model's tokenizer; made once, then memory-mapped.

    dataset, tokenizer: `NAME[@REVISION]` of a dataset and of a model. columns: one column of text,
    or two for pairs. keep: other columns to keep beside the tokens. options: arguments of the
    tokenizer, such as max_length=384, truncation=True. The tokens are kept under a key of both
    revisions, the options and the versions of tokenizers and transformers. Raises UsageError for a
    column that doesn't exist.
    """
    columns = [columns] if isinstance(columns, str) else list(columns)
    data = pull_dataset(dataset, [config] if config else [], offline=offline)
    model = pull_model(tokenizer, offline=offline)
    identity = {
        "dataset": [data.manifest.repo_id, data.manifest.revision, config],
        "files": sorted(data.manifest.files),
        "tokenizer": [model.manifest.repo_id, model.manifest.revision],
        "columns": list(columns),
        "keep": list(keep),
        "options": options,
        "versions": {name: version(name) for name in ("tokenizers", "transformers")},
    }

    def make(partial: Path) -> Shards:
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise AssetError(
                "tokenising needs transformers: run `uv add --package MEMBER transformers`, or "
                "depend on research-data[text]"
            ) from error
        opened = open_dataset(data.folder, config)
        try:
            tokenize = AutoTokenizer.from_pretrained(model.folder)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise AssetError(f"{model.folder.name} has no tokenizer: {reason}") from error
        shards = {}
        for split, rows in opened.items():
            if missing := {*columns, *keep} - set(rows.column_names):
                raise UsageError(
                    f"{data.folder.name} has no column {', '.join(sorted(missing))}. It has "
                    f"{', '.join(rows.column_names)}."
                )
            file = f"{split}.arrow"
            rows.map(
                lambda batch: dict(tokenize(*(batch[name] for name in columns), **options)),
                batched=True,
                remove_columns=[name for name in rows.column_names if name not in keep],
                cache_file_name=str(partial / file),
                desc=f"tokenize {split}",
            )
            shards[str(split)] = [file]
        return shards

    with _bars_at_a_terminal():
        return open_or_make(data.derived, "tokens", identity, make)


def _chosen_files(asset: Asset, config: str | None) -> dict[str, list[str]] | None:
    """Split -> files of the config, for a dataset that was pulled in part; else None."""
    configs = asset.manifest.configs
    if not configs:
        return None
    if config is None and len(configs) > 1:
        raise UsageError(
            f"{asset.folder.name} has several configs here: name one of {', '.join(configs)}."
        )
    name = config if config is not None else next(iter(configs))
    if name not in configs:
        raise UsageError(
            f"{asset.folder.name}: config {name!r} isn't here, only {', '.join(configs)}. "
            f"`research-cli dataset pull {asset.manifest.repo_id} --config {name}` fetches it."
        )
    return configs[name]


def _make_view(asset: Asset, view: Path) -> None:
    """Make a folder of links to the asset's files, without .asset.json, which is not data."""
    if view.is_dir():
        return
    with suppress(FileExistsError), new_folder(view) as partial:
        for name in asset.manifest.files:
            link = partial / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(asset.folder / name, link.parent))


def _build(
    asset: Asset,
    view: Path,
    config: str | None,
    data_files: Mapping[str, list[str]] | None,
    partial: Path,
) -> Shards:
    """Let `datasets` write the Arrow files of a config into partial; returns split -> files."""
    import pyarrow
    from datasets import load_dataset_builder

    work, made = partial / "work", partial / "arrow"
    with _readable(asset), _bars_at_a_terminal():
        builder = load_dataset_builder(
            str(view),
            config if config or not data_files else next(iter(asset.manifest.configs)),
            data_files=dict(data_files) if data_files else None,
            cache_dir=str(work),
        )
        _refuse_others(asset, view, builder.config.data_files)
        # Every byte was hashed already, and the sizes in a card are often out of date.
        builder.download_and_prepare(str(made), verification_mode="no_checks")
    pyarrow.default_memory_pool().release_unused()  # else pyarrow keeps the memory it used
    shutil.rmtree(work, ignore_errors=True)
    for lock in partial.glob("*.lock"):
        lock.unlink()
    shards: dict[str, list[str]] = {}
    for split, info in builder.info.splits.items():
        lengths = info.shard_lengths or [info.num_examples]
        stem = f"{builder.dataset_name}-{split}"
        count = len(lengths)
        shards[str(split)] = (
            [f"{made.name}/{stem}.arrow"]
            if count == 1
            else [f"{made.name}/{stem}-{index:05d}-of-{count:05d}.arrow" for index in range(count)]
        )
    return shards


def _refuse_others(asset: Asset, view: Path, data_files: Mapping[str, Sequence[str]]) -> None:
    """Refuse files outside the asset, which aren't verified: `datasets` obeys the card's paths."""
    own = {str(view.resolve() / name) for name in asset.manifest.files}
    for path in (path for paths in (data_files or {}).values() for path in paths):
        if os.path.abspath(path) not in own:  # noqa: PTH100  # resolve() would follow the link
            raise AssetError(
                f"{asset.folder.name} refers to {path}, which is outside the asset. Such data is "
                "not read."
            )


@contextmanager
def _readable(asset: Asset) -> Iterator[None]:
    """Turn the exceptions of `datasets` for files that it can't read into our errors."""
    try:
        yield
    except (AssetError, UsageError):
        raise
    except Exception as error:  # ValueError, those of `datasets`, of pyarrow and of pandas
        chain: list[BaseException] = [error]
        while cause := chain[-1].__cause__ or chain[-1].__context__:
            chain.append(cause)
        for each in chain:
            if isinstance(each, OSError) and each.errno in (
                errno.ENOSPC,
                errno.EROFS,
                errno.EDQUOT,
            ):
                raise StorageError(asset.derived, each) from error
        text = str(error)
        if "config" in text.casefold() and "available" in text.casefold():
            raise UsageError(f"{asset.folder.name}: {' '.join(text.split())}") from error
        what = f"{type(error).__name__}: {text}"
        what += f": {error.__cause__}" if error.__cause__ else ""
        raise AssetError(f"{asset.folder.name} can't be read by `datasets` ({what})") from error


@contextmanager
def _bars_at_a_terminal() -> Iterator[None]:
    """Hide the progress bars of `datasets` unless stderr is a terminal."""
    from datasets import disable_progress_bars, enable_progress_bars, is_progress_bar_enabled

    hide = is_progress_bar_enabled() and not os.isatty(2)
    if hide:
        disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            enable_progress_bars()


def _one_split(opened: "DatasetDict", asset: Asset, split: str) -> "Dataset":
    if split not in opened:
        raise UsageError(f"{asset.folder.name} has no split {split!r}. It has {', '.join(opened)}.")
    return opened[split]
