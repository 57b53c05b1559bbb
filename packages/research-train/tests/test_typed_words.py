"""Words of the command line, typed by the key that they are for."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from research_train import ConfigError, ConfigSection
from research_train.experiment.typed_words import annotation_at, typed
from research_train.experiment.yaml_file import parse_yaml


class Colour(Enum):
    RED = "red"
    ONE = "1"


class Inner(ConfigSection):
    rate: float | Literal["auto"]


class Keys(ConfigSection):
    text: str
    pattern: Annotated[str, Field(pattern=r"^\\S*$")]
    maybe: str | None
    place: Path
    colour: Colour
    choice: Literal["1", "on", "null"] | None
    number: int | str
    count: int | None
    flag: bool | Literal["auto"]
    parts: list[str] | str
    names: dict[str, str]
    rates: dict[str, float]
    inner: Inner | None
    anything: Any


def value(key, word):
    return typed(word, annotation_at(Keys, key), lambda text: parse_yaml(text, "here"))


@given(word=st.text(), key=st.sampled_from(["text", "pattern", "place", "colour", "names.x"]))
def test_where_text_is_wanted_the_word_stands_as_it_is(word, key):
    assert value(key, word) == word


@pytest.mark.parametrize(
    ("key", "word", "wanted"),
    [
        ("maybe", "null", None),
        ("maybe", "~", "~"),
        ("maybe", "", ""),
        ("maybe", "1e5", "1e5"),
        ("choice", "null", "null"),
        ("choice", "1", "1"),
        ("number", "12", 12),
        ("number", "1e3", 1e3),
        ("number", "1.5", "1.5"),
        ("number", "a #b", "a #b"),
        ("number", "null", "null"),
        ("number", "true", "true"),
        ("number", "[a", "[a"),
        ("count", "null", None),
        ("count", "1e4", 1e4),
        ("flag", "true", True),
        ("flag", "auto", "auto"),
        ("parts", "[a, b]", ["a", "b"]),
        ("parts", "[a", "[a"),
        ("parts", "[1, 2]", "[1, 2]"),
        ("rates.x", "1e-3", 1e-3),
        ("rates", "{x: 1.0}", {"x": 1.0}),
        ("inner.rate", "auto", "auto"),
        ("inner.rate", "3e-4", 3e-4),
        ("inner", "{rate: auto}", {"rate": "auto"}),
        ("anything", "off", "off"),
        ("anything", "[1, x]", [1, "x"]),
    ],
)
def test_other_keys_take_yaml_and_unions_what_fits(key, word, wanted):
    found = value(key, word)
    assert (found, type(found)) == (wanted, type(wanted))


@pytest.mark.parametrize("word", ["[a", "1e400", "@x", "9" * 5000, "&a [*a]"])
def test_a_word_that_is_no_yaml_is_refused_where_no_text_is_wanted(word):
    with pytest.raises(ConfigError):
        value("count", word)


def test_an_unknown_key_has_no_annotation():
    for key in ("nothing", "text.x", "inner.nothing", "names.x.y"):
        assert annotation_at(Keys, key) is None
