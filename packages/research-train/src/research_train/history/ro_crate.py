"""Export a run as an RO-Crate: a folder that says in JSON-LD what each of its files is.

FOLDER/run/                      the run's files, without trackers and secrets
FOLDER/source/<sha256>.tar.gz    its code
FOLDER/ro-crate-metadata.json    the run as a CreateAction of schema.org: code and config in,
                                 metrics and weights out; the paper; size and sha256 of each file
"""

import mimetypes
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from research_data.assets.manifest import FileEntry
from research_data.assets.verify import sha256_of
from research_data.errors import ResearchError, UsageError

from research_train.experiment.members import Member, installed_members
from research_train.experiment.yaml_file import read_yaml
from research_train.history.export_run import (
    Checkpoints,
    export_folder,
    exported_files,
    new_export,
    sound_record,
)
from research_train.history.run_archive import refuse_damaged_weights, source_name
from research_train.record.folders import CONFIG, METRICS, RECORD
from research_train.record.record import RunRecord
from research_train.record.summary import RunSummary

CITATION = "CITATION.cff"
DESCRIPTIONS = {
    RECORD: "Record of the run: code, data, environment, final metrics and seal.",
    CONFIG: "Resolved config of the run.",
    METRICS: "Metrics of the run, one JSON object a line.",
}


def export_crate(run: RunSummary, folder: Path, checkpoints: Checkpoints = "last") -> Path:
    """Write a run that has ended into a new folder, an RO-Crate; returns the folder.

    The paper is described, with the authors of its CITATION.cff, if it is installed. Needs rocrate,
    of the extra `crate`. Raises UsageError if rocrate is missing, or the folder exists or has no
    parent; RunError as `export_run` does; StorageError.
    """
    crate = _new_crate()
    folder = export_folder(folder)
    record = sound_record(run)
    files = exported_files(run.folder, record, checkpoints)
    described = _described_files(files)
    refuse_damaged_weights(run.folder, described, "exported")
    crate.name = f"Run {record.id} of {record.experiment}"
    crate.description = f"A training of {record.experiment} with seed {record.seed}."
    crate.datePublished = record.ended or record.started
    ids = {}
    for name, entry in described.items():
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        properties: dict[str, object] = {
            "name": DESCRIPTIONS.get(name.removeprefix("run/"), name),
            "contentSize": str(entry.size),
            "encodingFormat": kind,
            "sha256": entry.sha256,
        }
        if name == source_name(record.source):
            properties |= {"@type": ["File", "SoftwareSourceCode"], "name": "Code of the run."}
        ids[name] = crate.add_file(str(files[name]), name, properties=properties).id
    for about in _contexts(run, record, ids):
        crate.add_jsonld(about)
    crate.root_dataset["mentions"] = {"@id": f"#{record.id}"}
    article = [crate.add_jsonld(about) for about in _article(record)]
    if article:
        crate.root_dataset["about"] = article[0]
    with new_export(folder) as partial:
        crate.write(partial)
    return folder


def _new_crate() -> Any:
    try:
        from rocrate.rocrate import ROCrate
    except ModuleNotFoundError as error:
        raise UsageError(
            "an RO-Crate needs rocrate, which isn't installed: run `uv sync --all-packages`, or "
            "add research-train[crate] to what requires research-train"
        ) from error
    return ROCrate()


def _described_files(files: Mapping[str, Path]) -> dict[str, FileEntry]:
    return {
        name: FileEntry(size=file.stat().st_size, sha256=sha256_of(file))
        for name, file in sorted(files.items())
    }


def _contexts(
    run: RunSummary, record: RunRecord, ids: Mapping[str, str]
) -> Iterator[dict[str, object]]:
    """The training as an action, and each finite final metric. ids: of the files, by name."""
    metrics = {f"#metric/{quote(n)}": (n, v) for n, v in run.metrics.items() if v is not None}
    source = source_name(record.source)
    results = [each for name, each in ids.items() if name not in (f"run/{CONFIG}", source)]
    done = "Completed" if run.status == "completed" else "Failed"
    action: dict[str, object] = {
        "@id": f"#{record.id}",
        "@type": "CreateAction",
        "name": " ".join(record.command),
        "startTime": record.started,
        "actionStatus": {"@id": f"http://schema.org/{done}ActionStatus"},
        "instrument": {"@id": ids[source]},
        "object": {"@id": ids[f"run/{CONFIG}"]},
        "result": [{"@id": each} for each in (*results, *metrics)],
    }
    if record.ended:
        action["endTime"] = record.ended
    yield action
    for identifier, (name, value) in metrics.items():
        yield {"@id": identifier, "@type": "PropertyValue", "name": name, "value": value}


def _article(record: RunRecord) -> list[dict[str, object]]:
    """The paper, as schema.org has it, and then its authors; empty for one that isn't here."""
    found = [member for member in installed_members() if member.name == record.paper]
    try:
        title = found[0].pyproject.title if found else ""
        arxiv, year = (found[0].pyproject.arxiv, found[0].pyproject.year) if found else ("", None)
    except ResearchError:
        return []
    if not title:
        return []
    article: dict[str, object] = {
        "@id": f"https://arxiv.org/abs/{arxiv}" if arxiv else "#paper",
        "@type": "ScholarlyArticle",
        "name": title,
    }
    if year:
        article["datePublished"] = str(year)
    authors = _authors(found[0])
    if authors:
        article["author"] = [{"@id": each["@id"]} for each in authors]
    return [article, *authors]


def _authors(member: Member) -> list[dict[str, object]]:
    """The authors of the work that CITATION.cff prefers; none where it can't be read."""
    try:
        listed = read_yaml(member.folder / CITATION)["preferred-citation"]["authors"]
        names = [
            [str(each[key]) for key in ("given-names", "family-names", "name") if each.get(key)]
            for each in listed
        ]
    except (ResearchError, KeyError, TypeError, AttributeError):
        return []
    return [
        {"@id": f"#author/{n}", "@type": "Person", "name": " ".join(words)}
        for n, words in enumerate(names, 1)
        if words and words != ["others"]
    ]
