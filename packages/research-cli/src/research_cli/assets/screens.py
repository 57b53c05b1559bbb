"""Show the datasets or models that are here, for people and as JSON."""

from typing import TYPE_CHECKING, Any

from research_data.shown import counted, print_line, shown_size

from research_cli.printing import print_json, print_rows

if TYPE_CHECKING:
    from research_data import Asset, BrokenAsset
    from research_data.assets.manifest import Kind, Manifest

WIDEST = 60  # characters of a generated dataset's arguments in the list


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
    if assets:
        print_rows([_row(asset, users[asset.folder]) for asset in assets])
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
        "source": f"{_source(manifest)} {manifest.endpoint or manifest.generator or ''}".strip(),
        "id": manifest.repo_id,
        "revision": manifest.revision,
        "asked for as": ", ".join(manifest.asked_as) or manifest.repo_id,
        **({"made of": _arguments(manifest)} if manifest.arguments else {}),
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


def described(asset: Any) -> dict[str, Any]:
    """An asset as --json prints it."""
    manifest = asset.manifest
    used = asset.last_used
    return {
        "names": asset.names,
        "kind": manifest.kind,
        "source": _source(manifest),
        "repo_id": manifest.repo_id,
        "revision": manifest.revision,
        "requested_revision": manifest.requested_revision,
        "arguments": manifest.arguments,
        "configs": {config: list(splits) for config, splits in manifest.configs.items()},
        "licence": manifest.licence,
        "folder": str(asset.folder),
        "size": manifest.size,
        "files": {name: entry.model_dump() for name, entry in manifest.files.items()},
        "pulled_at": manifest.pulled_at,
        "last_used": used.isoformat(timespec="seconds") if used else None,
    }


def _source(manifest: "Manifest") -> str:
    """Where an asset is from: `hub`, `local`, `generated`, or `address` for a file of the web."""
    return "address" if manifest.source == "local" and manifest.endpoint else manifest.source


def _made_of(manifest: "Manifest") -> str:
    """The source, and what a generated dataset was made of: `generated: noise=0.1, seed=0`."""
    made_of = _arguments(manifest)
    shown = made_of if len(made_of) <= WIDEST else f"{made_of[: WIDEST - 3]}..."
    return f"{_source(manifest)}: {shown}" if shown else _source(manifest)


def _arguments(manifest: "Manifest") -> str:
    return ", ".join(f"{key}={value}" for key, value in (manifest.arguments or {}).items())


def _row(asset: "Asset | BrokenAsset", users: list[str]) -> dict[str, str]:
    """The row of the list, its cells by their columns."""
    from research_data import Asset

    row = {
        "name": asset.folder.name,
        "kind": asset.kind,
        "revision": "damaged",
        "size": "",
        "licence": "",
        "source": "",
        "used by": ", ".join(users) or "-",
        "last used": "",
    }
    if isinstance(asset, Asset):
        manifest, used = asset.manifest, asset.last_used
        row |= {
            "name": ", ".join(asset.names),
            "revision": manifest.revision[:12],
            "size": shown_size(manifest.size),
            "licence": manifest.licence or "not stated",
            "source": manifest.repo_id if manifest.source == "hub" else _made_of(manifest),
            "last used": f"{used:%Y-%m-%d}" if used else "-",
        }
    return row
