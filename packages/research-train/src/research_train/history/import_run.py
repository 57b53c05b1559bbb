"""Import a run that was exported into a file."""

from pathlib import Path

from research_data import UsageError
from research_data.assets.publish import refuse_full_disk
from research_data.assets.tar_archive import read_archive

from research_train.errors import RunError
from research_train.history.received_run import Imported, parse_manifest, place_of, take_in
from research_train.history.run_archive import MANIFEST


def import_run(path: Path, *, quiet: bool = False) -> Imported:
    """Import a file of `export_run` into the outputs; the run appears only when all is verified.

    Raises UsageError if there is no such file; RunError if the file is damaged, holds files that
    are not of a run, or its run is already here with other content; AssetError if the disk has too
    little space; StorageError.
    """
    path = path.expanduser()
    if not path.is_file():
        raise UsageError(f"{path} is not a file, so it can't be imported")
    with read_archive(path, [MANIFEST], "a run", RunError) as archive:
        if archive.root:
            raise RunError(
                f"{path} is not an export of a run: its {MANIFEST} is in the folder "
                f"{archive.root[:80]!r}"
            )
        manifest = parse_manifest(archive.manifest, path)
        refuse_full_disk(place_of(manifest), manifest.size, manifest.run)
        return take_in(
            manifest,
            path,
            lambda path_of, on_bytes: archive.unpack(manifest.files, path_of, on_bytes),
            quiet,
        )
