"""Change settings of the hub's client libraries for a while, then restore them.

`huggingface_hub` and `datasets` read their environment variables once, when they are imported, and
keep the values as attributes of a module. Both are therefore set: the attributes for libraries that
are already imported, the variables for child processes and later imports.
"""

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BEFORE_RUN = "RESEARCH_OFFLINE_BEFORE_RUN"  # HF_HUB_OFFLINE as it was outside of a run
CONSTANTS, CONFIG = "huggingface_hub.constants", "datasets.config"

Attributes = Mapping[tuple[str, str], object]  # module and attribute -> value


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids requests; in a run, whether it did before the run began."""
    said = os.environ.get(BEFORE_RUN, os.environ.get("HF_HUB_OFFLINE", ""))
    return said.upper() in ("1", "ON", "YES", "TRUE")


@dataclass
class _Calls:
    """Our calls in progress in all threads: the first changes the settings, the last restores."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    count: int = 0
    before: dict[tuple[str, str], object] = field(default_factory=dict)


_calls = _Calls()


@contextmanager
def our_calls() -> Iterator[None]:
    """Let the clients make requests to the hub in this block, without telemetry."""
    import huggingface_hub.constants  # noqa: F401 - its attributes are set

    with _calls.lock:
        if _calls.count == 0:
            _calls.before = _set_attributes(
                {
                    # Our functions check is_offline; in a run the constant stops only other code.
                    (CONSTANTS, "HF_HUB_OFFLINE"): False,
                    (CONSTANTS, "HF_HUB_DISABLE_TELEMETRY"): True,
                    (CONSTANTS, "HF_HUB_DISABLE_XET"): True,  # plain HTTP, which we can verify
                    (CONFIG, "HF_HUB_OFFLINE"): False,
                    (CONFIG, "HF_DATASETS_OFFLINE"): False,
                    (CONFIG, "HF_UPDATE_DOWNLOAD_COUNTS"): False,
                }
            )
        _calls.count += 1
    try:
        yield
    finally:
        with _calls.lock:
            _calls.count -= 1
            if _calls.count == 0:
                _set_attributes(_calls.before)


@contextmanager
def only_from(hub_cache: Path, datasets_cache: Path) -> Iterator[None]:
    """Let the clients, in this block and its child processes, find only what these caches hold."""
    downloads = datasets_cache / "downloads"
    variables = {
        BEFORE_RUN: os.environ.get(BEFORE_RUN, os.environ.get("HF_HUB_OFFLINE", "")),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_CACHE": str(hub_cache),
        "HF_DATASETS_CACHE": str(datasets_cache),
        "HF_DATASETS_DOWNLOADED_DATASETS_PATH": str(downloads),
        "HF_DATASETS_EXTRACTED_DATASETS_PATH": str(downloads / "extracted"),
        "SENTENCE_TRANSFORMERS_HOME": str(hub_cache),
    }
    attributes: dict[tuple[str, str], object] = {
        (CONSTANTS, "HF_HUB_OFFLINE"): True,
        (CONSTANTS, "HF_HUB_CACHE"): str(hub_cache),
        (CONFIG, "HF_HUB_OFFLINE"): True,
        (CONFIG, "HF_DATASETS_OFFLINE"): True,
        (CONFIG, "HF_DATASETS_CACHE"): datasets_cache,
        (CONFIG, "DOWNLOADED_DATASETS_PATH"): downloads,
        (CONFIG, "EXTRACTED_DATASETS_PATH"): downloads / "extracted",
        ("datasets.load", "CachedDatasetModuleFactory"): _NothingCached,
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    attributes_before = _set_attributes(attributes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _set_attributes({**_as_imported_now(), **attributes_before})


class _NothingCached:
    """Stands in for the class by which `datasets` reads any cached revision of a name."""

    def __init__(self, name: str, cache_dir: str | None = None):
        self.name = name

    def get_module(self) -> None:
        """Raise FileNotFoundError, as for a name that was never cached."""
        raise FileNotFoundError(f"Dataset {self.name} is not cached")


def _set_attributes(values: Attributes) -> dict[tuple[str, str], object]:
    """Set attributes of those modules that are imported; returns the previous values."""
    before: dict[tuple[str, str], object] = {}
    for (name, attribute), value in values.items():
        module = sys.modules.get(name)
        if module is not None and hasattr(module, attribute):
            before[name, attribute] = getattr(module, attribute)
            setattr(module, attribute, value)
    return before


def _as_imported_now() -> dict[tuple[str, str], object]:
    """The values that the attributes would have if the libraries were imported now."""
    values: dict[tuple[str, str], object] = {}
    offline = is_offline()
    if constants := sys.modules.get(CONSTANTS):
        default = os.path.join(getattr(constants, "HF_HOME", ""), "hub")  # noqa: PTH118 - a str
        cache = os.environ.get("HF_HUB_CACHE", os.environ.get("HUGGINGFACE_HUB_CACHE", default))
        values[CONSTANTS, "HF_HUB_CACHE"] = os.path.expandvars(os.path.expanduser(cache))  # noqa: PTH111
        values[CONSTANTS, "HF_HUB_OFFLINE"] = offline
    if config := sys.modules.get(CONFIG):
        home = Path(config.HF_CACHE_HOME)
        root = Path(os.environ.get("HF_DATASETS_CACHE", home / "datasets"))
        downloads = root / "downloads"
        values[CONFIG, "HF_DATASETS_CACHE"] = root
        values[CONFIG, "DOWNLOADED_DATASETS_PATH"] = downloads
        values[CONFIG, "EXTRACTED_DATASETS_PATH"] = downloads / "extracted"
        values[CONFIG, "HF_HUB_OFFLINE"] = values[CONFIG, "HF_DATASETS_OFFLINE"] = offline
    return values
