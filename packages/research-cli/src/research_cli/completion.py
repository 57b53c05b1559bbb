"""What Tab completes besides commands and options: runs, papers, and the keys of runs.

Called while somebody types, so each looks at names of folders or at few files, and never fails.
"""

from contextlib import suppress

NEWEST = 20  # runs whose keys are offered


def run_ids(incomplete: str) -> list[str]:
    """The ids of runs that begin with a text, newest first; after `paper/`, those of a paper."""
    with suppress(Exception):
        from research_data import get_outputs_dir

        paper, slash, begin = incomplete.rpartition("/")
        folders = get_outputs_dir().glob(f"{paper or '[!.]*'}/[!.]*/run.json")
        ids = sorted({file.parent.name for file in folders}, reverse=True)
        return [f"{paper}{slash}{id_}" for id_ in ids if id_.startswith(begin)]
    return []


def member_names(incomplete: str) -> list[str]:
    """The papers and projects of the workspace whose names begin with a text."""
    with suppress(Exception):
        from pathlib import Path

        from research_data import find_workspace, this_workspace

        workspace = find_workspace(Path.cwd()) or this_workspace()
        files = workspace.glob("p[ar]*/*/pyproject.toml") if workspace else []
        names = [f.parent.name for f in files if f.parents[1].name in ("papers", "projects")]
        return sorted(name for name in names if name.startswith(incomplete))
    return []


def run_keys(incomplete: str) -> list[str]:
    """The config keys and final metrics of the newest runs that begin with a text."""
    with suppress(Exception):
        from research_train import runs

        keys = {key for run in runs(limit=NEWEST) for key in run.values}
        return sorted(key for key in keys if key.startswith(incomplete))
    return []
