"""Which signals stop a run."""

import subprocess
import sys

import pytest

CLOSED = """
import os, signal
from research_train.errors import Interrupted
from research_train.processes.signals import StopRequest

signal.signal(signal.SIGHUP, signal.{before})
try:
    with StopRequest().listening():
        os.kill(os.getpid(), signal.SIGHUP)
except Interrupted as stop:
    print("stopped by", stop.signal)
else:
    print("went on")
"""


@pytest.mark.parametrize(
    ("before", "outcome"), [("SIG_DFL", "stopped by 1\n"), ("SIG_IGN", "went on\n")]
)
def test_a_closed_terminal_stops_it_unless_nohup_said_otherwise(before, outcome):
    code = CLOSED.format(before=before)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == outcome, done.stderr
