"""Fix Python's hash seed, which decides the order of sets of strings.

Python draws a random seed for the hashes of strings when it starts. A vocabulary built from a set,
or a dict filled in a set's order, then differs between processes, and so do the results. So the
commands run with one fixed seed, and a run's record says which.
"""

import os
import sys

from research_train.processes.children import start_again

VARIABLE = "PYTHONHASHSEED"
FIXED = "0"


def start_with_fixed_hashes() -> None:
    """Start this process again, with the same arguments, if its hash seed isn't the fixed one.

    `python -E` and `-I` ignore the variable; a run's record then says `random`.
    """
    if os.environ.get(VARIABLE) == FIXED:
        return
    os.environ[VARIABLE] = FIXED
    start_again(dict(os.environ), sys.orig_argv[1:])


def hash_seed() -> str:
    """The hash seed of this process, which decides the order of sets: a number, or `random`.

    A notebook's is `random` unless it was started with PYTHONHASHSEED set.
    """
    if not sys.flags.hash_randomization:
        return FIXED
    known = None if sys.flags.ignore_environment else os.environ.get(VARIABLE)
    # A 0 was set after the start and isn't in use: it would have turned the flag off.
    return known if known and known.isdigit() and int(known) else "random"
