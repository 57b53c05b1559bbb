"""From YAML and `key=value` to the typed Config."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from research_train import ConfigError, load_config
from research_train.config import dump_yaml

YAML = """\
label: tiny
optimizer:
  learning_rate: 1e-2
  betas: [0.9, 0.99]
nan_at: 0
sleep: 0.0
"""


@pytest.fixture
def with_yaml(experiment):
    """Replace the experiment's YAML and load it, with the words given."""

    def load(text, *words):
        experiment.config_file.write_text(text)
        return load_config(experiment, words)

    return load


def test_yaml_is_1_2(with_yaml):
    config = with_yaml(YAML.replace("label: tiny", "label: off"))
    assert config.label == "off"
    assert config.optimizer.learning_rate == 0.01


def test_words_override_and_pass_the_same_typing(experiment):
    config = load_config(
        experiment, ["optimizer.learning_rate=3e-4", "steps=1e4", "label=12", "tensorboard=true"]
    )
    assert config.optimizer.learning_rate == 3e-4
    assert config.steps == 10_000
    assert config.label == "12"
    assert config.tensorboard is True


def test_a_date_is_text(experiment):
    assert load_config(experiment, ["label=2026-11-24T10:00:00Z"]).label == "2026-11-24T10:00:00Z"


def test_a_later_word_wins(experiment):
    assert load_config(experiment, ["seed=1", "seed=2"]).seed == 2


def test_a_value_may_hold_an_equals_sign(experiment):
    assert load_config(experiment, ["label=a=b"]).label == "a=b"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    label=st.text(st.characters(blacklist_categories=["Cs", "Cc"])),
    rate=st.floats(min_value=1e-300, allow_nan=False),
    seed=st.integers(min_value=0, max_value=2**63 - 1),
)
def test_a_written_config_reads_back_the_same(experiment, tmp_path, label, rate, seed):
    before = load_config(experiment, [f"seed={seed}"])
    before = before.model_copy(
        update={
            "label": label,
            "optimizer": before.optimizer.model_copy(update={"learning_rate": rate}),
        }
    )
    file = tmp_path / "config.yaml"
    file.write_text(dump_yaml(before.model_dump(mode="json")), encoding="utf-8")
    assert load_config(experiment, file=file) == before


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (YAML + "lable: x\n", ["unknown key 'lable' = 'x'", "Did you mean 'label'?"]),
        (YAML.replace("betas", "beta"), ["'optimizer.beta'", "Did you mean 'optimizer.betas'?"]),
        (
            YAML.replace("label: tiny\n", ""),
            ["'label' is missing", "What the evaluation calls it."],
        ),
        (YAML.replace("  betas: [0.9, 0.99]\n", ""), ["'optimizer.betas' is missing"]),
        (YAML.replace("1e-2", "'1e-2'"), ["'optimizer.learning_rate' = '1e-2'", "number"]),
        (YAML.replace("1e-2", "-1"), ["'optimizer.learning_rate' = -1", "greater than 0"]),
        (YAML.replace("nan_at: 0", "nan_at: 0.5"), ["'nan_at' = 0.5", "integer"]),
        (YAML.replace("nan_at: 0", "nan_at: true"), ["'nan_at' = True", "integer"]),
        (YAML + "label: again\n", ["line 7", "duplicate key"]),
        (YAML + "a: b: c\n", ["line 7", "mapping values are not allowed"]),
        (YAML + "x: !!python/object/apply:os.system ['true']\n", ["line 7", "constructor"]),
        (YAML + "x: !mine 1\n", ["line 7", "constructor"]),
        ("- a\n- b\n", ["must be a mapping", "a list"]),
        ("", ["must be a mapping", "empty"]),
        ("just words\n", ["must be a mapping", "'just words'"]),
        (YAML + "1: x\n", ["the key 1"]),
        (YAML.replace("label: tiny", "label: &a [*a]"), ["is no plain data"]),
        ("a: " + "[" * 3000, ["nested too deeply"]),
    ],
)
def test_a_wrong_yaml_says_where_and_what(with_yaml, text, parts):
    with pytest.raises(ConfigError) as error:
        with_yaml(text)
    for part in ["papers/tiny/config.yaml", *parts]:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("lable=x", ["command line", "Did you mean 'label'?"]),
        ("=x", ["command line", "key=value"]),
        ("optimizer=3", ["command line", "'optimizer' = 3"]),
        ("label.x=3", ["command line", "'label.x'"]),
        ("label={", ["command line", "'label={'"]),
        ("wandb=on", ["command line", "'wandb' = 'on'", "'disabled'"]),
        ("seed=", ["command line", "'seed' = None"]),
        ("optimizer.betas=[0.9, x]", ["command line", "'optimizer.betas.1' = 'x'"]),
        ("optimizer={learning_rate: -1, betas: [0, 0]}", ["command line", "learning_rate' = -1"]),
    ],
)
def test_a_wrong_word_says_so(experiment, word, parts):
    with pytest.raises(ConfigError) as error:
        load_config(experiment, [word])
    for part in parts:
        assert part in str(error.value)


def test_bytes_that_are_no_text_are_refused(experiment):
    experiment.config_file.write_bytes(b"label: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(experiment)
