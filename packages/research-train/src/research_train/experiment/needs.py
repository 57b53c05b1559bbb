"""Find, pull or make the data and models that a member's pyproject names, and link them.

[tool.research]
datasets = ["squad@7b6d24c440a36b6815f21b70d25016731768db1f"]     # from the hub, by commit
models = ["bert-base-uncased@86b5e0934494"]                       # the first digits are enough
# a part of a large dataset: datasets = [{ name = "nyu-mll/glue@bcdcba79d07b", configs = ["sst2"] }]

[tool.research.files.tinyshakespeare]       # one file at an address
url = "https://host/path/input.txt"
size = 1115394
sha256 = "86c4e6aa..."
licence = "public domain"

[tool.research.generated]
mnist1d = "paper_mnist1d.data:MNIST1D"      # see generated_needs.py

Every experiment needs all of these, unless a table says which ones it needs, by the names that
`run.asset` takes; then nothing else is fetched for it:

[tool.research.needs]
parameters = []                             # none: nothing stops it on a machine without network
perplexity = ["tinyshakespeare", "bert-base-uncased"]
"""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

from research_data import (
    Asset,
    DamagedAssetError,
    add_link,
    asset_folder,
    link_assets,
    make_dataset,
    matching_assets,
    split_name,
)
from research_data.assets.manifest import Kind
from research_data.assets.needs import FileNeed, HubNeed
from research_data.errors import HubError, StorageError
from research_data.generated.dataset import find_generated
from research_data.lock import locked
from research_data.shown import brief, counted, did_you_mean, say, shown_size

from research_train.errors import MemberError
from research_train.experiment.config import TrainConfig
from research_train.experiment.generated_needs import generated_dataset
from research_train.experiment.members import Experiment, Member


def prepare_assets(
    owner: Member | Experiment,
    rebuild: bool = False,
    quiet: bool = True,
    known: Mapping[str, str] | None = None,
    config: TrainConfig | None = None,
) -> dict[str, str]:
    """Have every dataset and model that a member or experiment needs; returns name -> revision.

    rebuild: make a damaged generated dataset anew instead of raising DamagedAssetError. known:
    revisions of generated datasets that need not be asked of their code. config: of the run, for
    datasets that are made of its keys; without it these are left out. Raises ConfigError for a
    value that such a dataset refuses, MemberError when the pyproject is wrong, HubError when what
    is missing can't be fetched, StorageError.
    """
    member = owner.member if isinstance(owner, Experiment) else owner
    names = needs_of(owner) if isinstance(owner, Experiment) else _every_name(member)
    revisions = {name: pull() for name, pull in _pulls(member, quiet) if name in names}
    for name in member.pyproject.generated:
        if name not in names:
            continue
        if known and name in known and find_generated(name, known[name]):
            revisions[name] = known[name]
            continue
        dataset = generated_dataset(member, name, config)
        if dataset is None:
            continue
        try:
            make_dataset(dataset)
        except DamagedAssetError as error:
            if not rebuild:
                raise DamagedAssetError(
                    error.folder,
                    f"{error.what}. Generate it again with `train --rebuild-data`, or put the file "
                    "back.",
                ) from error
            shutil.rmtree(error.folder)
            make_dataset(dataset)
        revisions[name] = dataset.revision
    return revisions


def needs_of(experiment: Experiment) -> list[str]:
    """The names of the datasets and models that an experiment needs, as `run.asset` takes them.

    Raises MemberError, also for a wrong entry of another experiment.
    """
    member, pyproject = experiment.member, experiment.member.pyproject
    every = _every_name(member)
    where = f"{pyproject.file}: [tool.research.needs]"
    of: dict[str, list[str]] = {}
    for key, names in pyproject.needs.items():
        try:
            name = member.experiment(key).name
        except MemberError as error:
            raise MemberError(f"{where} {key} = {brief(names)}: {error}") from error
        if name in of:
            raise MemberError(f"{where} {key} = {brief(names)}: {name} has an entry already")
        for need in names:
            if need not in every:
                listed = ", ".join(every) or "none"
                raise MemberError(
                    f"{where} {key}: {need!r} is no dataset, model or file under [tool.research]."
                    f"{did_you_mean(need, every)} There are: {listed}"
                )
        of[name] = names
    return of.get(experiment.name, every)


def out_of_reach(
    member: Member, experiments: Iterable[str], quiet: bool = True
) -> dict[str, HubError]:
    """Fetch what experiments need from the hub or the web; returns experiment -> why it can't be.

    Experiments whose needs are here have no entry. Each need is tried once. Raises MemberError,
    StorageError.
    """
    needed = {name: needs_of(member.experiment(name)) for name in experiments}
    why: dict[str, HubError] = {}
    for name, pull in _pulls(member, quiet):
        if any(name in names for names in needed.values()):
            try:
                pull()
            except HubError as error:
                why[name] = error
    return {
        experiment: why[lacking[0]]
        for experiment, names in needed.items()
        if (lacking := [name for name in why if name in names])
    }


