"""`dataset export --croissant`: a dataset in MLCommons' format, for catalogues and loaders.

It is written by their own library, mlcroissant, of the extra `croissant`.
"""

import json
import mimetypes
from pathlib import Path
from typing import Any
from urllib.parse import quote

from research_data.assets.catalog import Asset
from research_data.assets.manifest import Manifest
from research_data.assets.tar_archive import export_target
from research_data.durable import write_bytes
from research_data.errors import AssetError, UsageError

HUB = "https://huggingface.co"
FORMATS = {  # that Python's table of media types lacks
    ".arrow": "application/vnd.apache.arrow.file",
    ".jsonl": "application/jsonlines",
    ".parquet": "application/x-parquet",
}


def export_croissant(asset: Asset, path: Path) -> Path:
    """Write the Croissant description of a dataset; path is the file, or the folder for it.

    It has every file with its size and sha256, and the address of each on the hub; files from
    elsewhere have their names, as seen from the dataset's folder. It says nothing of columns.
    Returns the file. Raises UsageError when mlcroissant is missing, for a model, when the file
    exists or its folder doesn't; AssetError for what the format can't say; StorageError.
    """
    mlcroissant = _mlcroissant()
    manifest = asset.manifest
    if manifest.kind != "dataset":
        raise UsageError(f"{manifest.repo_id} is a {manifest.kind}: Croissant describes datasets")
    file = export_target(path, f"{asset.folder.name}.croissant.json")
    described = mlcroissant.Metadata(
        name=manifest.repo_id,
        description=_description(manifest),
        url=_page(manifest),
        license=[manifest.licence] if manifest.licence else None,
        version=manifest.revision,
        distribution=[
            mlcroissant.FileObject(
                id=f"file-{number}",  # not its name: an id may have no spaces
                name=name,
                content_url=_address(manifest, name),
                content_size=f"{entry.size} B",
                encoding_formats=[_format(name)],
                sha256=entry.sha256,
            )
            for number, (name, entry) in enumerate(sorted(manifest.files.items()), 1)
        ],
    )
    if described.issues.errors:
        raise AssetError(f"{asset.folder}: no Croissant file: {described.issues.report()}")
    content = json.dumps(described.to_json(), indent=1, default=str) + "\n"
    write_bytes(file, content.encode())
    return file


def _mlcroissant() -> Any:
    try:
        import mlcroissant
    except ModuleNotFoundError as error:
        raise UsageError(
            "a Croissant file needs mlcroissant, which isn't installed: run `uv sync "
            "--all-packages`, or add research-cli[croissant] to what requires research-cli"
        ) from error
    return mlcroissant


def _page(manifest: Manifest) -> str | None:
    endpoint = (manifest.endpoint or HUB).rstrip("/")
    return f"{endpoint}/datasets/{manifest.repo_id}" if manifest.source == "hub" else None


def _address(manifest: Manifest, name: str) -> str:
    page = _page(manifest)
    return f"{page}/resolve/{manifest.revision}/{quote(name)}" if page else name


def _description(manifest: Manifest) -> str:
    origin = {"hub": "From the hub", "local": "Imported files", "generated": "Generated"}
    made = f" by {manifest.generator}" if manifest.generator else ""
    return f"{origin[manifest.source]}{made}, revision {manifest.revision}."


def _format(name: str) -> str:
    kind = FORMATS.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
    return kind or "application/octet-stream"
