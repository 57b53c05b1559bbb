"""Find which papers an unreleased change of a package affects.

If a paper has sealed runs of older code, they are replayed as by `reproduce` (evidence/carried.py
of research-train). Otherwise the paper is trained for a few steps, once under the newest release
and once under the working tree.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from research_data import get_assets_dir
from research_data.errors import ResearchError, UsageError
from research_data.shown import did_you_mean
from research_train.claims.claim import CLAIMS
from research_train.errors import CommandError, RequirementError
from research_train.experiment.members import Member, installed_members
from research_train.history.rerun_outcome import differing_lines
from research_train.processes.children import output_of
from research_train.record.record import checkpoint_digests
from research_train.versions.choice import Choice, choose_versions
from research_train.versions.hand_over import environment_under
from research_train.versions.releases import releases
from research_train.versions.requirements import internal_packages

STEPS = 20

Verdict = Literal["bit-identical", "other numbers", "crashes", "not affected", "unknown"]


@dataclass(frozen=True)
class Impact:
    """The effect on one paper.

    metric: the logged number that differs most. largest: its difference, relative to its value
    under the release. message: how it was compared, or why it could not be.
    """

    paper: str
    verdict: Verdict
    metric: str | None = None
    largest: float | None = None
    message: str | None = None


def measure_impact(
    workspace: Path, name: str, steps: int = STEPS, say: Callable[[str], None] = print
) -> list[Impact]:
    """Train every paper and project that runs the workspace's own code of a package.

    Each is trained for some steps of its default experiment, under the package's newest release and
    under the working tree, with outputs of its own and links to the real datasets and models.
    say: gets a line for each of them. Raises UsageError when there is no such package,
    ResearchError when it has no release.
    """
    packages = internal_packages(workspace)
    if name not in packages:
        raise UsageError(
            f"no package {name!r} in the workspace.{did_you_mean(name, packages)} "
            f"There are: {', '.join(packages)}"
        )
    released = releases(packages[name])
    if not released:
        raise ResearchError(
            f"{name} has no release yet, so there is nothing to compare its code with"
        )
    before = Choice(name, released[0].version, released[0])
    impacts = []
    for member in installed_members():
        if member.workspace == workspace:
            impacts.append(_impact(member, before, steps, say))
    return impacts


def _impact(member: Member, before: Choice, steps: int, say: Callable[[str], None]) -> Impact:
    try:
        chosen = choose_versions(member).get(before.name)
    except RequirementError as error:
        return Impact(member.name, "unknown", message=str(error))
    if chosen is None:
        return Impact(member.name, "not affected", message=f"doesn't use {before.name}")
    if chosen.release is not None:
        return Impact(member.name, "not affected", message=f"runs the release {chosen.version}")
    say(f"{member.name}: under {before.name} {before.version} and under the working tree")
    if (told := _by_evidence(member, say)) is not None:
        return told
    environments = (environment_under(member, [before]), environment_under(member))
    with tempfile.TemporaryDirectory(prefix="impact-") as folder:
        runs = []
        for side, environment in zip(("release", "tree"), environments, strict=True):
            assets = _assets_beside(Path(folder, side))
            outcome = _train(member, steps, {**environment, "RESEARCH_ASSETS": str(assets)})
            if isinstance(outcome, str):
                if side == "tree":
                    return Impact(member.name, "crashes", message=outcome)
                message = f"fails under {before.name} {before.version} already: {outcome}"
                return Impact(member.name, "unknown", message=message)
            runs.append(outcome)
        return _compared(member.name, *runs)


def _by_evidence(member: Member, say: Callable[[str], None]) -> Impact | None:
    """What a replay of the paper's runs shows; None if it has none that the change concerns."""
    # Imports SciPy, which is slow and only needed here.
    from research_train.evidence.reproduce import carry_evidence

    if not (member.folder / CLAIMS).is_file():
        return None
    try:
        verdicts = carry_evidence(member, say=say)
    except ResearchError:
        return None  # its claims or config can't be read: training it will report that
    if not verdicts:
        return None
    different = [each for each in verdicts if not each.equal]
    if not different:
        count = f"{len(verdicts)} settings" if len(verdicts) > 1 else "1 setting"
        return Impact(member.name, "bit-identical", message=f"by a replay of {count}")
    first = different[0]
    setting = " ".join([first.experiment, *first.overrides])
    message = f"{len(different)} of {len(verdicts)} settings; {setting}: {first.why}"
    return Impact(member.name, "other numbers", message=message)


def _assets_beside(folder: Path) -> Path:
    """Make a folder of assets with empty outputs and links to the real datasets and models."""
    folder.mkdir()
    for kind in ("datasets", "models"):
        real = get_assets_dir() / kind
        real.mkdir(parents=True, exist_ok=True)
        (folder / kind).symlink_to(real)
    return folder


def _train(member: Member, steps: int, environment: Mapping[str, str]) -> Path | str:
    """The run's folder, or why there is none."""
    command = [str(Path(sys.executable).with_name("train")), "--paper", member.name]
    experiments = member.experiments
    if len(experiments) > 1 and member.name not in experiments:
        command.append(next(iter(experiments)))
    keys = [f"steps={steps}", "log_every=1", f"evaluate_every={steps}", "tensorboard=false"]
    try:
        output = output_of([*command, *keys, "--quiet", "--json"], environment=environment)
    except CommandError as error:
        return (error.said or str(error)).splitlines()[-1].removeprefix("error: ")
    return Path(json.loads(output.splitlines()[-1])["run"])


def _compared(paper: str, then: Path, now: Path) -> Impact:
    differences: dict[str, float] = {}
    _, different = differing_lines(then, now)
    for line in different:
        for name, (a, b) in line.numbers.items() if line.then and line.now else ():
            far = abs(a - b) / max(abs(a), 1e-12) if a is not None and b is not None else 1.0
            differences[name] = max(far, differences.get(name, 0.0))
    weights = [
        {k: v for k, v in checkpoint_digests(run).items() if k.endswith("/model.safetensors")}
        for run in (then, now)
    ]
    if not different and weights[0] == weights[1]:
        return Impact(paper, "bit-identical")
    if not differences:
        return Impact(
            paper, "other numbers", message="the weights differ, but no logged number does"
        )
    metric = max(differences, key=lambda name: differences[name])
    return Impact(paper, "other numbers", metric, differences[metric])
