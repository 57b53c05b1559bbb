"""`research-cli sweep`: what is typed or read from a file; research-train's tests train."""

import pytest

BEST = ("--metric", "test/accuracy", "--max")


@pytest.fixture(autouse=True)
def own_assets(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "assets"))


def test_a_file_says_what_words_say_and_words_come_on_top(research_cli, tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "vary: {learning_rate: 1e-4..1e-1, model: [mlp, cnn], steps: 5}\nseeds: [0, 1]\n"
        "metric: test/accuracy\ndirection: max\nsampler: tpe\ntrials: 7\nname: first\n"
    )
    plan = research_cli("sweep", "mnist1d", "--file", str(file), "seed=0..4", "--dry-run")
    assert plan.returncode == 0, plan.stderr
    for part in ("first", "mnist1d", "tpe", "7 settings x 5 seeds", "largest test/accuracy"):
        assert part in plan.stderr
    file.write_text("vary: {model: [mlp, cnn]}\nmetrik: a\n")
    wrong = research_cli("sweep", "mnist1d", "--file", str(file))
    assert wrong.returncode == 2 and "Did you mean 'metric'?" in wrong.stderr
    assert not (tmp_path / "assets").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mnits1d", "steps=1,2"], "Did you mean 'mnist1d'?"),
        (["mnist1d", "stepz=1,2", *BEST], "Did you mean 'steps'?"),
        (["mnist1d", "one", "two", "steps=1,2"], "one, two"),
        (["mnist1d", "model", "mlp"], "`research-cli sweep mnist1d model=mlp`"),
        (["mnist1d", "steps=1,2"], "Known metrics: test/accuracy"),
        (["mnist1d", "steps=1,2", *BEST, "--jobs", "0"], "--jobs 0"),
        (["mnist1d", "steps=1,2", *BEST, "--trials", "3"], "--trials"),
        (["mnist1d", "--show", "none"], "no sweep 'none'"),
        (["mnist1d", "--show", "none", "steps=1,2"], "neither words nor --file"),
    ],
)
def test_what_is_typed_wrongly_is_refused_in_a_sentence(research_cli, tmp_path, words, said):
    done = research_cli("sweep", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "assets").exists()
