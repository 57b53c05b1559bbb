"""Carry out the commands `dataset` and `model`, and print the results."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from research_data.errors import ResearchError, UsageError
from research_data.shown import counted, print_line, say, shown_size

from research_cli.printing import print_json, print_table, say_unless

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
    from research_data.assets.archives import import_asset, is_path

    results: list[dict[str, Any]] = []
    worst = 0
    began = datetime.now(UTC).isoformat(timespec="milliseconds")
    for name in names:
        try:
            if is_path(name):
                if dry_run:
                    raise UsageError(f"{name} is a path: --dry-run only shows what the hub has")
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
        if asset.manifest.pulled_at < began and not quiet:
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


def show_list(kind: "Kind", as_json: bool) -> None:
    """Print the assets here, one in each row, and what could be removed."""
    from research_data import Asset, list_assets
    from research_data.assets.catalog import disk_size, kind_folder
    from research_data.assets.removal import leftovers
    from research_data.assets.users import users_of

    assets = list_assets(kind)
    users = users_of([asset.folder for asset in assets])
    left = sum(disk_size(path) for path in leftovers(kind))
    derived = [(a, disk_size(a.derived)) for a in assets if isinstance(a, Asset)]
    made = [(asset, size) for asset, size in derived if size]
    if as_json:
        print_json(
            {
                "folder": str(kind_folder(kind)),
                "assets": [
                    {**described(a), "used_by": users[a.folder]}
                    if isinstance(a, Asset)
                    else {"folder": str(a.folder), "error": a.reason}
                    for a in assets
                ],
            }
        )
        return
    rows = []
    for asset in assets:
        if not isinstance(asset, Asset):
            users_shown = ", ".join(users[asset.folder]) or "-"
            rows.append([asset.folder.name, kind, "damaged", "", "", "", users_shown, ""])
            continue
        manifest = asset.manifest
        used = asset.last_used
        rows.append(
            [
                ", ".join(asset.names),
                kind,
                manifest.revision[:12],
                shown_size(manifest.size),
                manifest.licence or "not stated",
                manifest.repo_id if manifest.source == "hub" else manifest.source,
                ", ".join(users[asset.folder]) or "-",
                f"{used:%Y-%m-%d}" if used else "-",
            ]
        )
    columns = ["name", "kind", "revision", "size", "licence", "source", "used by", "last used"]
    if rows:
        print_table(columns, rows)
    total = sum(a.manifest.size for a in assets if isinstance(a, Asset))
    print_line(f"{counted(len(assets), kind)}, {shown_size(total)}, in {kind_folder(kind)}")
    for asset in assets:
        if not isinstance(asset, Asset):
            print_line(f"damaged: {asset.folder.name}: {asset.reason}")
    if left:
        print_line(
            f"{shown_size(left)} left by stopped pulls and imports: the next pull continues with "
            f"it, `research-cli {kind} remove --leftovers` removes it"
        )
    if made:
        print_line(
            f"and {shown_size(sum(size for _, size in made))} of derived files, made again when "
            f"needed (`research-cli {kind} remove NAME --derived` removes them): "
            + ", ".join(f"{asset.names[0]} {shown_size(size)}" for asset, size in made)
        )


def show_info(kind: "Kind", name: str, as_json: bool) -> None:
    """Print all facts about an asset, and its files."""
    from research_data import find_asset
    from research_data.assets.catalog import disk_size
    from research_data.assets.users import users_of

    asset = find_asset(kind, name)
    users = users_of([asset.folder])[asset.folder]
    if as_json:
        print_json({**described(asset), "used_by": users, "derived": disk_size(asset.derived)})
        return
    manifest = asset.manifest
    used = asset.last_used
    rows = {
        "name": ", ".join(asset.names),
        "source": f"{manifest.source} {manifest.endpoint or manifest.generator or ''}".strip(),
        "id": manifest.repo_id,
        "revision": manifest.revision,
        "asked for as": ", ".join(manifest.asked_as) or manifest.repo_id,
        "parts": "; ".join(f"{c}: {', '.join(s)}" for c, s in manifest.configs.items()) or "all",
        "licence": manifest.licence or "not stated",
        "pulled at": manifest.pulled_at,
        "last used": f"{used:%Y-%m-%d %H:%M} UTC" if used else "never",
        "used by": ", ".join(users) or "no paper",
        "folder": str(asset.folder),
        "size": f"{shown_size(manifest.size)} in {counted(len(manifest.files), 'file')}",
        "derived": shown_size(disk_size(asset.derived)),
    }
    for key, value in rows.items():
        print_line(f"{key:<13} {value}")
    for file, entry in manifest.files.items():
        print_line(f"  {entry.sha256[:12]}  {shown_size(entry.size):>9}  {file}")


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


def described(asset: Any) -> dict[str, Any]:
    """An asset as --json prints it."""
    manifest = asset.manifest
    used = asset.last_used
    return {
        "names": asset.names,
        "kind": manifest.kind,
        "source": manifest.source,
        "repo_id": manifest.repo_id,
        "revision": manifest.revision,
        "requested_revision": manifest.requested_revision,
        "configs": {config: list(splits) for config, splits in manifest.configs.items()},
        "licence": manifest.licence,
        "folder": str(asset.folder),
        "size": manifest.size,
        "files": {name: entry.model_dump() for name, entry in manifest.files.items()},
        "pulled_at": manifest.pulled_at,
        "last_used": used.isoformat(timespec="seconds") if used else None,
    }


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
