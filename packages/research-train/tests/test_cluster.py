"""`train --on slurm`, on a real SLURM where there is one.

STOPS=20 stops a job that often instead of twice.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from research_train.places import slurm
from slurm_cluster import Cluster, missing_commands, running_cluster
from synced_paper import SyncedPaper
from workspaces import comparable

STOPS = int(os.environ.get("STOPS", "2"))
STEPS = max(60, 15 * STOPS)
WEIGHTS = f"checkpoints/step-{STEPS:08}/model.safetensors"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if missing := missing_commands():
        pytest.skip(f"no SLURM: {', '.join(missing)} not installed (slurmctld, slurmd, munge)")
    with running_cluster() as cluster, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
        yield cluster


@pytest.fixture(scope="module")
def paper(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> SyncedPaper:
    paper = SyncedPaper(tmp_path_factory.mktemp("on a cluster"))
    paper.environment |= {**cluster.environment, "XDG_CONFIG_HOME": str(paper.root / "config")}
    return paper


def runs_of(paper: SyncedPaper) -> list[Path]:
    return sorted((paper.outputs / "alpha").glob("[!.]*"))


def record_of(run: Path) -> dict[str, object]:
    record: dict[str, object] = json.loads((run / "run.json").read_text())
    return record


def test_a_job_stopped_and_requeued_ends_as_a_run_never_stopped_with_the_code_of_its_submission(
    cluster: Cluster, paper: SyncedPaper
) -> None:
    words = (f"steps={STEPS}", "checkpoint_every=8")
    whole = paper.train(*words).folder
    submitted = paper.train("--on", "slurm", "--json", *words, PAUSE="0.1")
    assert submitted.code == 0, submitted.errors
    made = json.loads(submitted.output)
    job, log = made["job"], Path(made["log"])
    paper.edit("paper_alpha/train.py", "import os\n", "import os\n\n1 / 0\n")  # not the job's
    try:

        def last_step() -> int:
            found = [run for run in runs_of(paper) if run != whole]
            lines = (found[0] / "metrics.jsonl").read_text().splitlines() if found else []
            return json.loads(lines[-1])["step"] if lines else 0

        before = 0
        for stop in range(STOPS):
            cluster.wait_for(lambda before=before: last_step() > before, log.read_text)
            assert slurm.look(job).state == "running"
            if stop % 2:
                cluster.run("scontrol", "requeue", job)  # as a pre-emption
            else:
                cluster.run("scancel", "--batch", "--signal=USR1", job)  # as the time limit nears
            cluster.start_soon(job)
            before = last_step()
        cluster.wait_for(lambda: slurm.look(job).state == "ended", log.read_text)
    finally:
        paper.edit("paper_alpha/train.py", "import os\n\n1 / 0\n", "import os\n")
    assert cluster.state(job) == "COMPLETED", log.read_text()
    [run] = [run for run in runs_of(paper) if run != whole]
    record = record_of(run)
    assert (record["status"], record["tags"]) == ("completed", [f"slurm-{job}"])
    assert len(record["attempts"]) == 1 + STOPS
    assert record["fingerprint"] == record_of(whole)["fingerprint"]
    assert (run / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    assert comparable(run) == comparable(whole)


def test_a_job_that_is_stopped_stays_so_and_leaves_a_run_to_resume(
    cluster: Cluster, paper: SyncedPaper
) -> None:
    before = runs_of(paper)
    job = paper.train("--on", "slurm", "steps=100000").output.strip()

    def started() -> list[Path]:
        return [run for run in runs_of(paper) if run not in before and (run / "log.txt").exists()]

    cluster.wait_for(lambda: bool(started()))
    slurm.stop(job)
    cluster.wait_for(lambda: slurm.look(job).state == "ended")
    assert cluster.state(job) == "CANCELLED"
    cluster.wait_for(lambda: record_of(started()[0])["status"] == "interrupted")


def test_a_job_too_short_for_a_step_is_not_queued_for_ever(
    cluster: Cluster, paper: SyncedPaper
) -> None:
    submitted = paper.train("--on", "slurm", "--json", PAUSE="1000")
    made = json.loads(submitted.output)
    job, log = made["job"], Path(made["log"])
    cluster.wait_for(lambda: "paper-alpha" in log.read_text())  # torch is yet to be imported
    cluster.run("scancel", "--batch", "--signal=USR1", job)
    cluster.wait_for(lambda: slurm.look(job).state == "ended", log.read_text)
    assert cluster.state(job) == "FAILED"
    assert "notice" in log.read_text()


def test_what_the_cluster_refuses_is_said_and_leaves_nothing(paper: SyncedPaper) -> None:
    options = paper.folder / "slurm.yaml"
    options.write_text("partition: nowhere\n")
    before = list((paper.outputs / ".jobs").iterdir())
    try:
        paper.train("--on", "slurm").refused_after("invalid partition specified: nowhere")
    finally:
        options.unlink()
    assert list((paper.outputs / ".jobs").iterdir()) == before


def test_options_of_a_cluster_and_its_absence(workspace, tmp_path):
    workspace.environment |= {"PATH": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    workspace.train("--on", "slurm").refused(1, "sbatch", "PATH")
    mine = tmp_path / "config" / "research" / "slurm.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("gpu: 1\n")
    workspace.train("--on", "slurm").refused(2, str(mine), "'gpu' = 1", "'gpus'")
    mine.write_text("gpus: 0\n")
    workspace.train("--on", "slurm").refused(2, str(mine), "'gpus' = 0")
    assert workspace.records() == []
    assert not (workspace.outputs / ".jobs").exists()
