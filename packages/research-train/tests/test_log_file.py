"""What `train` says is kept in the run's folder, and never ends a run."""

SAYS = """
    import os, sys
    print("secret", os.environ["HF_TOKEN"], "hf_" + 24 * "x", file=sys.stderr)
    sys.stdout.write("10%\\r")
    sys.stdout.write("\\x1b[1m100%\\x1b[0m\\n")
"""


def test_a_run_keeps_what_it_said_and_a_resume_adds_to_it(workspace):
    code = workspace.root / "papers/tiny/paper_tiny/train.py"
    code.write_text(
        code.read_text().replace("    data = load(run)\n", SAYS + "    data = load(run)\n")
    )
    workspace.environment["HF_TOKEN"] = "mine-0123456789"
    first = workspace.train("steps=4")
    log = first.folder / "log.txt"
    before = log.read_text()
    start, *said = before.splitlines()
    assert start.startswith("--- 20") and start.endswith(" train --paper tiny steps=4")
    assert said[0] == first.errors.splitlines()[0]
    assert f"secret {'*' * 15} {'*' * 27}" in said and "100%" in said
    assert said[-1] == str(first.folder)

    again = workspace.train("--resume", first.folder.name, "steps=6")
    assert again.folder == first.folder
    assert log.read_text().startswith(before + "--- 20")

    log.unlink()
    log.mkdir()  # can't be written
    assert workspace.train("--resume", first.folder.name, "steps=8").folder == first.folder
    evaluated = workspace.run("evaluate", "--paper", "tiny")
    assert evaluated.code == 0, evaluated.errors  # the seal holds


def test_an_error_that_ends_a_run_is_in_its_log(workspace):
    failed = workspace.train("nan_at=3")
    assert failed.code == 1
    [log] = workspace.outputs.glob("tiny/*/log.txt")
    assert log.read_text().splitlines()[-1] == failed.errors.splitlines()[-1] != ""
