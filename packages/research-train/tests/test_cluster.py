"""`train --on slurm`, on a real SLURM where there is one.

STOPS=20 stops a job that often instead of twice.
"""

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from research_train.places import slurm
from research_train.places.job_folders import Making, describe, elements_of
from research_train.places.taken import note_code, take
from slurm_cluster import Cluster, missing_commands, running_cluster
from synced_paper import SyncedPaper
from tiny_claims import MARKED, POINTS, SOURCE
from workspaces import COMMANDS, Result, comparable

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
    use_a_package_that_is_not_required(paper)
    return paper


def use_a_package_that_is_not_required(paper: SyncedPaper) -> None:
    """Have the paper's code import `spare`, which the workspace has and no member requires."""
    wheels = paper.root / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "spare-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("spare.py", "")
        inside = {
            "METADATA": "Metadata-Version: 2.1\nName: spare\nVersion: 1.0\n",
            "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
        }
        for name, text in inside.items():
            wheel.writestr(f"spare-1.0.dist-info/{name}", text)
    with (paper.root / "pyproject.toml").open("a") as file:
        file.write('[dependency-groups]\ndev = ["spare"]\n')
    paper.environment["UV_FIND_LINKS"] = str(wheels)
    use = "try:\n    import spare\nexcept ImportError:\n    spare = None\nimport time\n"
    paper.edit("paper_alpha/train.py", "import time\n", use)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    synced = paper.typed("uv", "sync", "--all-packages", "--python", version)
    assert synced.code == 0, synced.errors


def runs_of(paper: SyncedPaper) -> list[Path]:
    return sorted(file.parent for file in (paper.outputs / "alpha").glob("[!.]*/run.json"))


def listed_jobs(paper: SyncedPaper, **environment: str) -> dict[str, tuple[str, str | None]]:
    """Job -> its status and run, as `run list` tells of those whose run isn't under way."""
    listed = paper.typed(str(COMMANDS / "research-cli"), "run", "list", "--json", **environment)
    assert listed.code == 0, listed.errors
    return {job["job"]: (job["status"], job["run"]) for job in json.loads(listed.output)["jobs"]}


def job_folders(paper: SyncedPaper) -> list[Path]:
    return sorted((paper.outputs / ".jobs").glob("[!.]*"))


def jobs_of(folders: list[Path]) -> list[str]:
    """The numbers of the jobs of these folders, where they are written down."""
    return [job for each in folders if (job := json.loads((each / "job.json").read_text())["job"])]


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
    watch = subprocess.Popen(
        [COMMANDS / "research-cli", "run", "watch", f"slurm-{job}", "--json"],
        cwd=paper.root, env=paper.environment, text=True, stdout=subprocess.PIPE,
    )  # fmt: skip
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
            if stop == 0:
                cluster.wait_for(lambda: cluster.state(job) == "PENDING")
                [run] = [run for run in runs_of(paper) if run != whole]
                assert listed_jobs(paper) == {job: ("requeued", run.name)}
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
    watched = [json.loads(line) for line in watch.communicate(timeout=60)[0].splitlines()]
    assert watched.pop()["status"] == "completed"
    assert [point["step"] for point in watched] == sorted({point["step"] for point in watched})
    assert watched[-1]["step"] == STEPS


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


def test_tasks_of_srun_are_one_training(cluster: Cluster, paper: SyncedPaper) -> None:
    before = runs_of(paper)
    train = (str(paper.root / ".venv" / "bin" / "train"), "--paper", "alpha", "steps=60")
    done = paper.typed("srun", "--ntasks=2", *train, MASTER_ADDR="127.0.0.1")  # no node has a name
    assert done.code == 0, done.errors
    [run] = [run for run in runs_of(paper) if run not in before]
    assert record_of(run)["status"] == "completed"


def test_a_job_without_its_environment_is_told_with_its_log(
    cluster: Cluster, paper: SyncedPaper
) -> None:
    before = runs_of(paper)
    cluster.run("scontrol", "update", "PartitionName=main", "State=DOWN")
    made = json.loads(paper.train("--on", "slurm", "--json").output)
    job, environment = made["job"], Path(made["code"]) / ".venv"
    away = environment.rename(environment.with_name("away"))
    try:
        cluster.run("scontrol", "update", "PartitionName=main", "State=UP")
        cluster.wait_for(lambda: slurm.look(job).state == "ended")
    finally:
        away.rename(environment)
    for _ in range(2):  # the second doesn't ask SLURM about it
        assert listed_jobs(paper)[job] == ("ended", None)
    watched = paper.typed(str(COMMANDS / "research-cli"), "run", "watch", f"slurm-{job}")
    watched.refused(1, str(environment), made["log"])
    assert runs_of(paper) == before


def refuses_an_unknown_partition(paper: SyncedPaper, command: Callable[..., Result]) -> None:
    options = paper.folder / "slurm.yaml"
    options.write_text("partition: nowhere\n")
    before = job_folders(paper)
    try:
        command("--on", "slurm").refused_after("invalid partition specified: nowhere")
    finally:
        options.unlink()
    assert job_folders(paper) == before


