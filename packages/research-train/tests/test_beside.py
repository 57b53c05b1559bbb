"""Work in a forked process, while the one that asked for it is busy."""

import os
import select
import subprocess
import sys

import pytest

TRY = """
import os, sys
from research_train.processes.beside import Beside

def fails():
    if os.getpid() != here:
        os.write(2, b"beside ")
    raise ValueError("in vain")

here = os.getpid()
{before}
other = Beside(os.getpid)
failing = Beside(fails)
print(other.result() == here)
try:
    failing.result()
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("before", "in_this_process"),
    [
        ("", False),
        ("import torch", True),
        (
            "from threading import Event, Thread; Thread(target=Event().wait, daemon=True).start()",
            True,
        ),
    ],
)
def test_it_forks_where_that_is_safe_and_raises_here(before, in_this_process):
    script = TRY.format(before=before)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split("\n")[:2] == [str(in_this_process), "in vain"]
    assert done.stderr == ("" if in_this_process else "beside ")


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a process of its parent's end"
)
def test_it_ends_with_the_process_that_was_killed():
    script = (
        "import os, time\n"
        "from research_train.processes.beside import Beside\n"
        "def work():\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(600)\n"
        "Beside(work).result()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout
        child = os.pidfd_open(int(process.stdout.readline()))
        process.kill()
    ended, _, _ = select.select([child], [], [], 60)
    os.close(child)
    assert ended
