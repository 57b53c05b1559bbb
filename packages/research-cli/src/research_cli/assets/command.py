"""`research-cli dataset ...` and `research-cli model ...`: the same commands for both kinds."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from research_data.errors import UsageError

from research_cli.assets.pull import pull_each
from research_cli.assets.screens import described, show_info, show_list
from research_cli.assets.upkeep import clear_leftovers, remove_each, verify_each
from research_cli.printing import Json, examples, new_app, output

if TYPE_CHECKING:
    from research_data.assets.manifest import Kind

# Modules that only one command needs are imported inside it, so that `--help` answers at once.

DatasetNames = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME[@REVISION]...",
        help="Name on the hub, path of your own files, or address that `push` printed: `squad`, "
        "`org/name@v1`, `./rows.csv`, `s3://bucket/data/squad@7b6d24c440a3`.",
    ),
]
ModelNames = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME[@REVISION]...",
        help="Name on the hub, path of your own folder, or address that `push` printed: "
        "`bert-base-uncased`, `org/name@v1`, `./my-model`, `s3://bucket/models/NAME@REVISION`.",
    ),
]
Name = Annotated[
    str, typer.Argument(metavar="NAME[@REVISION]", help="Name, hub id or folder name.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Make no network request.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
MaxSize = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Fetch nothing if the download is larger: `20GB`."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be fetched; fetch nothing.")
]
Update = Annotated[bool, typer.Option("--update", help="Check the hub for a newer revision.")]

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {"KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def dataset_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli dataset`. rich: format the help for a terminal."""
    app = _app("dataset", group, rich)

    @app.command(
        epilog=examples(
            "research-cli dataset pull squad",
            "research-cli dataset pull squad@7b6d24c440a3 glue",
            "research-cli dataset pull glue --config sst2 --split train --dry-run",
            "research-cli dataset pull ./my-rows.csv",
            "research-cli dataset pull s3://bucket/data/squad@7b6d24c440a3    # after a push",
        )
    )
    def pull(
        names: DatasetNames,
        config: Annotated[
            list[str] | None,
            typer.Option(metavar="CONFIG", help="Fetch only this config. May be repeated."),
        ] = None,
        split: Annotated[
            list[str] | None,
            typer.Option(metavar="SPLIT", help="Fetch only this split. May be repeated."),
        ] = None,
        max_size: MaxSize = None,
        dry_run: DryRun = False,
        update: Update = False,
        offline: Offline = False,
        quiet: Quiet = False,
        json: Json = False,
    ) -> None:
        """Fetch datasets from the hub, or copy your own files, into assets; verify every byte.

        A dataset that is already here and intact is not fetched again. A pull that was stopped
        resumes with the missing files.
        """
        from research_data.hub.plan import Request
        from research_data.hub.pull import pull_dataset

        configs, splits, limit = tuple(config or ()), tuple(split or ()), _bytes(max_size)

        def plan(name: str, revision: str | None) -> Request:
            return Request("dataset", name, revision, configs, splits)

        def one(name: str) -> Any:
            return pull_dataset(
                name, configs, splits, max_size=limit, offline=offline, update=update, quiet=quiet
            )

        pull_each("dataset", names, one, plan, dry_run, offline, update, quiet, json)

    _add_common(app, "dataset")
    return app


