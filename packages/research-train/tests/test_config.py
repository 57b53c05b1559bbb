"""From YAML and `key=value` to the typed Config."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from research_train import ConfigError, load_config
from research_train.experiment.yaml_file import dump_yaml
from research_train.record.resolved_config import read_resolved_config

YAML = """\
label: tiny
optimizer:
  learning_rate: 1e-2
  betas: [0.9, 0.99]
nan_at: 0
sleep: 0.0
"""
# Ten lines that make a billion values.
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.fixture
def with_yaml(experiment):
    """Replace the experiment's YAML and load it, with the words given."""

    def load(text, *words):
        experiment.config_file.write_text(text)
        return load_config(experiment, words)

    return load


def test_config_files_are_read_as_yaml_1_2(with_yaml):
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    label=st.text(),
    rate=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    decay=st.floats(allow_nan=False, allow_infinity=False),
    seed=st.integers(min_value=0, max_value=2**63 - 1),
)
@example(label="a #b", rate=5e-324, decay=-0.0, seed=0)
@example(
    label="  a\n\n b \t\x00\x1b[0m\x85\u2028\u202e\ufeff\U0001f600 ", rate=1.0, decay=1e22, seed=0
)
def test_a_written_config_reads_back_the_same(experiment, tmp_path, label, rate, decay, seed):
    before = load_config(experiment, [f"seed={seed}", f"label={label}"])
    assert before.label == label
    optimizer = before.optimizer.model_copy(update={"learning_rate": rate, "betas": (decay, 0.9)})
    before = before.model_copy(update={"optimizer": optimizer})
    file = tmp_path / "config.yaml"
    file.write_text(dump_yaml(before.model_dump(mode="json")), encoding="utf-8", newline="")
    after = load_config(experiment, file=file)
    assert after == before
    assert str(after.optimizer.betas[0]) == str(decay)  # 0.0 equals -0.0
    flat = read_resolved_config(tmp_path, None)
    assert (flat["label"], flat["optimizer.learning_rate"]) == (label, rate)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (YAML + "lable: x\n", ["'lable' = 'x'", "'label'?"]),
        (YAML.replace("betas", "beta"), ["'optimizer.beta'", "'optimizer.betas'?"]),
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
        (YAML + "a: b: c\n", ["line 7", "mapping values"]),
        (YAML + "x: !!python/object/apply:os.system ['true']\n", ["line 7", "constructor"]),
        (YAML + "x: !mine 1\n", ["line 7", "constructor"]),
        ("- a\n- b\n", ["must be a mapping", "a list"]),
        ("", ["must be a mapping", "empty"]),
        ("just words\n", ["must be a mapping", "'just words'"]),
        (YAML + "1: x\n", ["the key 1"]),
        (YAML.replace("label: tiny", "label: &a [*a]"), ["plain data", "alias"]),
        ("a: " + "[" * 3000, ["nested too deeply"]),
        (YAML.replace("1e-2", "1e400"), ["line 3", "'1e400' is too large"]),
        (YAML.replace("1e-2", ".inf"), ["learning_rate' = inf", "finite"]),
        (YAML.replace("nan_at: 0", "nan_at: " + "9" * 5000), ["4300 digits"]),
        (YAML.replace("nan_at: 0", "nan_at: 0x" + "9" * 5000), ["4300 digits"]),
        (YAML + "x: '" + "y" * 5000 + "'\n", ["'x' = 'yyy", "..."]),
        (YAML + 'x: "\\ud800"\n', ["UTF-8"]),
        (BOMB, ["more than 1000000 values"]),
        ("a: \x00", ["x00"]),
    ],
)
def test_an_invalid_config_file_is_refused_with_line_key_and_value(with_yaml, text, parts):
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
        ("optimizer.betas={", ["command line", "'optimizer.betas={'"]),
        ("lable={", ["'lable' = '{'"]),
        ("label=\udcff", ["command line", "isn't UTF-8"]),
        ("sleep=1e400", ["command line", "'sleep=1e400'", "'1e400' is too large"]),
        ("sleep=-1e400", ["'-1e400' is too large"]),
        ("sleep=1e-400", ["'1e-400' is too small"]),
        ("sleep=.inf", ["'sleep' = inf", "finite"]),
        ("sleep=.nan", ["'sleep' = nan", "finite"]),
        ("sleep=inf", ["'sleep' = 'inf'", "number"]),
        ("sleep=1" + "0" * 400, ["'sleep' = 1000", "finite"]),
        ("seed=" + "9" * 5000, ["command line", "4300 digits"]),
        ("seed=0x" + "f" * 5000, ["command line", "4300 digits"]),
        ("lable=" + "9" * 5000, ["unknown key 'lable'", "999..."]),
        ("x" * 500 + "=1", ["unknown key 'xxx", "..."]),
        ("wandb=on", ["command line", "'wandb' = 'on'", "'disabled'"]),
        ("seed=", ["command line", "'seed' = None"]),
        ("optimizer.betas=[0.9, x]", ["command line", "'optimizer.betas.1' = 'x'"]),
        ("optimizer={learning_rate: -1, betas: [0, 0]}", ["command line", "learning_rate' = -1"]),
    ],
)
def test_an_invalid_override_is_refused_with_its_key_and_value(experiment, word, parts):
    with pytest.raises(ConfigError) as error:
        load_config(experiment, [word])
    for part in parts:
        assert part in str(error.value)


def test_bytes_that_are_no_text_are_refused(experiment):
    experiment.config_file.write_bytes(b"label: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(experiment)
