"""Verify, repair and remove datasets and models one by one, and what stopped pulls left."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from research_data.errors import UsageError
from research_data.shown import counted, print_line, shown_size

from research_cli.printing import print_json, say_unless

if TYPE_CHECKING:
    from research_data.assets.manifest import Kind


def verify_each(
    kind: "Kind", names: list[str], every: bool, repair: bool, quiet: bool, as_json: bool
) -> None:
    """Hash every file of each asset; exit with 1 if one is damaged and not repaired."""
    from research_data import examine, list_assets

    if bool(names) == every:
        raise UsageError(f"give either the names of the {kind}s to verify or --all")
    chosen = list_assets(kind) if every else [_find(kind, name) for name in names]
    healths = []
    for asset in chosen:
        health = examine(asset, repair, quiet=quiet)
        healths.append(health)
        name = asset.folder.name
        for file, wrong in sorted(health.damaged.items()):
            say_unless(as_json, f"damaged  {name}/{file} {wrong}")
        if health.repaired:
            say_unless(as_json, f"repaired {name}: {', '.join(health.repaired)}")
        if health.trouble:
            say_unless(as_json, f"not repaired: {health.trouble}")
        if not health.damaged:
            manifest = asset.manifest  # type: ignore[union-attr]  # it can be read
            files = counted(len(manifest.files), "file")
            say_unless(as_json, f"ok       {name}  {files}, {shown_size(manifest.size)}")
    if as_json:
        print_json({"assets": [{**asdict(h), "folder": str(h.folder)} for h in healths]})
    if not all(health.sound for health in healths):
        if not repair and not as_json:
            print_line(
                f"`research-cli {kind} verify NAME --repair` fetches damaged files again from the "
                "hub"
            )
        raise typer.Exit(1)


def remove_each(
    kind: "Kind", names: list[str], force: bool, derived: bool, dry_run: bool, as_json: bool
) -> None:
    """Remove each asset, or only its derived files; with dry_run only print the size."""
    from research_data import remove_asset
    from research_data.assets.catalog import disk_size
    from research_data.assets.removal import refuse_used, remove_derived

    assets = [_find(kind, name) for name in names]  # a wrong name ends this before any removal
    if not derived:
        for asset in assets:
            refuse_used(asset, force)
    removed = []
    for asset in assets:
        if dry_run:
            freed = disk_size(asset.derived) + (0 if derived else disk_size(asset.folder))
        else:
            freed = remove_derived(asset) if derived else remove_asset(asset, force)
        removed.append({"folder": str(asset.folder), "freed": freed})
        what = f"files derived from {asset.folder.name}" if derived else asset.folder.name
        verb = "would remove" if dry_run else "removed"
        say_unless(as_json, f"{verb} {what}: {shown_size(freed)}")
    if as_json:
        print_json({"removed": removed, "dry_run": dry_run})


def clear_leftovers(kind: "Kind", dry_run: bool, as_json: bool) -> None:
    """Remove what stopped pulls and imports left; with dry_run only print the size."""
    from research_data.assets.catalog import disk_size
    from research_data.assets.removal import leftovers, remove_leftovers

    freed = sum(map(disk_size, leftovers(kind))) if dry_run else remove_leftovers(kind)
    verb = "would remove" if dry_run else "removed"
    say_unless(as_json, f"{verb} leftovers of stopped pulls and imports: {shown_size(freed)}")
    if as_json:
        print_json({"freed": freed, "dry_run": dry_run})


def _find(kind: "Kind", name: str) -> Any:
    """The asset of that name, which may be broken."""
    from research_data import DamagedAssetError, find_asset, split_name
    from research_data.assets.catalog import find_broken

    try:
        return find_asset(kind, name)
    except DamagedAssetError:
        broken = find_broken(kind, *split_name(name))
        if broken is None:
            raise
        return broken
