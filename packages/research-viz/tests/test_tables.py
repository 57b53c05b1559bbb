"""Tables as text, and numbers with their intervals."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from research_viz import latex_table, markdown_table, with_ends, with_interval

COLUMNS = ["model", "seeds", "accuracy"]
ROWS = [["CNN", 5, "93.88 ± 0.65"], ["a|b_c", None, "-4.20 ± 0.10"]]


@pytest.mark.parametrize(
    ("mean", "interval", "text"),
    [
        (93.62, 0.68, "93.62 ± 0.68"),
        (93.6, 0.7, "93.60 ± 0.70"),
        (0.93, 0.0996, "0.93 ± 0.10"),  # rounds up to another digit
        (12345, 123, "12340 ± 120"),
        (108893186, None, "108,893,186"),
        (-1e6, 0, "-1,000,000 ± 0"),
        (1234567.5, None, "1.23457e+06"),
        (-0.1, 12, "0 ± 12"),  # no minus before a zero
        (-93.126, 1.26, "-93.1 ± 1.3"),
        (93.6, None, "93.6"),
        (93.6, 0, "93.6 ± 0"),
        (5210, None, "5210"),
        (1.2345e-7, 1.2e-9, "(1.234 ± 0.012)e-07"),
        (0, 1e-9, "(0.0 ± 1.0)e-09"),
        (3e9, 2e7, "(3.000 ± 0.020)e+09"),
        (1.0, 1e-30, "1 ± 1.0e-30"),
    ],
)
def test_an_interval_has_two_digits_and_the_mean_its_decimals(mean, interval, text):
    assert with_interval(mean, interval) == text


@given(st.floats(-1e100, 1e100), st.floats(1e-300, 1e100))
def test_written_numbers_are_near_the_given_ones(mean, interval):
    text = with_interval(mean, interval)
    power = text.partition(")")[2] if text.startswith("(") else ""
    shown_mean, shown_half = (
        float(part + power) for part in re.sub(r"\(|\).*", "", text).split(" ± ")
    )
    assert shown_half == pytest.approx(interval, rel=0.051)
    assert abs(shown_mean - mean) <= max(0.051 * interval, 1e-5 * abs(mean))
    assert len(text) < 45


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((float("nan"), 1), "mean: nan"),
        ((1, float("inf")), "interval: inf"),
        ((1, -1), "interval: a half-width .*-1"),
        (([1, 2], 1), r"mean: .*\(2,\)"),
    ],
)
def test_an_invalid_interval_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        with_interval(*arguments)


def test_a_markdown_table_is_readable_as_text():
    assert markdown_table(COLUMNS, ROWS) == (
        "| model  | seeds |     accuracy |\n"
        "| ------ | ----: | -----------: |\n"
        "| CNN    |     5 | 93.88 ± 0.65 |\n"
        "| a\\|b_c |       | -4.20 ± 0.10 |\n"
    )


def test_a_latex_table_has_the_rules_of_booktabs_and_escapes_the_rest():
    assert latex_table(COLUMNS, ROWS) == (
        "\\begin{tabular}{lrr}\n\\toprule\nmodel & seeds & accuracy \\\\\n\\midrule\n"
        "CNN & 5 & 93.88 $\\pm$ 0.65 \\\\\n"
        "a\\textbar{}b\\_c &  & $-$4.20 $\\pm$ 0.10 \\\\\n"
        "\\bottomrule\n\\end{tabular}\n"
    )


def test_a_first_cell_is_not_taken_for_an_option_of_the_line_end():
    text = latex_table(["a"], [["[1]"], ["*"]])
    assert "\\midrule\n{[}1]" in text
    assert "\\\\\n{*}" in text


def test_a_table_without_rows_is_its_head():
    assert markdown_table(["a"], []) == "| a   |\n| --- |\n"
    assert latex_table(["a"], []).count("\\\\") == 1


@given(st.lists(st.tuples(st.text(), st.text() | st.floats() | st.none()), max_size=4))
def test_any_cell_stays_in_its_place(rows):
    for line in markdown_table(["a", "b"], rows).removesuffix("\n").split("\n"):
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3
    lines = latex_table(["a", "b"], rows).split("\n")
    assert len(lines) == len(rows) + 7
    for line in lines[4:-3]:
        assert len(re.findall(r"(?<!\\)&", line)) == 1
        assert not re.search(r"(?<!\\)[#%_]", line)


@pytest.mark.parametrize("table", [markdown_table, latex_table])
def test_a_row_of_another_length_is_refused(table):
    with pytest.raises(ValueError, match=r"row 1 .*1 cells.*2 columns"):
        table(["a", "b"], [[1, 2], [3]])
    with pytest.raises(ValueError, match="one column"):
        table([], [])


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((93.62, 92.94, 94.30), "93.62 ± 0.68"),
        ((93.62, 92.94, 95.1), "93.6 (92.9 to 95.1)"),
        ((0.0209, -0.0123, 0.0691), "0.021 (-0.012 to 0.069)"),
        ((2.0, 2.0, 2.0), "2 ± 0"),
        ((1.5e-9, 1.2e-9, 2.1e-9), "1.50e-09 (1.20e-09 to 2.10e-09)"),
        ((1.5e12, 1.2e12, 2.1e12), "1.50e+12 (1.20e+12 to 2.10e+12)"),
        ((5.5, 4.5, float("inf")), "≥ 4.5"),
        ((5.5, -float("inf"), 6.25), "≤ 6.25"),
        ((5.5, -float("inf"), float("inf")), "not known"),
        ((None, 4.5, 6.5), "not known"),
    ],
)
def test_an_interval_that_is_not_symmetric_shows_both_ends(numbers, text):
    assert with_ends(*numbers) == text


@given(st.floats(-1e90, 1e90), st.floats(0, 1e90), st.floats(0, 1e90))
def test_any_interval_has_a_text(mean, left, right):
    assert str(with_ends(mean, mean - left, mean + right))
