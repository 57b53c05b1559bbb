"""`train --nproc N`: the same command N times on this machine, one signal and one exit code.

torchrun would end in a traceback and exit code 1 on a signal. Otherwise it would only set five
variables here, which is all that torch.distributed needs. If this process is killed, all N stop
with a checkpoint (children.py).
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from research_train.processes.children import Children

PATIENCE = 20.0  # seconds that the other processes have to end after one has failed


def run_processes(count: int, module: str, words: Sequence[str]) -> int:
    """Run a module with these arguments in `count` processes; returns the exit code.

    That is the first process's, or if it is 0, that of another which failed. A signal is passed on
    to all.
    """
    port = _free_port()
    with Children() as children:
        for rank in range(count):
            children.start(
                [sys.executable, "-P", "-m", module, *words],
                {
                    **os.environ,
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": str(count),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                    "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", _threads(count)),
                },
            )
        return _wait(children.started)


def _wait(processes: list["subprocess.Popen[bytes]"]) -> int:
    failed: int | None = None
    deadline = float("inf")
    while any(process.poll() is None for process in processes):
        codes = [process.poll() for process in processes]
        if failed is None and (bad := [code for code in codes if code]):
            failed, deadline = bad[0], time.monotonic() + PATIENCE
        if time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(0.05)
    first = processes[0].returncode
    code = first or next((p.returncode for p in processes if p.returncode), 0)
    return code if code >= 0 else 1


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def _threads(count: int) -> str:
    return str(max(1, (os.cpu_count() or 1) // count))
