"""When a claim was set against its runs: what git, the runs' archives and old results say."""

import json
import os
import shutil
import subprocess

import pytest
from research_train import find_member, installed_members, runs
from research_train.claims.claim import read_claims
from research_train.evidence.claim_edits import when_set

CLAIMS = """source: Nobody
claims:
  - name: answer
    what: The answer.
    kind: value
    metric: answer
    published: 7
    tolerance: 1
    reason: a test
    experiment: second
    overrides: {seven: [answer=7]}
    seeds: 2
  - name: other
    what: Another one.
    kind: value
    metric: answer
    published: 8
    tolerance: 1
    reason: a test
    experiment: second
    overrides: {eight: [answer=8]}
    seeds: 2
"""


class History:
    """A paper with a run of its first claim, and none of its second."""

    def __init__(self, workspace):
        self.workspace = workspace
        self.paper = workspace.root / "papers/tiny"
        self.claims = self.paper / "claims.yaml"
        self.member = None

    def git(self, *words, time=None, env=None):
        date = {"GIT_COMMITTER_DATE": time, "GIT_AUTHOR_DATE": time} if time else {}
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words]
        environment = {**os.environ, **date, **(env or {})}
        done = subprocess.run(
            command, cwd=self.workspace.root, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, time):
        """Commit the folder's text as of a time, in ISO 8601."""
        self.git("add", "papers")
        self.git("commit", "-qm", "x", time=time)
        return self.git("rev-parse", "HEAD")

    def __call__(self, folder=None):
        self.member = self.member or find_member("tiny", installed_members())
        member = self.member
        if folder is not None:
            member = type(member)(**{**vars(member), "folder": folder})
        there = runs("tiny")
        return when_set(member, read_claims(member.folder).claims, {"answer": there[:1]}, there)


BEFORE, AFTER = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"


@pytest.fixture
def history(workspace, monkeypatch):
    history = History(workspace)
    history.claims.write_text(CLAIMS)
    monkeypatch.syspath_prepend(str(workspace.site))
    monkeypatch.setenv("RESEARCH_ASSETS", str(workspace.root / "assets"))
    monkeypatch.delenv("GIT_DIR", raising=False)
    done = workspace.train("second", "answer=7", "--quiet", "tensorboard=false")
    assert done.code == 0, done.errors
    return history


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_claim_tells_how_many_runs_came_before_it(history, monkeypatch):
    # Without git the archives of the runs tell.
    at = history()
    assert (at["answer"].after_runs, at["answer"].commit, at["answer"].time) == (0, None, None)
    assert at["answer"].first_run == min(run.started for run in runs("tiny"))
    assert (at["other"].after_runs, at["other"].first_run) == (0, None)
    edit(history.claims, "published: 7", "published: 6")
    assert history()["answer"].after_runs == 1
    edit(history.claims, "published: 6", "published: 7")

    # Committed after its runs, but written before them: the archives say so.
    history.git("init", "-q")
    history.claims.write_text(CLAIMS)
    assert history()["answer"].after_runs == 0
    commit = history.commit(AFTER)
    at = history()["answer"]
    assert (at.commit, at.time, at.after_runs) == (commit, AFTER, 0)

    # Edited now: uncommitted, then committed. The other claim, prose and names are as they were.
    edit(
        history.claims,
        "tolerance: 1\n    reason: a test\n    experiment: second\n    overrides: {seven",
        "tolerance: 2\n    reason: a test\n    experiment: second\n    overrides: {seven",
    )
    at = history()["answer"]
    assert (at.commit, at.time, at.after_runs) == (None, None, 1)
    commit = history.commit(AFTER)
    at = history()["answer"]
    assert (at.commit, at.after_runs) == (commit, 1)
    edit(history.claims, "what: The answer.", "what: The answer of the second.  # a comment")
    edit(history.claims, "published: 8", "published: 9")
    history.commit(AFTER)
    assert history()["answer"] == at

    # The variables that git sets inside a hook mean another repository.
    elsewhere = history.workspace.root / "elsewhere"
    history.git("init", "-q", str(elsewhere))
    monkeypatch.setenv("GIT_DIR", str(elsewhere / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", "nowhere")
    assert history()["answer"] == at
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")

    # The paper's folder under another name, and a clone that ends with that commit.
    moved = history.workspace.root / "papers/small"
    history.git("mv", "papers/tiny", "papers/small")
    history.git("commit", "-qm", "moved", time=AFTER)
    assert history(moved)["answer"] == at
    shallow = history.workspace.root / "shallow"
    history.git("clone", "-q", "--depth", "1", history.workspace.root.as_uri(), str(shallow))
    at = history(shallow / "papers/small")["answer"]
    assert (at.commit, at.after_runs) == (None, 1)  # of which the archives know


def test_what_git_could_not_tell_is_asked_again(history):
    history.git("init", "-q")
    history.git("config", "uploadpack.allowFilter", "true")
    set_in = history.commit("2010-01-01T00:00:00Z")
    edit(history.claims, "what: Another one.", "what: The other one.")
    history.commit(BEFORE)
    assert history()["answer"].commit == set_in
    root = history.workspace.root
    # Without the history before its last commit, then with it, under the same commit.
    clone = root / "clone"
    history.git("clone", "-q", "--depth", "1", root.as_uri(), str(clone))
    assert history(clone / "papers/tiny")["answer"].commit is None
    history.git("-C", str(clone), "fetch", "-q", "--unshallow")
    assert history(clone / "papers/tiny")["answer"].commit == set_in
    # Without the files of earlier commits, which are fetched when they are asked for.
    partial = root / "partial"
    history.git("clone", "-q", "--filter=blob:none", root.as_uri(), str(partial))
    remote = (root / ".git").rename(root / "away")
    (partial / "papers/tiny/claims.yaml").write_text(history.claims.read_text())
    at = history(partial / "papers/tiny")["answer"]
    assert (at.commit, at.time) == (None, None)
    remote.rename(root / ".git")
    assert history(partial / "papers/tiny")["answer"].commit == set_in


def test_a_claim_committed_before_its_runs_is_set_before_them(history):
    history.git("init", "-q")
    history.commit(BEFORE)
    shutil.rmtree(history.workspace.outputs / ".sources")  # git alone
    assert history()["answer"].after_runs == 0
    edit(history.claims, "published: 7", "published: 6")
    assert history()["answer"].after_runs == 1
    history.commit(AFTER)
    assert history()["answer"].after_runs == 1


def test_runs_that_are_gone_are_known_from_committed_results(history):
    history.git("init", "-q")
    for name, run in (("old", "20100101-000000.000-seed0"), ("new", "20300101-000000.000-seed0")):
        results = {"claims": [{"name": "answer", "runs": [run]}]}
        (history.paper / "results.json").write_text(json.dumps(results))
        if name == "new":
            edit(history.claims, "seeds: 2\n  - name: other", "seeds: 3\n  - name: other")
        history.commit("2015-01-01T00:00:00Z" if name == "old" else BEFORE)
    assert history()["answer"].after_runs == 1
    assert history()["other"].after_runs == 0
    # What was found when they were made isn't forgotten.
    counted = {"claims": [{"name": "answer", "runs": [], "set": {"after_runs": 5}}]}
    (history.paper / "results.json").write_text(json.dumps(counted))
    history.commit(AFTER)
    assert history()["answer"].after_runs == 5
