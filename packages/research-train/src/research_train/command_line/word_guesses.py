"""Guess the `key=value` words that somebody meant who typed `model mlp`, or `mlp` alone."""

import difflib
from collections.abc import Sequence
from contextlib import suppress

from research_data.errors import UsageError

from research_train.errors import MemberError
from research_train.experiment.config_keys import Key, describe_keys
from research_train.experiment.members import Experiment, Member

TYPES = frozenset({"bool", "float", "int", "none", "str"})  # no choices of a key, but its types


def named_experiment(member: Member, names: Sequence[str], command: str) -> Experiment:
    """The experiment that names, the words without =, give to a command; none: the default one.

    Raises UsageError for several, MemberError for an unknown one; with the `key=value` words that
    were meant, where that is clear. command: as it was typed, before these words.
    """
    try:
        if len(names) > 1:
            listed = ", ".join(names)
            raise UsageError(f"several experiments named: {listed}. One at a time.")
        return member.experiment(names[0] if names else None)
    except (UsageError, MemberError) as error:
        if command == "evaluate" or not (meant := _words_meant(member, names)):
            raise
        raise UsageError(
            f"{error} Did you mean `{command} {meant}`? Config keys are written key=value."
        ) from error


def _words_meant(member: Member, names: Sequence[str]) -> str:
    """The words that these seem to mean; empty where that isn't clear.

    names: words without =, in their order: `model mlp` means `model=mlp`, and so does `mlp`, if
    only one key has that choice. Names of experiments stay.
    """
    meant: list[str] = []
    with suppress(Exception):  # only a hint: what is wrong in a config is told when it is trained
        experiments = {name.removeprefix(f"{member.name}.") for name in member.experiments}
        named = next((name for name in names if name in experiments), None)
        keys = {key.name: key for key in describe_keys(member.experiment(named))}
        waiting = list(names)
        while waiting:
            word = waiting.pop(0)
            if word == named:
                meant.append(word)
            elif waiting and (key := _key(word, keys)):
                meant.append(f"{key}={waiting.pop(0)}")
            elif len(having := [k.name for k in keys.values() if word in _choices(k)]) == 1:
                meant.append(f"{having[0]}={word}")
            else:
                return ""
    return " ".join(meant)


def _key(word: str, keys: dict[str, Key]) -> str | None:
    """The key that a word names: whole, by its last part, or nearly."""
    ending = [key for key in keys if key == word or key.endswith(f".{word}")]
    nearest = difflib.get_close_matches(word, keys, n=1, cutoff=0.75)
    return ending[0] if len(ending) == 1 else next(iter(nearest), None)


def _choices(key: Key) -> set[str]:
    return set(key.type.split("|")) - TYPES
