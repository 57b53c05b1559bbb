"""Locks between processes, and the platforms that have them."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("start", ["import research_data", "import research_train.launch"])
def test_windows_is_told_in_one_sentence(start):
    """As a script of ours and the command `train` start, where Python says it runs on Windows."""
    program = f"import sys; sys.platform = 'win32'; {start}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("error: ") and "WSL" in sentence
