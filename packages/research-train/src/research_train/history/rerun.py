"""Run a recorded run again from its own code, in the environment of its own lock.

    outcome = rerun(find_any_run("first-try"))
    print(outcome.equal, outcome.reasons)

assets/outputs/.reruns/<sha256>/          the unpacked archive, kept for the next rerun
                                .venv/    its environment

The code in an archive may be years older than this module. So it is started only in ways that every
version understands: `train --paper --config --json`, its own uv.lock, and RESEARCH_ASSETS. Newer
code also reads the data's revisions from RESEARCH_RUN_ASSETS and the parent run from
RESEARCH_PARENT; older code ignores them.
"""

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from research_data import (
    DamagedAssetError,
    UsageError,
    asset_folder,
    check_asset,
)
from research_data.assets.verify import count_cores
from research_data.errors import UnreadableError
from research_data.hub.run_pins import with_pins
from research_data.hub.settings import is_offline
from research_data.plain_files import read_json_object

from research_train.errors import RunError
from research_train.history.rerun_outcome import Rerun, compared, weight_digests
from research_train.history.unpacked_code import UnpackedCode, unpack_code
from research_train.processes.children import Children
from research_train.record.folders import CONFIG, RECORD
from research_train.record.record import (
    PARENT,
    RunRecord,
    checkpoint_folders,
)
from research_train.record.summary import RunSummary, summarise

COMMIT_DIGITS = 40  # of a hub's revision; imported and generated data have other revisions

# Config keys that are switched off: they change no number, and may not be kept here and now.
UNREPEATED = {"max_minutes": "max_minutes=0", "trackers": "trackers=[]"}


def rerun(run: RunSummary, quiet: bool = False) -> Rerun:
    """Run a completed run's code and config again as a new run, its child, and compare the two.

    quiet: don't show the training. Needs uv, and the packages of the lock from the index or uv's
    cache. Raises RunError if the run isn't completed, was changed after it ended, was resumed with
    other code, if its archive or data are gone or damaged, or if the training fails; Interrupted;
    StorageError.
    """
    record = _repeatable(run)
    weights = weight_digests(run.folder)  # first, so that damage is found before hours of training
    code = unpack_code(record.source, record.experiment)
    _check_assets(run, record, code)
    folder = _train(run, record, code, quiet)
    return compared(run, summarise(folder), weights)


# Checks before the training


def _repeatable(run: RunSummary) -> RunRecord:
    """The record of a run, if a rerun can be compared with it. Raises RunError."""
    record = run.record
    if record is None:
        raise RunError(f"{run.folder / RECORD}: {run.problem}")
    if run.status != "completed":
        wayout = {
            "interrupted": f"`train --resume {run.id}` finishes it",
            "failed": f"`train --config {run.folder / CONFIG}` starts it anew",
        }.get(run.status, "wait until it has ended")
        raise RunError(
            f"{run.id} is {run.status}: only a completed run can be compared with its rerun; "
            f"{wayout}"
        )
    if record.fingerprint is None:
        raise RunError(
            f"{run.id} was resumed with changed code (--any-code), so no single version of the "
            "code can repeat it"
        )
    if run.doubt:
        raise RunError(f"{run.folder}: {run.doubt}, so it can't be compared with a rerun")
    if run.seal_state != "fits":
        raise RunError(
            f"{run.folder}: its seal is broken: record, config, metrics or weights were changed "
            "after it ended, so there is nothing to compare with. Put back what was changed, or "
            f"start a new run with `train --config {run.folder / CONFIG}`."
        )
    return record


def _check_assets(run: RunSummary, record: RunRecord, code: UnpackedCode) -> None:
    """Refuse a run whose data is damaged, or gone without a way to get it again."""
    for name, revision in record.assets.items():
        try:
            folder = asset_folder(name, revision)
        except UsageError as error:
            # The code in the archive generates it, or pulls exactly this commit.
            if name in code.generated or (len(revision) == COMMIT_DIGITS and not is_offline()):
                continue
            raise RunError(f"{run.id} was trained on data that is missing: {error}") from error
        try:
            check_asset(folder)
        except DamagedAssetError as error:
            raise RunError(
                f"{run.id} was trained on data that is damaged: {error}. "
                "`research-cli dataset verify --repair` (or `model verify`) repairs data from a "
                "hub; generated data is generated again when its folder is removed."
            ) from error


# The training


def _train(run: RunSummary, record: RunRecord, code: UnpackedCode, quiet: bool) -> Path:
    """Train in the unpacked code; returns the new run's folder. Raises RunError, Interrupted."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise RunError("uv isn't found on PATH; it is needed to set up the run's environment")
    python = ".".join(record.environment.python.split(".")[:2])
    processes = _processes(run.folder)
    command = [
        *(uv, "run", "--frozen", "--python", python, "--package", code.distribution),
        *(["--quiet"] if quiet else []),
        *("train", "--paper", record.paper),
        *([record.experiment] if record.experiment != record.paper else []),
        *("--config", str(run.folder.absolute() / CONFIG), "--json"),
        *(word for key, word in UNREPEATED.items() if run.config.get(key)),
        *(["--nproc", str(processes)] if processes > 1 else []),
        *(["--quiet"] if quiet else []),
    ]
    with tempfile.TemporaryFile() as output, Children() as children:
        child = children.start(
            command,
            _environment(record, code),
            whole_group=True,  # uv and the training
            cwd=code.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
        )
        child.wait()
        output.seek(0)
        printed = output.read().decode(errors="replace").splitlines()
    if child.returncode:
        children.raise_if_stopped()
    with suppress(ValueError, KeyError, TypeError, IndexError):
        if child.returncode == 0:
            return Path(json.loads(printed[-1])["run"])
    raise RunError(
        f"{run.id} could not be run again: `uv {' '.join(command[1:])}` in {code.folder} ended "
        f"with exit code {child.returncode}; see its messages above"
    )


def _environment(record: RunRecord, code: UnpackedCode) -> dict[str, str]:
    environment = with_pins(code.environment(), record.assets) | {PARENT: record.id}
    threads = record.environment.threads
    if threads and threads <= count_cores():  # the last bits of a sum depend on their number
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    return environment


def _processes(folder: Path) -> int:
    """The number of processes that trained the run, from its last checkpoint."""
    with suppress(IndexError, UnreadableError, TypeError):
        state = read_json_object(checkpoint_folders(folder)[-1] / "state.json")
        return 1 + len(state.get("ranks", []))
    return 1
