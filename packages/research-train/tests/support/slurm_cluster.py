"""A real SLURM on this machine: munged, slurmctld, and two nodes that are two slurmd.

Debian's packages do: `apt install slurmctld slurmd slurm-client munge`. Everything lies in one
folder, runs as the present user (tried as root), and ends with the block.

with running_cluster() as cluster:
    subprocess.run(["sbatch", ...], env={**os.environ, **cluster.environment})
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from getpass import getuser
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
NODES = ("node1", "node2")
PATIENCE = 120.0  # seconds for anything that SLURM is waited for
SOON = timedelta(seconds=10)

# A node has one core, as declared and not as found, so that a third job waits.
CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=1,sched_interval=2
MpiDefault=none
ReturnToService=2
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=main Nodes={nodes[0]},{nodes[1]} Default=YES MaxTime=60 State=UP
"""


def missing_commands() -> list[str]:
    """What isn't installed of that which a cluster needs."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [name for name in NEEDED if shutil.which(name, path=path) is None]


@dataclass(frozen=True)
class Cluster:
    """A running SLURM. folder: its configuration, logs and state."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make a SLURM command speak to this cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *command: str) -> str:
        """What a SLURM command prints."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    def state(self, job: str) -> str:
        return self.run("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T")

    def wait_for(self, what: Callable[[], bool], shown: Callable[[], object] = str) -> None:
        """Until something is so. shown: tells in the failure how things stand."""
        deadline = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < deadline, shown()
            time.sleep(0.1)

    def idle(self) -> bool:
        """Whether both nodes have nothing to do, and have cleared away what they did before."""
        return _printed(self, "sinfo", "--noheader", "--Node", "--format=%T") == "idle\nidle\n"

    def start_soon(self, job: str) -> None:
        """Have a requeued job, the only one, not wait for two minutes.

        SLURM waits so long that nothing meant for the last start reaches the next. A node refuses
        a start in the second in which it was told to end the last one.
        """
        self.wait_for(lambda: self.state(job) == "PENDING", lambda: self.state(job))

        def started() -> bool:
            if self.state(job) != "PENDING":
                return True
            # SLURM sets the time anew when the last start has been cleared away.
            if self.idle():
                self.hasten(job)
            return False

        self.wait_for(started, lambda: self.run("scontrol", "show", "job", job))

    def hasten(self, job: str) -> None:
        """Have a job that waits for a moment start in two seconds."""
        shown = self.run("scontrol", "show", "job", job)
        [begin] = re.findall(r"EligibleTime=(\S+)", shown)
        if datetime.fromisoformat(begin) > datetime.now() + SOON:
            self.run("scontrol", "update", f"JobId={job}", "StartTime=now+2seconds")


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start a cluster, wait until its nodes are idle, and stop all of it after the block."""
    with ExitStack() as stack:
        # Not pytest's folder: the path of munge's socket may have 107 bytes.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))
        folder.chmod(0o755)
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir()
        host = socket.gethostname().partition(".")[0]
        ports = _free_ports(3)
        (folder / "slurm.conf").write_text(
            CONF.format(folder=folder, host=host, ports=ports, nodes=NODES, user=getuser())
        )
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        cluster = Cluster(folder)

        def start(name: str, *command: str) -> None:
            stack.enter_context(_daemon(cluster, name, *command))

        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
        options = [f"--{option}={folder}/munge.{end}" for option, end in files.items()]
        start("munged", "munged", "--foreground", "--force", *options)
        cluster.wait_for((folder / "munge.socket").exists)
        start("slurmctld", "slurmctld", "-D", "-c")
        for node in NODES:
            start(node, "slurmd", "-D", "-N", node)
        cluster.wait_for(cluster.idle)
        try:
            yield cluster
        finally:
            cluster.run("scancel", f"--user={getuser()}")
            cluster.wait_for(lambda: _printed(cluster, "squeue", "--noheader") == "")


def _printed(cluster: Cluster, *command: str) -> str:
    """What a command prints, whether it succeeds or not."""
    environment = {**os.environ, **cluster.environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


@contextmanager
def _daemon(cluster: Cluster, name: str, *command: str) -> Iterator[None]:
    """A daemon in the foreground; its messages are in NAME.log."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    with (cluster.folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [shutil.which(command[0], path=path) or command[0], *command[1:]],
            env={**os.environ, **cluster.environment, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in opened:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in opened]
