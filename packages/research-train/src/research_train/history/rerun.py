"""Run a recorded run again from its own code, in the environment of its own lock.

    outcome = rerun(find_any_run("first-try"))
    print(outcome.equal, outcome.reasons)

assets/outputs/.reruns/<sha256>/          the archive, unpacked and kept for the next time
                                .venv/    its environment

The code in an archive may be years older than this module and knows nothing of it. It is told what
to do by what every version understands: `train --paper --config --json`, its own uv.lock,
RESEARCH_ASSETS. Code that knows them reads the data's revisions from RESEARCH_RUN_ASSETS and the
parent to record from RESEARCH_PARENT.
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
    get_assets_dir,
)
from research_data.assets.verify import count_cores
from research_data.errors import UnreadableError
from research_data.hub.run_pins import with_pins
from research_data.hub.settings import is_offline
from research_data.plain_files import read_json_object

from research_train.code.git import OF_ONE_REPOSITORY
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
from research_train.record.summary import RunSummary, seal_state, summarise

COMMIT_DIGITS = 40  # of a revision that a hub has; what was imported or generated has other keys

# Of our own environment: in the child they would mean another workspace or Python.
FOREIGN = frozenset(
    {
        "PYTHONHOME",
        "PYTHONPATH",
        "RESEARCH_RELEASES",
        "UV_LOCKED",
        "UV_NO_SYNC",
        "UV_PROJECT",
        "UV_PROJECT_ENVIRONMENT",
        "UV_WORKING_DIR",
        "VIRTUAL_ENV",
    }
)


def rerun(run: RunSummary, quiet: bool = False) -> Rerun:
    """Run a completed run's code and config once more, as a new run whose parent it is; compare.

    quiet: show nothing of the training. Needs uv, and what the lock names from the index or uv's
    cache. Raises RunError: not completed, changed since its end, of no single code, its archive or
    data gone or damaged, or the training failed; Interrupted; StorageError.
    """
    record = _repeatable(run)
    weights = weight_digests(run.folder)  # first: what is damaged is said before hours of training
    code = unpack_code(record)
    _check_assets(run, record, code)
    folder = _train(run, record, code, quiet)
    return compared(run, summarise(folder), weights)


# Before


def _repeatable(run: RunSummary) -> RunRecord:
    """The record of a run that a re-run can be compared with. Raises RunError."""
    record = run.record
    if record is None:
        raise RunError(f"{run.folder / RECORD}: {run.problem}")
    if run.status != "completed":
        wayout = {
            "interrupted": f"`train --resume {run.id}` finishes it",
            "failed": f"`train --config {run.folder / CONFIG}` starts it anew",
        }.get(run.status, "wait until it has ended")
        raise RunError(
            f"{run.id} is {run.status}: only a completed run can be compared with its re-run; "
            f"{wayout}"
        )
    if record.fingerprint is None:
        raise RunError(
            f"{run.id} went on with other code at a resume (--any-code), so there is no "
            "single version of the code that could be run again"
        )
    if run.doubt:
        raise RunError(f"{run.folder}: {run.doubt} to compare with")
    if seal_state(run) != "fits":
        raise RunError(
            f"{run.folder}: its seal is broken: record, config, metrics or weights were changed "
            "after its end, so nothing is left to compare with. Put back what was changed; "
            f"`train --config {run.folder / CONFIG}` starts a new run."
        )
    return record


def _check_assets(run: RunSummary, record: RunRecord, code: UnpackedCode) -> None:
    """Refuse when data of the run is damaged, or gone where the child couldn't have it again."""
    for name, revision in record.assets.items():
        try:
            folder = asset_folder(name, revision)
        except UsageError as error:
            # The code in the archive makes it, or pulls that very commit.
            if name in code.generated or (len(revision) == COMMIT_DIGITS and not is_offline()):
                continue
            raise RunError(f"{run.id} was trained on data that is gone: {error}") from error
        try:
            check_asset(folder)
        except DamagedAssetError as error:
            raise RunError(
                f"{run.id} was trained on data that is damaged: {error}. "
                "`research-cli dataset verify --repair` (or model) mends what a hub has; what was "
                "generated is made anew once its folder is removed."
            ) from error


# The training


def _train(run: RunSummary, record: RunRecord, code: UnpackedCode, quiet: bool) -> Path:
    """Train in the unpacked code; returns the new run's folder. Raises RunError, Interrupted."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise RunError("uv isn't found on PATH; it sets up the environment that the run had")
    python = ".".join(record.environment.python.split(".")[:2])
    processes = _processes(run.folder)
    command = [
        *(uv, "run", "--frozen", "--python", python, "--package", code.distribution),
        *(["--quiet"] if quiet else []),
        *("train", "--paper", record.paper),
        *([record.experiment] if record.experiment != record.paper else []),
        *("--config", str(run.folder.absolute() / CONFIG), "--json"),
        *(["--nproc", str(processes)] if processes > 1 else []),
        *(["--quiet"] if quiet else []),
    ]
    with tempfile.TemporaryFile() as output, Children() as children:
        child = children.start(
            command,
            _environment(record, code.folder),
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
        f"with exit code {child.returncode}; the reason stands above"
    )


def _environment(record: RunRecord, tree: Path) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if k not in {*FOREIGN, *OF_ONE_REPOSITORY}}
    environment = with_pins(own, record.assets)
    environment |= {
        "RESEARCH_ASSETS": str(get_assets_dir()),
        PARENT: record.id,
        # The tree may lie in a repository, whose commit is not the one of this code.
        "GIT_CEILING_DIRECTORIES": str(tree.resolve().parent),
    }
    threads = record.environment.threads
    if threads and threads <= count_cores():  # the last bits of a sum depend on them
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    return environment


def _processes(folder: Path) -> int:
    """How many processes trained the run, as its last checkpoint tells."""
    with suppress(IndexError, UnreadableError, TypeError):
        state = read_json_object(checkpoint_folders(folder)[-1] / "state.json")
        return 1 + len(state.get("ranks", []))
    return 1
