"""Choose which files of a hub's repository to fetch; some kinds are never accepted."""

import fnmatch
import tempfile
from collections.abc import Iterable, Sequence

from research_data.assets.pickles import is_pickle, matches
from research_data.errors import AssetError, UsageError
from research_data.hub.address import hub_address
from research_data.hub.client import HubFile, HubRepository
from research_data.hub.errors import client_errors
from research_data.shown import first_few

Configs = dict[str, dict[str, list[str]]]  # config -> split -> files

ALWAYS = ("README.md", "LICENSE*", "LICENCE*", "*.yaml")  # fetched with any part of a dataset
MODEL_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.txt",  # vocab.txt, merges.txt
    "*.model",  # SentencePiece
    "*.jinja",  # chat templates
    "README.md",
    "LICENSE*",
)


def model_files(repository: HubRepository, include: Sequence[str]) -> list[HubFile]:
    """The files of a model to fetch: safetensors, config, tokenizer, and those that include names.

    Raises UsageError for a pattern that matches no file or a pickled file, AssetError when there
    are no safetensors.
    """
    names = [file.name for file in repository.files]
    for pattern in include:
        chosen = [name for name in names if fnmatch.fnmatch(name, pattern)]
        if not chosen:
            raise UsageError(
                f"--include {pattern!r} matches no file of {repository.repo_id}. It has "
                f"{first_few(names, 20)}"
            )
        refuse_pickles(repository.repo_id, [pattern], chosen)
    files = [f for f in repository.files if matches(f.name, (*MODEL_FILES, *include))]
    if not any(file.name.endswith(".safetensors") for file in files):
        only = [name for name in names if is_pickle(name)]
        pickles = f", only {first_few(only)}: pickled files can run code when read" if only else ""
        raise AssetError(
            f"{repository.repo_id} has no weights in safetensors{pickles}. Many repositories have "
            "a converted copy in a pull request: try `research-cli model pull "
            f"{repository.repo_id}@refs/pr/1`, or ask its authors."
        )
    return files


def refuse_pickles(name: str, patterns: Sequence[str], chosen: Iterable[str]) -> None:
    """Raise UsageError when one of the chosen files is pickled."""
    if pickled := [file for file in chosen if is_pickle(file)]:
        raise UsageError(
            f"{name}: --include {' '.join(patterns)} matches {first_few(pickled)}. Pickled files "
            "can run code when they are read, so they are never fetched. The safetensors weights "
            "are fetched without --include."
        )


def dataset_files(
    repository: HubRepository, configs: Sequence[str], splits: Sequence[str]
) -> tuple[list[HubFile], Configs]:
    """The files of a dataset to fetch, and config -> split -> files; by default all files and {}.

    Raises UsageError for a config or split that it doesn't have, AssetError when it can only be
    read by code of its own.
    """
    script = f"{repository.repo_id.rpartition('/')[2]}.py"
    if any(file.name == script for file in repository.files):
        raise AssetError(
            f"{repository.repo_id} needs remote code ({script}) to be read, which is never run. "
            "The hub keeps a Parquet copy of most datasets: `research-cli dataset pull "
            f"{repository.repo_id}@refs/convert/parquet`"
        )
    if not configs and not splits:
        return list(repository.files), {}
    found = _data_files(repository, configs, splits)
    wanted = {name for parts in found.values() for names in parts.values() for name in names}
    files = [f for f in repository.files if f.name in wanted or matches(f.name, ALWAYS)]
    return files, found


def _data_files(
    repository: HubRepository, configs: Sequence[str], splits: Sequence[str]
) -> Configs:
    """The files of the requested configs and splits, as `datasets` itself finds them."""
    hub_address()  # checked first: with a wrong one the import of `datasets` ends in a traceback
    import datasets  # before client_errors, which changes settings of imported libraries

    repo_id, revision = repository.repo_id, repository.revision
    prefix = f"hf://datasets/{repo_id}@{revision}/"
    found: Configs = {}
    with (
        tempfile.TemporaryDirectory() as scratch,  # for the card, which is fetched into assets too
        client_errors("dataset", repo_id, revision),
    ):
        settings = datasets.DownloadConfig(cache_dir=scratch)
        known = datasets.get_dataset_config_names(
            repo_id, revision=revision, download_config=settings
        )
        for config in configs or known:
            if config not in known:
                raise UsageError(f"{repo_id} has no config {config!r}. It has {', '.join(known)}.")
            builder = datasets.load_dataset_builder(
                repo_id, config, revision=revision, cache_dir=scratch, download_config=settings
            )
            files = {str(split): list(paths) for split, paths in builder.config.data_files.items()}
            for split in splits or files:
                if split not in files:
                    raise UsageError(
                        f"{repo_id}, config {config!r}, has no split {split!r}. It has "
                        f"{', '.join(files)}."
                    )
                paths = [path.removeprefix(prefix) for path in files[split]]
                found.setdefault(config, {})[split] = paths
    return found