def test_what_the_cluster_refuses_is_said_and_leaves_nothing(paper: SyncedPaper) -> None:
    refuses_an_unknown_partition(paper, paper.train)


def submitted_by(
    cluster: Cluster, paper: SyncedPaper, command: list[str], **environment: str
) -> "tuple[subprocess.Popen[str], str, Callable[[], list[str]]]":
    """A command that waits for the array that it has submitted, of which one element runs.

    Returns it, the array's number, and what gives those of all jobs submitted since.
    """
    before = job_folders(paper)
    waiting = subprocess.Popen(
        command, cwd=paper.root, env=paper.environment | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip

    def submitted() -> list[str]:
        return jobs_of([each for each in job_folders(paper) if each not in before])

    cluster.wait_for(lambda: bool(submitted()) or waiting.poll() is not None)
    assert waiting.poll() is None, waiting.communicate()
    [job] = submitted()
    cluster.wait_for(lambda: slurm.look(f"{job}_0").state == "running")
    return waiting, job, submitted


def stop_waiting(command: "subprocess.Popen[str]") -> str:
    """Send Ctrl-C to a command that waits for jobs; returns what it says."""
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=120)
    assert command.returncode == 130, errors
    return errors


def test_claims_are_reproduced_by_a_job_array_that_is_submitted_once(
    cluster: Cluster, paper: SyncedPaper
) -> None:
    words = ("--on", "slurm", "--json", "--jobs", "1")
    (paper.folder / "claims.yaml").write_text(SOURCE + POINTS)
    (paper.folder / "README.md").write_text(MARKED)
    first, job, submitted = submitted_by(
        cluster, paper, paper.command("reproduce", *words), PAUSE="0.2"
    )
    assert slurm.look(f"{job}_1").state == "waiting"
    assert listed_jobs(paper)[f"{job}_1"] == ("queued", None)
    (paper.root / "no slurm").mkdir()
    assert listed_jobs(paper, PATH=str(paper.root / "no slurm"))[f"{job}_1"] == ("unknown", None)
    assert f"scancel {job}" in stop_waiting(first)
    again = paper.reproduce(*words, PAUSE="0.2")
    assert again.code == 0, (again.output, again.errors)
    [claim] = json.loads(again.output)["claims"]
    assert claim["verdict"] == "reproduced"
    assert submitted() == [job]
    tags = [record_of(run)["tags"] for run in runs_of(paper)]
    assert all([f"slurm-{job}_{number}"] in tags for number in range(2))
    # The same as evidence that was made here.
    plan = json.loads(paper.reproduce("--dry-run", "--json").output)
    assert plan["missing"] == 0


def test_an_array_whose_runs_fail_names_their_logs_and_a_refused_one_leaves_nothing(
    paper: SyncedPaper,
) -> None:
    (paper.folder / "README.md").write_text(MARKED)
    bad = POINTS.replace("seeds: 2\n", "seeds: 2\n    overrides: {bad: [nan_at=2]}\n")
    (paper.folder / "claims.yaml").write_text(SOURCE + bad)
    refuses_an_unknown_partition(paper, paper.reproduce)
    before = job_folders(paper)
    failed = paper.reproduce("--on", "slurm", "--json")
    assert failed.code == 1
    [folder] = [each for each in job_folders(paper) if each not in before]
    why = [each["why"] for each in json.loads(failed.output)["failed"]]
    assert len(why) == 2
    for number, each in enumerate(why):
        assert str(folder / f"log-{number}.txt") in each and "step 2" in each


def test_a_sweep_is_a_job_array_whose_runs_are_submitted_once(
    cluster: Cluster, paper: SyncedPaper
) -> None:
    words = ("sweep", "alpha", "optimizer.learning_rate=1e-3,1e-2", "seed=0..1", "steps=6")
    words += ("--name", "rates", "--metric", "test/accuracy", "--max", "--json", "--on", "slurm")
    refuses_an_unknown_partition(paper, lambda *on: paper.cli(*words))
    assert not (paper.outputs / "alpha" / "sweeps").exists()
    command = paper.command("research-cli", *words, "--jobs", "1")
    first, job, submitted = submitted_by(cluster, paper, command, PAUSE="0.3")
    stop_waiting(first)
    slurm.stop(f"{job}_3")
    again = paper.cli(*words)
    assert again.code == 0, (again.output, again.errors)
    assert submitted()[0] == job and len(submitted()) == 2
    outcome = json.loads(again.output)
    assert [each["state"] for each in outcome["settings"]] == ["complete"] * 2
    records = {record["id"]: record for record in map(record_of, runs_of(paper))}
    of_setting = [[records[run] for run in each["runs"]] for each in outcome["settings"]]
    assert [sorted(each["seed"] for each in runs) for runs in of_setting] == [[0, 1]] * 2
    made = [each for runs in of_setting for each in runs]
    assert {each["group"] for each in made} == {"rates"}
    assert {each["tags"][0] for each in made} == {
        *(f"slurm-{job}_{number}" for number in range(3)), f"slurm-{submitted()[1]}_0"
    }  # fmt: skip


