"""Datasets that a program makes: generated once into assets, with a manifest, then only read."""

import hashlib
import importlib.metadata
import inspect
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from research_data.assets.catalog import Asset
from research_data.assets.manifest import FileEntry, Manifest, folder_name, hide_manifest
from research_data.assets.names import name_asset
from research_data.assets.verify import check_asset
from research_data.assets_dir import get_datasets_dir
from research_data.durable import new_folder, sha256_file
from research_data.errors import DamagedAssetError

if TYPE_CHECKING:
    import numpy as np

ARRAYS = "data.safetensors"

Argument = str | int | float | bool | None | list[int] | list[float]

TORCH_BEGINS = 67280421310721  # torch's seed just after its import, which a generator may cause


@dataclass(frozen=True)
class GeneratedDataset:
    """A dataset whose revision is a key of the code and arguments that make it.

    name: its name under assets/datasets.
    generate: called with `arguments`; returns named NumPy arrays. It must depend on nothing else.
    arguments: keyword arguments, JSON values.
    package: the distribution that contains the generator; its version is part of the key.
    licence: SPDX identifier of the data.
    """

    name: str
    generate: "Callable[..., Mapping[str, np.ndarray]]"
    arguments: Mapping[str, Argument]
    package: str
    licence: str

    @property
    def generator(self) -> str:
        """The generating function, as `module:name`."""
        return f"{self.generate.__module__}:{self.generate.__qualname__}"

    @property
    def version(self) -> str:
        """The installed version of the generating package."""
        return importlib.metadata.version(self.package)

    @property
    def revision(self) -> str:
        """Key of generator (its name and source), package version and arguments; 12 hex digits.

        The source is part of the key, so that an edit of the generator, or of a helper or constant
        of its package, gives a new revision.
        """
        from research_data.generated.generator_code import reached_sources

        identity: dict[str, object] = {
            "generator": self.generator,
            "source": inspect.getsource(self.generate),
            "package": [self.package, self.version],
            "arguments": dict(self.arguments),
        }
        if reached := reached_sources(self.generate):
            identity["reached"] = reached
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def folder(self) -> Path:
        """The folder of this revision, which need not exist yet."""
        return get_datasets_dir() / folder_name(self.name, self.revision)


def make_dataset(dataset: GeneratedDataset) -> Path:
    """Return the dataset's folder; the dataset is generated if missing and verified if not.

    Several processes may do so at once: one complete copy results. Raises DamagedAssetError when a
    file differs from its manifest (remove the folder to generate it again), StorageError.
    """
    folder = dataset.folder
    if not folder.exists():
        with suppress(FileExistsError):  # another process was faster, with the same data
            _generate(dataset, folder)
    return _in_use(folder, dataset.name)


def find_generated(name: str, revision: str) -> Path | None:
    """The folder of a dataset that was generated before, verified; None where it wasn't.

    Raises DamagedAssetError as `make_dataset`.
    """
    folder = get_datasets_dir() / folder_name(name, revision)
    return _in_use(folder, name) if folder.exists() else None


def load_arrays(folder: Path) -> "dict[str, np.ndarray]":
    """The named arrays of a generated dataset."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(folder / ARRAYS)
    except (SafetensorError, OSError) as error:
        raise DamagedAssetError(folder, f"{ARRAYS} cannot be read ({error})") from error


@contextmanager
def _same_draws() -> Iterator[None]:
    """Seed the global random number generators alike in this block, then restore their states.

    Otherwise a dataset drawn from one of them would differ from process to process under the same
    revision.
    """
    import numpy as np

    before, drawn = random.getstate(), np.random.get_state()
    torch = sys.modules.get("torch")
    tensors = torch.get_rng_state() if torch else None
    random.seed(0)
    np.random.seed(0)
    if torch:
        torch.random.default_generator.manual_seed(TORCH_BEGINS)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(drawn)
        if torch:
            torch.set_rng_state(tensors)


def _in_use(folder: Path, name: str) -> Path:
    """The folder, verified, under its name and marked as used."""
    asset = Asset(folder, check_asset(folder))
    hide_manifest(folder)
    name_asset(asset, name)
    asset.mark_used()
    return folder


def _generate(dataset: GeneratedDataset, folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    with _same_draws():
        arrays = {
            name: np.ascontiguousarray(array)
            for name, array in dataset.generate(**dataset.arguments).items()
        }
    with new_folder(folder) as partial:
        save_file(arrays, partial / ARRAYS)
        (partial / ARRAYS).chmod(0o644)  # safetensors makes it private to the user
        entry = FileEntry(
            size=(partial / ARRAYS).stat().st_size, sha256=sha256_file(partial / ARRAYS)
        )
        manifest = Manifest(
            kind="dataset",
            source="generated",
            repo_id=dataset.name,
            revision=dataset.revision,
            licence=dataset.licence,
            asked_as=[dataset.name],
            generator=dataset.generator,
            package={dataset.package: dataset.version},
            arguments=dict(dataset.arguments),
            files={ARRAYS: entry},
        )
        manifest.write(partial)
