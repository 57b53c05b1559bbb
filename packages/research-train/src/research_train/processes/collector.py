"""Let Python's cyclic garbage collector rest while a command imports its modules.

It looks at every object that is alive, again and again as their number grows: a fifth of the time
that torch's modules take, of which none is garbage.
"""

import gc

WHILE_IMPORTING = 200_000  # new objects before it looks, not hundreds
_USUAL = gc.get_threshold()


def collect_rarely() -> None:
    """Let it look rarely from now on, for what a command imports as it begins."""
    gc.set_threshold(WHILE_IMPORTING, *_USUAL[1:])


def collect_as_usual() -> None:
    """Let it look as usual again, but never more at the objects that are alive now.

    For a training: cycles of tensors must not wait, and the modules stay until the process ends.
    """
    gc.freeze()
    gc.set_threshold(*_USUAL)
