"""Tell the right command for a natural guess, such as `run delete` or `datasets list`."""

from collections.abc import Mapping, Sequence

TRAIN = ("train", "evaluate", "reproduce")  # the commands of research-train
PAPER = "uv run --package paper-NAME"

# Other words for the commands of a group; only those that the group has are suggested.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "list": ("ls", "all", "status"),
    "remove": ("rm", "delete", "del", "uninstall", "destroy", "clean"),
    "new": ("create", "add", "init", "make", "start"),
    "pull": ("download", "fetch", "get", "install", "add"),
    "show": ("info", "view", "describe", "cat", "log", "logs"),
    "info": ("show", "view", "describe"),
    "compare": ("diff",),
    "watch": ("tail", "follow"),
    "plot": ("draw", "curves", "graph"),
    "rerun": ("repeat", "replay"),
    "verify": ("check",),
    "check": ("verify", "validate", "lint"),
    "exec": ("run", "shell"),
    "release": ("publish", "bump", "build"),
}
# Groups by other names.
GROUPS = {
    **{f"{name}s": name for name in ("dataset", "model", "package", "paper", "project", "run")},
    **{"data": "dataset", "experiment": "run", "experiments": "run", "exp": "run"},
}
# Whole commands, after `research-cli`, and what to type instead.
ELSEWHERE = {
    "run resume": f"{PAPER} train --resume [RUN]",
    "run evaluate": f"{PAPER} evaluate --run RUN",
    "run train": f"{PAPER} train",
    "run new": f"{PAPER} train",
    "run start": f"{PAPER} train",
    "paper run": f"{PAPER} train",
    "run sort": "research-cli run list --sort KEY",
    "paper show": "research-cli paper list",
    "paper info": "research-cli paper list",
    "paper claims": f"{PAPER} reproduce --dry-run",
    "paper test": "uv run pytest papers/NAME",
    "project list": "research-cli paper list",
    "project check": "research-cli paper check",
    "project remove": "research-cli paper remove NAME",
    "resume": f"{PAPER} train --resume [RUN]",
    "claims": f"{PAPER} reproduce --dry-run",
    "test": "uv run pytest papers/NAME",
    "doctor": "research-cli env",
    "info": "research-cli env",
    "status": "research-cli paper list",
    "check": "research-cli paper check` or `research-cli package check",
    "profile": f"{PAPER} train --profile 20` or `research-cli bench NAME",
    "benchmark": "research-cli bench NAME",
    "note": "research-cli project note TOPIC` or `research-cli run note RUN TEXT",
    "tensorboard": "uv run tensorboard --logdir assets/outputs",
    "version": "research-cli --version",
    "help": "research-cli --help",
}


def right_command(
    path: Sequence[str], words: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> str | None:
    """The command to type instead, or several joined by "` or `"; None where there is no guess.

    path: the words that were understood, after `research-cli`. words: the others, of which the
    first is no command. groups: group -> its commands.
    """
    [word, *rest] = words
    typed = " ".join([*path, word])
    if word in TRAIN and (not path or path[0] in ("paper", "project", "run")):
        return _train(word, rest)
    if typed in ELSEWHERE:
        return ELSEWHERE[typed]
    if path and (known := _synonym(word, groups.get(path[0], ()))):
        return " ".join(["research-cli", path[0], known, *rest])
    if path:
        return None
    if word in GROUPS:
        group, verb = GROUPS[word], rest[0] if rest else "list"
        known = verb if verb in groups[group] else _synonym(verb, groups[group])
        return " ".join(["research-cli", group, known or "--help", *rest[1:]])
    having = [
        (group, word if word in commands else _synonym(word, commands))
        for group, commands in groups.items()
        if word in commands or _synonym(word, commands)
    ]
    return "` or `".join(f"research-cli {group} {known}" for group, known in having) or None


def _train(command: str, rest: Sequence[str]) -> str:
    """The command of research-train, with the paper that follows it, where one does."""
    if rest and "=" not in rest[0] and not rest[0].startswith("-"):
        return " ".join(["uv run", command, "--paper", rest[0], *rest[1:]])
    return " ".join([PAPER, command, *rest])


def _synonym(word: str, commands: Sequence[str]) -> str | None:
    return next((known for known in commands if word in SYNONYMS.get(known, ())), None)
