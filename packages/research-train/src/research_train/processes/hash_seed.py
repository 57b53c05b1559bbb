"""Fix Python's hash seed, which decides the order of sets of strings.

Python draws a key for the hashes of texts when it starts. A vocabulary built from a set, or a
dict filled in a set's order, is then another one in every process, and so are the numbers. So the
commands start with that key fixed, the same for every run, and what it was is in the record.
"""

import os
import sys

from research_train.processes.children import start_again

VARIABLE = "PYTHONHASHSEED"
FIXED = "0"


def start_with_fixed_hashes() -> None:
    """Start this process again, with the same words, if its order of sets isn't the fixed one.

    A process under `python -E` or `-I` can't be told; its record says `random`.
    """
    if os.environ.get(VARIABLE) == FIXED:
        return
    os.environ[VARIABLE] = FIXED
    start_again(dict(os.environ), sys.orig_argv[1:])


def hash_seed() -> str:
    """What the order of sets depends on in this process: a number, or `random`.

    A notebook's is `random` unless it was started with PYTHONHASHSEED set.
    """
    if not sys.flags.hash_randomization:
        return FIXED
    known = None if sys.flags.ignore_environment else os.environ.get(VARIABLE)
    # Set to 0 after the start it would say something untrue: then the flag were 0.
    return known if known and known.isdigit() and int(known) else "random"