def test_a_job_makes_short_runs_of_others_and_goes_on_with_one_after_it_was_requeued(
    cluster: Cluster, paper: SyncedPaper
) -> None:
    setting = ("steps=60", "checkpoint_every=8", "seed=3")
    alone = paper.train(*setting).folder
    words = ("sweep", "alpha", "seed=0..3", *setting[:2], "--name", "taken")
    words += ("--metric", "test/accuracy", "--max", "--json", "--on", "slurm", "--jobs", "1")
    before = runs_of(paper)
    waiting, job, submitted = submitted_by(
        cluster, paper, paper.command("research-cli", *words), PAUSE="0.1"
    )

    def made() -> dict[str, Path]:
        new = [run for run in runs_of(paper) if run not in before]
        return {str(record_of(run)["tags"]): run for run in new}

    def last() -> Path | None:
        """The run of the last element, once it has a checkpoint."""
        run = made().get(str([f"slurm-{job}_3"]))
        return run if run and list(run.glob("checkpoints/step-*/model.safetensors")) else None

    try:
        cluster.wait_for(lambda: last() is not None, made)
        assert slurm.look(f"{job}_3").state == "ended"  # removed from the queue
        assert slurm.look(f"{job}_0").state == "running"
        assert f"{job}_3" not in listed_jobs(paper)  # its run tells
        assert listed_jobs(paper)[f"{job}_1"] == ("queued", None)
        cluster.run("scontrol", "requeue", f"{job}_0")  # as a pre-emption

        def again() -> bool:
            if slurm.look(f"{job}_0").reason == "BeginTime":
                cluster.hasten(f"{job}_0")
            return waiting.poll() is not None

        cluster.wait_for(again, made)
    finally:
        output, errors = stop_if_waiting(waiting)
    assert waiting.returncode == 0, errors
    assert submitted() == [job]
    assert sorted(made()) == [str([f"slurm-{job}_{number}"]) for number in range(4)]
    [setting_of_all] = json.loads(output)["settings"]
    assert setting_of_all["state"] == "complete" and len(setting_of_all["runs"]) == 4
    resumed = last()
    assert resumed is not None and len(record_of(resumed)["attempts"]) == 2
    assert comparable(resumed) == comparable(alone)
    weights = "checkpoints/step-00000060/model.safetensors"
    assert (resumed / weights).read_bytes() == (alone / weights).read_bytes()


def stop_if_waiting(command: "subprocess.Popen[str]") -> tuple[str, str]:
    """End a command that may be waiting for jobs; returns what it has printed."""
    if command.poll() is None:
        command.send_signal(signal.SIGINT)
    return command.communicate(timeout=120)


def test_of_jobs_that_take_a_run_at_once_one_makes_it(tmp_path: Path) -> None:
    describe(tmp_path, "alpha", [("alpha",), ("alpha", "seed=1")], ["one", "two"])
    first, second = elements_of(tmp_path, "12")
    jobs = [f"12_{number}" for number in range(8)]
    with ThreadPoolExecutor(len(jobs)) as pool:
        taken = list(pool.map(lambda job: take(second, job), jobs))
    [maker] = [job for job, made in zip(jobs, taken, strict=True) if made]
    assert take(second, maker)  # its next start
    assert second.making() == Making(maker, None) and first.making() is None
    cancelled = slurm.Seen("ended", "CANCELLED (None)")
    seen = {second.job: cancelled, maker: slurm.Seen("running", "RUNNING (None)")}
    assert second.stands(seen).state == "running"
    note_code(second, maker, 1)
    assert second.stands(seen).said.startswith("FAILED")
    assert first.stands({first.job: cancelled}) == cancelled
    assert list(tmp_path.glob(".made-*")) == []
    first.made.write_text("{")
    assert first.stands({first.job: cancelled}).state == "running"  # nobody knows


def test_options_of_a_cluster_and_its_absence(workspace, tmp_path):
    workspace.environment |= {"PATH": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    workspace.train("--on", "slurm").refused(1, "sbatch", "PATH")
    metric = ("--metric", "test/accuracy", "--max", "--on", "slurm")
    sweep = workspace.run("research-cli", "sweep", "tiny", "steps=2,3", *metric)
    sweep.refused(1, "sbatch", "PATH")
    mine = tmp_path / "config" / "research" / "slurm.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("gpu: 1\n")
    workspace.train("--on", "slurm").refused(2, str(mine), "'gpu' = 1", "'gpus'")
    mine.write_text("gpus: 0\n")
    workspace.train("--on", "slurm").refused(2, str(mine), "'gpus' = 0")
    assert workspace.records() == []
    assert not (workspace.outputs / ".jobs").exists()
    assert not list(workspace.outputs.glob("*/sweeps"))