def model_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli model`. rich: format the help for a terminal."""
    app = _app("model", group, rich)

    @app.command(
        epilog=examples(
            "research-cli model pull bert-base-uncased",
            "research-cli model pull org/name@v1 --include 'onnx/*'",
        )
    )
    def pull(
        names: ModelNames,
        include: Annotated[
            list[str] | None,
            typer.Option(
                metavar="PATTERN", help="Fetch files of this pattern too. May be repeated."
            ),
        ] = None,
        max_size: MaxSize = None,
        dry_run: DryRun = False,
        update: Update = False,
        offline: Offline = False,
        quiet: Quiet = False,
        json: Json = False,
    ) -> None:
        """Fetch models from the hub into assets: safetensors, config and tokenizer.

        Pickled weights are never fetched: reading them can run code.
        """
        from research_data.hub.plan import Request
        from research_data.hub.pull import pull_model

        patterns, limit = tuple(include or ()), _bytes(max_size)

        def plan(name: str, revision: str | None) -> Request:
            return Request("model", name, revision, include=patterns)

        def one(name: str) -> Any:
            return pull_model(
                name, patterns, max_size=limit, offline=offline, update=update, quiet=quiet
            )

        pull_each("model", names, one, plan, dry_run, offline, update, quiet, json)

    _add_common(app, "model")
    return app


def _app(kind: "Kind", group: type[Any], rich: bool) -> typer.Typer:
    what = {
        "dataset": "Pull, list, verify, link, import and export datasets.",
        "model": "Pull, list, verify, link, import and export models.",
    }[kind]
    return new_app(group, rich, what)


def _add_common(app: typer.Typer, kind: "Kind") -> None:
    """The commands that are the same for datasets and models."""

    @app.command(name="list")
    def list_(json: Json = False) -> None:
        """List what is here: name, revision, size, licence, papers that use it, last use."""
        show_list(kind, json)

    @app.command()
    def info(name: Name, json: Json = False) -> None:
        """Show source, revision, licence and every file."""
        show_info(kind, name, json)

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
        all_: Annotated[
            bool, typer.Option("--all", help=f"Verify every {kind} that is here.")
        ] = False,
        repair: Annotated[
            bool, typer.Option("--repair", help="Fetch damaged files again, and only these.")
        ] = False,
        quiet: Quiet = False,
        json: Json = False,
    ) -> None:
        """Compare the hash of every file with the manifest; exit with 1 if any is damaged."""
        verify_each(kind, names or [], all_, repair, quiet, json)

    @app.command()
    def remove(
        names: Annotated[
            list[str] | None, typer.Argument(metavar="NAME[@REVISION]...", show_default=False)
        ] = None,
        force: Annotated[
            bool, typer.Option("--force", help="Remove even if a paper uses it.")
        ] = False,
        derived: Annotated[
            bool,
            typer.Option("--derived", help="Remove only derived files (Arrow, tokens)."),
        ] = False,
        leftovers: Annotated[
            bool,
            typer.Option("--leftovers", help="Remove what stopped pulls and imports left behind."),
        ] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Show what would be freed; remove nothing.")
        ] = False,
        json: Json = False,
    ) -> None:
        """Remove from disk, unless a paper links or requires it."""
        if bool(names) == leftovers:
            raise UsageError("give either the names to remove or --leftovers")
        if leftovers:
            clear_leftovers(kind, dry_run, json)
        else:
            remove_each(kind, names or [], force, derived, dry_run, json)

    @app.command(epilog=examples(f"research-cli {kind} link mnist1d NAME"))
    def link(
        paper: Annotated[str, typer.Argument(help="Name of a paper or project.")],
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
        paper: Annotated[str, typer.Argument(help="Name of a paper or project.")],
        name: Annotated[str | None, typer.Argument(help="Link to remove; by default all.")] = None,
        json: Json = False,
    ) -> None:
        """Remove a paper's links, not what they link to."""
        from research_data import unlink_assets

        gone = unlink_assets(_member_folder(paper), name)
        output({"removed": [str(p) for p in gone]}, json, [f"removed {path}" for path in gone])

    @app.command(
        name="import",
        epilog=examples(
            f"research-cli {kind} import archive.tar",
            f"research-cli {kind} import folder --name mine",
        ),
    )
    def import_(
        path: Annotated[Path, typer.Argument(help="Exported archive, or your own file or folder.")],
        name: Annotated[str | None, typer.Option(help="Name to give it.")] = None,
        quiet: Quiet = False,
        json: Json = False,
    ) -> None:
        """Import an exported archive or your own files into assets; hash every byte."""
        from research_data import import_asset

        asset = import_asset(path, kind, name, quiet=quiet)
        output(described(asset), json, [str(asset.folder)])

    @app.command()
    def export(
        name: Name,
        path: Annotated[
            Path, typer.Argument(help="Archive to write, or the folder for it.")
        ] = Path(),
        croissant: Annotated[
            bool,
            typer.Option(
                "--croissant",
                help="Write a Croissant file instead: what a dataset's files are, with the sha256 "
                "of each, for catalogues and loaders.",
                hidden=kind != "dataset",
            ),
        ] = False,
        quiet: Quiet = False,
        json: Json = False,
    ) -> None:
        """Write an archive that can be imported on a machine without a network."""
        from research_data import export_asset, find_asset

        if croissant:
            from research_cli.assets.croissant import export_croissant

            described = export_croissant(find_asset(kind, name), path)
            output({"file": str(described)}, json, [str(described)])
            return
        file = export_asset(find_asset(kind, name), path, quiet=quiet)
        output({"file": str(file), "size": file.stat().st_size}, json, [str(file)])

    @app.command(epilog=examples(f"research-cli {kind} push NAME s3://bucket/{kind}s"))
    def push(
        name: Name,
        address: Annotated[
            str,
            typer.Argument(
                help="Address of fsspec without credentials, `s3://bucket/data`, or a path."
            ),
        ],
        quiet: Quiet = False,
        json: Json = False,
    ) -> None:
        """Push to a bucket or a folder elsewhere; hash every byte on both ends.

        A push that was stopped goes on where it stopped. `pull` reads the address that is printed.
        """
        from research_data import find_asset, push_asset

        pushed = push_asset(find_asset(kind, name), address, quiet=quiet)
        output(vars(pushed), json, [pushed.address])


def _member_folder(paper: str) -> Path:
    from research_train import find_member, installed_members

    return find_member(paper, installed_members()).folder


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?", text.strip().upper())
    if not found:
        raise UsageError(f"--max-size {text!r} is not a size: write it as 500MB or 20GB")
    return int(float(found.group(1)) * UNITS[found.group(2)])
