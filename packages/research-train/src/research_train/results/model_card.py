"""The model card of an exported model: what it is, what was reproduced, and how to load it."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from textwrap import dedent

from research_data import asset_folder
from research_data.assets.manifest import Manifest, read_manifest
from research_data.shown import shown_metric
from torch import nn

from research_train.claims.claim import CLAIMS, read_claims
from research_train.experiment.members import Experiment, Member
from research_train.record.folders import CONFIG
from research_train.record.record import RunRecord
from research_train.record.summary import RunSummary, record_of
from research_train.results.recorded import read_results
from research_train.results.rows import claims_table, shown_counts
from research_train.results.standing import standings

CARD = "README.md"


def model_card(
    run: RunSummary,
    experiment: Experiment,
    model: nn.Module,
    architecture: str | None,
    why_plain: str | None,
) -> str:
    """The card of a completed run's model, Markdown with the hub's metadata at its head.

    architecture: the class of transformers that loads it. why_plain: why none does.
    Raises ClaimsError for claims that can't be read.
    """
    record, member = record_of(run), experiment.member
    assets = {
        name: read_manifest(asset_folder(name, revision))
        for name, revision in record.assets.items()
    }
    data = [name for name, manifest in assets.items() if manifest.kind == "dataset"]
    head = _head(
        f"{experiment.name} {run.id}",
        {name: value for name, value in run.metrics.items() if value is not None},
        (", ".join(data) or experiment.name, data[0] if data else experiment.name),
        tags=_tags(member),
        datasets=_hub_ids(assets, "dataset"),
        base_models=_hub_ids(assets, "model"),
        library="transformers" if architecture else None,
    )
    config = (run.folder / CONFIG).read_text(encoding="utf-8")
    sections = [
        _what(experiment, record),
        _loading(member, model, architecture, why_plain),
        _metrics(run),
        _claims(member, run),
        f"## Config\n\n```yaml\n{config}```\n",
        _origin(member, record, assets),
    ]
    return head + "".join(f"\n{section}" for section in sections if section)


def _head(
    name: str,
    metrics: Mapping[str, float],
    data: tuple[str, str],
    *,
    tags: Sequence[str] = (),
    datasets: Sequence[str] = (),
    base_models: Sequence[str] = (),
    library: str | None = None,
) -> str:
    """The head of a model's card, with its lines `---`, as the hub reads it.

    metrics: what was measured on data, whose name and id these are. datasets, base_models: ids on
    the hub. library: the one that loads the model, `transformers`.
    """
    from huggingface_hub import EvalResult, ModelCardData  # slow, and only needed here

    results = [
        EvalResult(
            task_type="other",
            dataset_name=data[0],
            dataset_type=data[1],
            metric_type=metric,
            metric_value=value,
        )
        for metric, value in metrics.items()
    ]
    head = ModelCardData(
        model_name=name,
        eval_results=results or None,
        tags=list(tags) or None,
        datasets=list(datasets) or None,
        base_model=list(base_models) or None,
        library_name=library,
    )
    return f"---\n{head.to_yaml()}\n---\n"


def _tags(member: Member) -> list[str]:
    arxiv = member.pyproject.arxiv
    return [member.name, *([f"arxiv:{arxiv}"] if arxiv else [])]


def _hub_ids(assets: dict[str, Manifest], kind: str) -> list[str]:
    return [each.repo_id for each in assets.values() if each.kind == kind and each.source == "hub"]


def _what(experiment: Experiment, record: RunRecord) -> str:
    """The heading, and which paper it is of."""
    pyproject = experiment.member.pyproject
    cited = [pyproject.authors, pyproject.title, str(pyproject.year or "")]
    paper = ", ".join(part for part in cited if part) or pyproject.description
    link = f", [arXiv {a}](https://arxiv.org/abs/{a})" if (a := pyproject.arxiv) else ""
    return (
        f"# {experiment.name}, seed {record.seed}\n\n"
        f"A model that was trained to reproduce: {paper}{link}.\n"
    )


def _loading(
    member: Member, model: nn.Module, architecture: str | None, why_plain: str | None
) -> str:
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    if architecture is None:
        code = """
            from safetensors.torch import load_file
            weights = load_file("model.safetensors")  # name -> tensor
        """
        text = (
            f"{why_plain}. `model.safetensors` holds the state_dict of `{kind}`, which the code of "
            f"`{member.distribution}` makes; a weight used twice is stored once."
        )
    else:
        code = f"""
            from transformers import {architecture}
            model = {architecture}.from_pretrained(".")  # this folder, or its name on the hub
        """
        text = f"It was trained as `{kind}`, and computes the same as a model of transformers."
    return f"## How to load it\n\n{text}\n\n```python{dedent(code).rstrip()}\n```\n"


def _metrics(run: RunSummary) -> str:
    from research_viz import markdown_table

    rows = [[name, shown_metric(value)] for name, value in run.metrics.items()]
    return f"## What it reached\n\n{markdown_table(['metric', 'value'], rows)}" if rows else ""


def _claims(member: Member, run: RunSummary) -> str:
    """Published against reproduced: over all seeds of the paper's runs, not of this one alone."""
    if not (member.folder / CLAIMS).is_file():
        return ""
    from research_viz import markdown_table

    claims, results = read_claims(member.folder), read_results(member)
    standing = standings(claims.claims, results)
    findings = [each.finding for each in standing if each.finding]
    unknown = [each.name for each in standing if not each.finding]
    parts = [f"## Published and reproduced\n\nPublished: {claims.source}.\n"]
    if findings:
        table = markdown_table(*claims_table(findings, results.costs if results else {}))
        counts = shown_counts(Counter(finding.state for finding in findings))
        parts.append(f"\n{table}\n{counts}. Reproduced is over all runs of a claim.\n")
    if unknown:
        parts.append(f"\nWithout evidence yet: {', '.join(unknown)}.\n")
    of_this = [each.name for each in (results.claims if results else []) if run.id in each.runs]
    if of_this:
        parts.append(f"\nThis run is among those of: {', '.join(of_this)}.\n")
    return "".join(parts)


def _origin(member: Member, record: RunRecord, assets: dict[str, Manifest]) -> str:
    return "## How it was made\n\n" + "".join(
        f"- {line}\n" for line in _origin_lines(member, record, assets)
    )


def _origin_lines(member: Member, record: RunRecord, assets: dict[str, Manifest]) -> Iterator[str]:
    yield f"run `{record.id}`, {record.started[:10]}"
    yield f"command `uv run --package {member.distribution} {shlex.join(record.command)}`"
    dirty = ", with uncommitted changes" if record.git.dirty else ""
    if record.git.commit:
        yield f"commit `{record.git.commit}`{dirty}"
    for name, manifest in assets.items():
        yield f"{manifest.kind} `{name}` at revision `{manifest.revision}`"
    yield ", ".join(f"{name} {version}" for name, version in sorted(record.packages.items()))
