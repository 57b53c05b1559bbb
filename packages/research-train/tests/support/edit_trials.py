"""Which experiments of the paper `tiny` an edit makes others: the edit is made, and taken back."""

import importlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from research_train import find_member, installed_members
from research_train.code.fingerprint import code_identity, files_beside
from research_train.code.parsed_files import ParsedFiles
from research_train.code.reached_code import reached_from

Edit = Sequence[str | None]


def made_others(
    edits: Iterable[tuple[Mapping[str, str], Edit]],
    folder: Path,
    only: tuple[str, str] | None = None,
) -> list[set[str]]:
    """For each edit, the experiments whose code is another after it.

    edits: the files that lie there before it (place -> text), and of the edit itself the place, the
    old text (None: the new one is appended, or makes the file) and the new. folder: where places
    begin. only: what is followed, (module, name), instead of all that each experiment's training
    reaches, which takes a hundred times as long; the answer is {module} or nothing.
    """
    member = find_member("tiny", installed_members())
    names = [only[0]] if only else list(member.experiments)

    def now() -> dict[str, str]:
        importlib.invalidate_caches()
        parsed = ParsedFiles()
        if only:
            code = reached_from([only], member, parsed)
            files = files_beside(member.experiment("tiny"), code)
            hashes = {name: parsed.sha256(file) for name, file in files.items()}
            return {only[0]: json.dumps([code.modules, hashes], sort_keys=True)}
        found = {name: code_identity(member.experiment(name), parsed) for name in names}
        return {name: json.dumps(code, sort_keys=True) for name, code in found.items()}

    untouched, found = now(), []
    for files, words in edits:
        place, old, new = words
        edited = folder / str(place)
        texts = {folder / name: text for name, text in files.items()}
        then = {file: file.read_text() if file.exists() else None for file in [edited, *texts]}
        for file, text in texts.items():
            write(file, text)
        before = now() if files else untouched
        text = edited.read_text() if edited.exists() else ""
        assert old is None or old in text, (place, old)
        write(edited, text + str(new) if old is None else text.replace(old, str(new)))
        after = now()
        found.append({name for name in names if before[name] != after[name]})
        for file, text_then in then.items():
            file.unlink() if text_then is None else file.write_text(text_then)
    return found


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


if __name__ == "__main__":  # edits on stdin, where copies of our packages are to be imported
    others = made_others([({}, edit) for edit in json.load(sys.stdin)], Path.cwd())
    print(json.dumps([sorted(each) for each in others]))