def link_needs(member: Member, revisions: Mapping[str, str]) -> None:
    """Link these assets into the member's folder `data`. Raises AssetError, StorageError.

    Links to its other needs stay, which one of its other experiments has made.
    """
    folders = {name: asset_folder(name, revision) for name, revision in revisions.items()}
    with _linking(member):
        if folders.keys() == set(_every_name(member)):
            link_assets(member.folder, folders)
            return
        for name, folder in folders.items():
            add_link(member.folder, name, folder)


@contextmanager
def _linking(member: Member) -> Iterator[None]:
    """Let one process at a time make a member's links: it removes all that it doesn't make."""
    beside = member.folder / "pyproject.toml"
    with ExitStack() as stack:
        if beside.is_file():
            with suppress(StorageError):  # where that can't be written, links are hardly made
                stack.enter_context(locked(beside))
        yield


def hub_needs(member: Member) -> list[tuple[Kind, str, bool]]:
    """The kind and name of each asset that a member pulls, and whether it is here.

    Fetches nothing. Raises MemberError if the pyproject is wrong.
    """
    found: list[tuple[Kind, str, bool]] = [
        (need.kind, need.name, bool(matching_assets(need.kind, *_pinned(member, need))))
        for need in member.pyproject.hub_needs
    ]
    from research_data.hub.web_file import is_here

    return found + [("dataset", file.name, is_here(file)) for file in member.pyproject.file_needs]


def _every_name(member: Member) -> list[str]:
    """The names of all that a member needs. Raises MemberError where two are the same."""
    pyproject = member.pyproject
    names = [_pinned(member, need)[0] for need in pyproject.hub_needs]
    names += [file.name for file in pyproject.file_needs]
    names += pyproject.generated
    if twice := [name for name in names if names.count(name) > 1]:
        raise MemberError(f"{pyproject.file}: two datasets, models or files are named {twice[0]!r}")
    return names


def _pulls(member: Member, quiet: bool) -> Iterator[tuple[str, Callable[[], str]]]:
    """The name of each need from the hub or the web, and what fetches it and tells its revision."""
    for need in member.pyproject.hub_needs:
        yield _pinned(member, need)[0], partial(_pulled, member, need, quiet)
    for file in member.pyproject.file_needs:
        yield file.name, partial(_pulled_file, file, quiet)


def _pulled(member: Member, need: HubNeed, quiet: bool) -> str:
    """Have the asset that a need names, at exactly the revision it pins; returns that in full."""
    name, revision = _pinned(member, need)
    if not matching_assets(need.kind, name, revision) and not quiet:
        _say_size(member, need)
    # What reaches the hub takes longer to import than the rest of a start without needs from there.
    from research_data import pull_dataset, pull_model

    if need.kind == "dataset":
        asset = pull_dataset(need.name, need.configs, need.splits, quiet=quiet)
    else:
        asset = pull_model(need.name, quiet=quiet)
    if not asset.manifest.revision.startswith(revision):
        raise MemberError(
            f"{member.folder / 'pyproject.toml'} pins {need.name!r}, but only {asset.folder.name} "
            "is available"
        )
    return asset.manifest.revision


def _say_size(member: Member, need: HubNeed) -> None:
    """Say what is about to be fetched, and how large it is. Raises as the pull itself would."""
    from research_data.hub.plan import Request, plan_pull  # most starts fetch nothing

    plan = plan_pull(Request(need.kind, *split_name(need.name), need.configs, need.splits))
    if not isinstance(plan, Asset):
        say(
            f"{member.distribution} needs the {need.kind} {need.name}: fetching "
            f"{counted(len(plan.missing), 'file')}, {shown_size(plan.missing_size)}"
        )


def _pulled_file(file: FileNeed, quiet: bool) -> str:
    from research_data.hub.web_file import pull_file

    return pull_file(file, quiet=quiet).manifest.revision


def _pinned(member: Member, need: HubNeed) -> tuple[str, str]:
    """Name and commit of a need."""
    name, revision = split_name(need.name)
    pyproject = member.folder / "pyproject.toml"
    if revision is None or not re.fullmatch("[0-9a-f]{7,40}", revision):
        here = [asset.folder.name for asset in matching_assets(need.kind, name, None)]
        hint = f" Already here: {', '.join(here)}." if here else ""
        raise MemberError(
            f"{pyproject}: {need.name!r} must name a commit, as {name}@<sha>, since a branch may "
            f"change.{hint} `research-cli {need.kind} pull {name}` fetches the newest revision and "
            "shows its commit."
        )
    return name, revision
