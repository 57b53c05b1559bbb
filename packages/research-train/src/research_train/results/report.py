"""Write the tables, the figure and results.json of a reproduction.

assets/outputs/mnist1d/claims/claims.{json,md,tex,png,svg}    chosen.*, where it isn't all of it
papers/mnist1d/results.json     the same with every seed's value, committed
papers/mnist1d/README.md        the table, between its markers
"""

import hashlib
import math
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from research_data import StorageError, get_outputs_dir
from research_data.durable import write_bytes, write_json

from research_train.claims.claim import Censored, Finding, Number
from research_train.evidence.reproduce import Reproduction
from research_train.record.record import utc_now
from research_train.results.readme import read_readme, readme_block
from research_train.results.recorded import RESULTS
from research_train.results.rows import COLUMNS, claim_row, claims_rows


def write_report(reproduction: Reproduction) -> list[Path]:
    """Write all of it; returns the files. Raises ClaimsError for a README without markers.

    An incomplete reproduction (only some claims, fewer seeds, failed runs) is written as
    `chosen.*`, and the paper's folder is left alone. A smoke test (`--quick`) is no evidence:
    nothing is written.
    """
    if reproduction.quick or not reproduction.findings:
        return []
    from research_viz import latex_table, markdown_table

    member, findings = reproduction.member, reproduction.findings
    name = "chosen" if reproduction.incomplete else "claims"
    folder = get_outputs_dir() / member.name / "claims"
    rows = claims_rows(findings)
    table = markdown_table(COLUMNS, rows)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{name}.json", _evidence(reproduction))
        write_bytes(folder / f"{name}.md", table.encode())
        write_bytes(folder / f"{name}.tex", latex_table(COLUMNS, rows).encode())
        figures = _figures(findings, folder / name)
    except OSError as error:
        raise StorageError(folder, error) from error
    if reproduction.incomplete is None:
        results = results_of(reproduction)
        # Read just before it is written, because somebody may have edited it meanwhile.
        readme = read_readme(member)
        content = readme.before + readme_block(findings, results) + readme.after
        write_json(member.folder / RESULTS, results)
        write_bytes(readme.path, content.encode())
    return [folder / f"{name}.json", *figures]


def _figures(findings: Sequence[Finding], stem: Path) -> list[Path]:
    """Draw the claims, unless what lies there was drawn of the same: drawing takes a second."""
    module = find_spec("research_viz")
    assert module is not None and module.origin is not None
    code = [
        file.read_text(encoding="utf-8") for file in sorted(Path(module.origin).parent.glob("*.py"))
    ]
    drawn_of = hashlib.sha256(repr([findings, code, version("matplotlib")]).encode()).hexdigest()
    figures = [stem.with_name(f"{stem.name}.{format}") for format in ("png", "svg")]
    if all(file.is_file() and drawn_of.encode() in file.read_bytes() for file in figures):
        return figures
    from research_viz import claim_plot, save_figure

    figure = claim_plot([claim_row(finding) for finding in findings])
    return save_figure(figure, stem, description=f"of {drawn_of}")


def results_of(reproduction: Reproduction) -> dict[str, object]:
    """The content of results.json: the evidence, with every seed's value."""
    results: dict[str, object] = {
        "schema": 1,
        "source": reproduction.claims.source,
        "date": _date(reproduction),
        "hardware": _hardware(reproduction),
        "packages": _packages(reproduction),
        "claims": [
            {**evidence, **_seeds_values(finding), "set": _set(reproduction, finding)}
            for evidence, finding in zip(
                _evidence(reproduction), reproduction.findings, strict=True
            )
        ],
    }
    if reproduction.carried:
        results["carried"] = [
            {
                "setting": " ".join([each.experiment, *each.overrides]),
                "from": each.origin,
                "to": each.fingerprint,
                "run": each.run,
                "replayed": each.replayed,
            }
            for each in reproduction.carried
        ]
    return results


def _evidence(reproduction: Reproduction) -> list[dict[str, object]]:
    return [
        {
            "name": finding.claim.name,
            "published": finding.claim.published,
            "mean": finding.mean,
            "interval": [end if math.isfinite(end) else None for end in finding.interval],
            "n": finding.n,
            "verdict": finding.verdict,
            "notes": list(finding.notes),
            "runs": [run.id for run in reproduction.runs[finding.claim.name]],
        }
        for finding in reproduction.findings
    ]


def _seeds_values(finding: Finding) -> dict[str, object]:
    """Every seed's number; of an ordering those of the weakest step, and then all steps."""
    values: dict[str, object] = {"values": list(map(_as_json, finding.values))}
    if finding.steps:
        values["steps"] = {name: list(map(_as_json, each)) for name, each in finding.steps.items()}
    return values


def _as_json(number: Number) -> object:
    """A number; of a censored one the ends that are known, as {"at_least": 10000.0}."""
    if not isinstance(number, Censored):
        return number
    ends = {"at_least": number.low, "at_most": number.high}
    return {name: end for name, end in ends.items() if math.isfinite(end)}


def _set(reproduction: Reproduction, finding: Finding) -> dict[str, object] | None:
    """When the claim was set, against its runs."""
    at = reproduction.set_at.get(finding.claim.name)
    return vars(at).copy() if at else None


def _date(reproduction: Reproduction) -> str:
    """The day on which the newest of the runs ended: the same evidence gives the same files."""
    ends = [
        run.record.ended or run.record.started
        for found in reproduction.runs.values()
        for run in found
        if run.record
    ]
    return max(ends)[:10] if ends else utc_now()[:10]


def _hardware(reproduction: Reproduction) -> str:
    names = dict.fromkeys(
        run.record.environment.gpu or run.record.environment.cpu
        for found in reproduction.runs.values()
        for run in found
        if run.record
    )
    return ", ".join(str(name) for name in names)


def _packages(reproduction: Reproduction) -> str:
    shown = dict.fromkeys(
        f"{name} {version}"
        for found in reproduction.runs.values()
        for run in found
        if run.record
        for name, version in run.record.packages.items()
        if name == "torch" or name.startswith("research-")
    )
    return ", ".join(shown)
