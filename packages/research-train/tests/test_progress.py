"""Progress: a bar at a terminal, plain lines elsewhere, nothing when quiet."""

import fcntl
import os
import pty
import struct
import sys
import termios
from pathlib import Path


def at_a_terminal(workspace, *words):
    """What `train` writes to a terminal of 100 columns."""
    process, terminal = pty.fork()
    if process == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        train = str(Path(sys.executable).parent / "train")
        os.chdir(workspace.root)
        os.execve(train, [train, "--paper", "tiny", *words], workspace.environment)
    written = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        written += part
    assert os.waitpid(process, 0)[1] == 0, written.decode()
    return written.decode()


def test_a_bar_with_the_loss_at_a_terminal(workspace):
    written = at_a_terminal(workspace, "sleep=0.03")
    assert "100%" in written
    assert "20/20" in written
    assert "loss" in written


def test_plain_lines_in_a_pipe(workspace):
    [line] = [line for line in workspace.train().errors.splitlines() if line.startswith("step ")]
    assert line.startswith("step 20/20 (100%)  loss 0.")
    assert "\r" not in line


def test_nothing_when_quiet(workspace):
    assert workspace.train("--quiet").errors == ""
