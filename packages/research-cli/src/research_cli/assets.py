"""`research-cli dataset ...` and `research-cli model ...`: the same commands for both kinds."""

import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from research_data.errors import ResearchError, UsageError

from research_cli.printing import Json, examples, output, print_json, print_table, say_unless

if TYPE_CHECKING:
    from research_data.manifest import Kind

# Imports of a command's own are made inside it, as everywhere in this package.

Names = Annotated[
    list[str], typer.Argument(metavar="NAME[@REVISION]...", help="`squad`, `org/name`, `squad@v1`.")
]
Name = Annotated[str, typer.Argument(metavar="NAME[@REVISION]", help="Name, id or folder's name.")]
Offline = Annotated[bool, typer.Option("--offline", help="Make no request at all.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
MaxSize = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Fetch nothing when it is more, as `20GB`.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be fetched; fetch nothing.")
]
Update = Annotated[
    bool, typer.Option("--update", help="Ask the hub for the newest commit, though one is here.")
]

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {"KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def dataset_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli dataset`. rich: help is for a terminal."""
    app = _app("dataset", group, rich)

    @app.command(
        epilog=examples(
            "research-cli dataset pull squad",
            "research-cli dataset pull squad@7b6d24c440a3 glue",
            "research-cli dataset pull glue --config sst2 --split train --dry-run",
            "research-cli dataset pull ./my-rows.csv",
        )
    )
    def pull(
        names: Names,
        config: Annotated[
            list[str] | None, typer.Option(metavar="CONFIG", help="Only this one; may be repeated.")
        ] = None,
        split: Annotated[
            list[str] | None, typer.Option(metavar="SPLIT", help="Only this one; may be repeated.")
        ] = None,
        max_size: MaxSize = None,
        dry_run: DryRun = False,
        update: Update = False,
        offline: Offline = False,
        quiet: Quiet = False,
        json: Json = False,
    ) -> None:
        """Fetch datasets of the hub, or take files of your own, into assets: whole and verified.

        What is here and intact is not fetched again. A pull that was stopped goes on with the
        files that are missing.
        """
        from research_data.pull import Request, pull_dataset

        configs, splits, limit = tuple(config or ()), tuple(split or ()), _bytes(max_size)

        def plan(name: str, revision: str | None) -> Request:
            return Request("dataset", name, revision, configs, splits)

        def one(name: str) -> Any:
            return pull_dataset(
                name, configs, splits, max_size=limit, offline=offline, update=update, quiet=quiet
            )

        _pull("dataset", names, one, plan, dry_run, offline, update, quiet, json)

    _add_common(app, "dataset")
    return app


def model_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli model`. rich: help is for a terminal."""
    app = _app("model", group, rich)

    @app.command(
        epilog=examples(
            "research-cli model pull bert-base-uncased",
            "research-cli model pull org/name@v1 --include 'onnx/*'",
        )
    )
    def pull(
        names: Names,
        include: Annotated[
            list[str] | None,
            typer.Option(metavar="PATTERN", help="Other files to have too; may be repeated."),
        ] = None,
        max_size: MaxSize = None,
        dry_run: DryRun = False,
        update: Update = False,
        offline: Offline = False,
        quiet: Quiet = False,
        json: Json = False,
    ) -> None:
        """Fetch models of the hub into assets: safetensors, config and tokenizer.

        Pickled weights are never pulled: they run code when they are read.
        """
        from research_data.pull import Request, pull_model

        patterns, limit = tuple(include or ()), _bytes(max_size)

        def plan(name: str, revision: str | None) -> Request:
            return Request("model", name, revision, include=patterns)

        def one(name: str) -> Any:
            return pull_model(
                name, patterns, max_size=limit, offline=offline, update=update, quiet=quiet
            )

        _pull("model", names, one, plan, dry_run, offline, update, quiet, json)

    _add_common(app, "model")
    return app


def _app(kind: "Kind", group: type[Any], rich: bool) -> typer.Typer:
    what = {
        "dataset": "Datasets: pulled from the hub or made, verified, linked into papers.",
        "model": "Models: pulled from the hub, verified, linked into papers.",
    }[kind]
    return typer.Typer(
        cls=group,
        help=what,
        no_args_is_help=True,
        rich_markup_mode="rich" if rich else None,
    )


def _add_common(app: typer.Typer, kind: "Kind") -> None:
    """The commands that are the same for datasets and models."""

    @app.command(name="list")
    def list_(json: Json = False) -> None:
        """Show what is here: name, revision, size, licence, used by which papers, last used."""
        _list(kind, json)

    @app.command()
    def info(name: Name, json: Json = False) -> None:
        """Show all that is known of one: where from, revision, licence, every file."""
        _info(kind, name, json)

    @app.command(
        epilog=examples(
            f"research-cli {kind} verify --all",
            f"research-cli {kind} verify squad --repair"
            if kind == "dataset"
            else f"research-cli {kind} verify bert-base-uncased --repair",
        )
    )
    def verify(
        names: Annotated[
            list[str] | None, typer.Argument(metavar="NAME[@REVISION]...", show_default=False)
        ] = None,
        all_: Annotated[bool, typer.Option("--all", help=f"Every {kind} that is here.")] = False,
        repair: Annotated[
            bool, typer.Option("--repair", help="Fetch what is damaged again, and only that.")
        ] = False,
        quiet: Quiet = False,
        json: Json = False,
    ) -> None:
        """Hash every byte against asset.json; exit code 1 and a list where something is damaged."""
        _verify(kind, names or [], all_, repair, quiet, json)

    @app.command()
    def remove(
        names: Annotated[
            list[str] | None, typer.Argument(metavar="NAME[@REVISION]...", show_default=False)
        ] = None,
        force: Annotated[bool, typer.Option("--force", help="Though a paper uses it.")] = False,
        derived: Annotated[
            bool,
            typer.Option("--derived", help="Only what was made from it (Arrow files, tokens)."),
        ] = False,
        leftovers: Annotated[
            bool, typer.Option("--leftovers", help="What stopped pulls and imports left.")
        ] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would free.")] = False,
        json: Json = False,
    ) -> None:
        """Remove from the disk; refuses what a paper links or needs."""
        if bool(names) == leftovers:
            raise UsageError("name what to remove, or say --leftovers")
        if leftovers:
            _remove_leftovers(kind, dry_run, json)
        else:
            _remove(kind, names or [], force, derived, dry_run, json)

    @app.command(epilog=examples(f"research-cli {kind} link mnist1d NAME"))
    def link(
        paper: Annotated[str, typer.Argument(help="A paper or project of the workspace.")],
        name: Name,
        json: Json = False,
    ) -> None:
        """Link into a paper's folder as `data`; several are links in a folder `data`."""
        from research_data import add_link, find_asset, split_name

        asset = find_asset(kind, name)
        links = add_link(_member_folder(paper), split_name(name)[0], asset.folder)
        output({"links": [str(p) for p in links]}, json, [f"{p} -> {p.readlink()}" for p in links])

    @app.command()
    def unlink(
        paper: Annotated[str, typer.Argument(help="A paper or project of the workspace.")],
        name: Annotated[str | None, typer.Argument(help="One of several; else all.")] = None,
        json: Json = False,
    ) -> None:
        """Remove a paper's links; what they link to stays."""
        from research_data import unlink_assets

        gone = unlink_assets(_member_folder(paper), name)
        output({"removed": [str(p) for p in gone]}, json, [f"removed {path}" for path in gone])

    @app.command(
        name="import",
        epilog=examples(
            f"research-cli {kind} import squad.tar",
            f"research-cli {kind} import folder --name mine",
        ),
    )
    def import_(
        path: Annotated[Path, typer.Argument(help="An exported archive, or files of your own.")],
        name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
        quiet: Quiet = False,
        json: Json = False,
    ) -> None:
        """Take an archive of `export`, or files of your own, into assets; every byte is hashed."""
        from research_data import import_asset

        asset = import_asset(path, kind, name, quiet=quiet)
        output(_described(asset), json, [str(asset.folder)])

    @app.command()
    def export(
        name: Name,
        path: Annotated[
            Path, typer.Argument(help="The archive to write, or the folder for it.")
        ] = Path(),
        quiet: Quiet = False,
        json: Json = False,
    ) -> None:
        """Write one archive, for a machine without a network: `import` takes it there."""
        from research_data import export_asset, find_asset

        file = export_asset(find_asset(kind, name), path, quiet=quiet)
        output({"file": str(file), "size": file.stat().st_size}, json, [str(file)])


def _pull(
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
    from research_data.transfer import import_asset, is_path

    results: list[dict[str, Any]] = []
    worst = 0
    began = datetime.now(UTC).isoformat(timespec="milliseconds")
    for name in names:
        try:
            if is_path(name):
                if dry_run:
                    raise UsageError(f"{name} are files of yours: nothing is fetched, so no plan")
                asset = import_asset(Path(name), kind, quiet=quiet)
            elif dry_run:
                results.append(_show_plan(plan, name, offline, update, as_json))
                continue
            else:
                asset = one(name)
        except ResearchError as error:
            if len(names) == 1:
                raise
            print(f"error: {error}", file=sys.stderr)  # and go on with the other names
            results.append({"name": name, "error": str(error)})
            worst = max(worst, error.exit_code)
            continue
        results.append({"name": name, **_described(asset)})
        if asset.manifest.pulled_at < began and not quiet:
            since = asset.manifest.pulled_at[:10]
            print(f"{name} is here since {since}, intact; --update asks for more", file=sys.stderr)
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
    from research_data.progress import shown_size
    from research_data.pull import plan_pull

    found = plan_pull(plan(*split_name(name)), offline, update)
    if isinstance(found, Asset):
        say_unless(as_json, f"{name} is here, intact: nothing to fetch ({found.folder})")
        return {"name": name, **_described(found), "to_fetch": 0}
    if not as_json:
        for file in found.missing:
            print(f"{shown_size(file.size):>9}  {file.name}")
        kept = len(found.files) - len(found.missing)
        print(
            f"would fetch {len(found.missing)} files, {shown_size(found.missing_size)}, into "
            f"{found.folder}" + (f"; {kept} are there" if kept else "")
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


def _list(kind: "Kind", as_json: bool) -> None:
    from research_data import Asset, list_assets
    from research_data.catalog import disk_size, kind_folder, leftovers, users_of
    from research_data.progress import shown_size

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
                    {**_described(a), "used_by": users[a.folder]}
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
    many = "" if len(assets) == 1 else "s"
    print(f"{len(assets)} {kind}{many}, {shown_size(total)}, in {kind_folder(kind)}")
    for asset in assets:
        if not isinstance(asset, Asset):
            print(f"damaged: {asset.folder.name}: {asset.reason}")
    if left:
        print(
            f"{shown_size(left)} left by what was stopped: a pull goes on with it, "
            f"`research-cli {kind} remove --leftovers` removes it"
        )
    if made:
        print(
            f"and {shown_size(sum(size for _, size in made))} made from them, to be made again "
            f"when needed (`research-cli {kind} remove NAME --derived`): "
            + ", ".join(f"{asset.names[0]} {shown_size(size)}" for asset, size in made)
        )


def _info(kind: "Kind", name: str, as_json: bool) -> None:
    from research_data import find_asset
    from research_data.catalog import disk_size, users_of
    from research_data.progress import shown_size

    asset = find_asset(kind, name)
    users = users_of([asset.folder])[asset.folder]
    if as_json:
        print_json({**_described(asset), "used_by": users, "derived": disk_size(asset.derived)})
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
        "size": f"{shown_size(manifest.size)} in {len(manifest.files)} files",
        "derived": shown_size(disk_size(asset.derived)),
    }
    for key, value in rows.items():
        print(f"{key:<13} {value}")
    for file, entry in manifest.files.items():
        print(f"  {entry.sha256[:12]}  {shown_size(entry.size):>9}  {file}")


def _verify(
    kind: "Kind", names: list[str], every: bool, repair: bool, quiet: bool, as_json: bool
) -> None:
    from research_data import examine, list_assets
    from research_data.progress import shown_size

    if bool(names) == every:
        raise UsageError(f"name the {kind}s to verify, or say --all")
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
            say_unless(as_json, f"ok       {name}  {_files(manifest)}, {shown_size(manifest.size)}")
    if as_json:
        print_json({"assets": [{**asdict(h), "folder": str(h.folder)} for h in healths]})
    if not all(health.sound for health in healths):
        if not repair and not as_json:
            print(f"`research-cli {kind} verify NAME --repair` fetches again what came from a hub")
        raise typer.Exit(1)


def _files(manifest: Any) -> str:
    count = len(manifest.files)
    return f"{count} file{'' if count == 1 else 's'}"


def _find(kind: "Kind", name: str) -> Any:
    """The asset of that name, also one that can't be read."""
    from research_data import DamagedAssetError, find_asset, split_name
    from research_data.catalog import find_broken

    try:
        return find_asset(kind, name)
    except DamagedAssetError:
        broken = find_broken(kind, *split_name(name))
        if broken is None:
            raise
        return broken


def _remove(
    kind: "Kind", names: list[str], force: bool, derived: bool, dry_run: bool, as_json: bool
) -> None:
    from research_data import remove_asset
    from research_data.catalog import disk_size, refuse_used, remove_derived
    from research_data.progress import shown_size

    assets = [_find(kind, name) for name in names]  # all of them, before the first goes
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
        what = f"what was made from {asset.folder.name}" if derived else asset.folder.name
        verb = "would remove" if dry_run else "removed"
        say_unless(as_json, f"{verb} {what}: {shown_size(freed)}")
    if as_json:
        print_json({"removed": removed, "dry_run": dry_run})


def _remove_leftovers(kind: "Kind", dry_run: bool, as_json: bool) -> None:
    from research_data.catalog import disk_size, leftovers, remove_leftovers
    from research_data.progress import shown_size

    freed = sum(map(disk_size, leftovers(kind))) if dry_run else remove_leftovers(kind)
    verb = "would remove" if dry_run else "removed"
    say_unless(as_json, f"{verb} what stopped pulls and imports left: {shown_size(freed)}")
    if as_json:
        print_json({"freed": freed, "dry_run": dry_run})


def _described(asset: Any) -> dict[str, Any]:
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


def _member_folder(paper: str) -> Path:
    from research_train import find_member, installed_members

    return find_member(paper, installed_members()).folder


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?", text.strip().upper())
    if not found:
        raise UsageError(f"--max-size {text!r}: write a size as 500MB or 20GB")
    return int(float(found.group(1)) * UNITS[found.group(2)])
