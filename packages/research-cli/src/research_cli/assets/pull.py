"""Pull or import datasets and models one by one, or show what that would fetch."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from research_data.errors import ResearchError, UsageError
from research_data.shown import counted, print_line, say, shown_size

from research_cli.assets.screens import described
from research_cli.printing import print_json, say_unless

if TYPE_CHECKING:
    from research_data.assets.manifest import Kind


def pull_each(
    kind: "Kind",
    names: list[str],
    one: Callable[[str], Any],
    plan: Callable[[str, str | None], Any],
    dry_run: bool,
    offline: bool,
    update: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Pull each name, or import each path; a failure doesn't stop the others.

    one: pulls a name. plan: makes the request to plan for --dry-run from a name and a revision.
    """
    from research_data import import_asset, pull_asset
    from research_data.assets.archives import is_path
    from research_data.elsewhere.address import checked_address

    # An address of the web is a page of the hub, and refused as one.
    addresses = [name for name in names if "://" in name and not name.startswith("http")]
    for address in addresses:
        checked_address(address)  # before it is printed: it may hold credentials
    results: list[dict[str, Any]] = []
    worst = 0
    began = datetime.now(UTC).isoformat(timespec="milliseconds")
    for name in names:
        try:
            if is_path(name) or name in addresses:
                if dry_run:
                    what = "an address" if name in addresses else "a path"
                    raise UsageError(f"{name} is {what}: --dry-run only shows what the hub has")
                if name in addresses:
                    asset = pull_asset(name, kind, quiet=quiet)
                else:
                    asset = import_asset(Path(name), kind, quiet=quiet)
            elif dry_run:
                results.append(_show_plan(plan, name, offline, update, as_json))
                continue
            else:
                asset = one(name)
        except ResearchError as error:
            if len(names) == 1:
                raise
            say(f"error: {error}")  # continue with the other names
            results.append({"name": name, "error": str(error)})
            worst = max(worst, error.exit_code)
            continue
        results.append({"name": name, **described(asset)})
        if asset.manifest.pulled_at < began and name not in addresses and not quiet:
            since = asset.manifest.pulled_at[:10]
            say(
                f"{name} is already here (pulled {since}, verified). "
                "--update checks for a newer revision."
            )
        if not as_json:
            print(asset.folder)
    if as_json:
        print_json({"assets": results})
    if worst:
        raise typer.Exit(worst)


def _show_plan(
    plan: Callable[[str, str | None], Any], name: str, offline: bool, update: bool, as_json: bool
) -> dict[str, Any]:
    from research_data import Asset, split_name
    from research_data.hub.plan import plan_pull

    found = plan_pull(plan(*split_name(name)), offline, update)
    if isinstance(found, Asset):
        say_unless(as_json, f"{name} is already here and intact: nothing to fetch ({found.folder})")
        return {"name": name, **described(found), "to_fetch": 0}
    if not as_json:
        for file in found.missing:
            print_line(f"{shown_size(file.size):>9}  {file.name}")
        kept = len(found.files) - len(found.missing)
        files = counted(len(found.missing), "file")
        print_line(
            f"would fetch {files}, {shown_size(found.missing_size)}, into {found.folder}"
            + (f"; {counted(kept, 'file')} already there" if kept else "")
        )
    return {
        "name": name,
        "repo_id": found.repository.repo_id,
        "revision": found.repository.revision,
        "licence": found.repository.licence,
        "folder": str(found.folder),
        "size": found.size,
        "to_fetch": found.missing_size,
        "files": {file.name: file.size for file in found.missing},
    }
