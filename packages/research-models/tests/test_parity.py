"""The README's table of differences: each found again, none above its target."""

import pytest
from parity import BEGIN, COLUMNS, END, README, ROWS


def rows_of_the_readme():
    table = README.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.model)
def test_a_model_differs_from_its_reference_by_no_more_than_its_target(row):
    assert row.difference() <= row.target


def test_the_readme_has_each_row_with_its_parameters():
    """Not the difference: its last digit belongs to the processor."""
    shown = rows_of_the_readme()
    assert shown[0] == list(COLUMNS)
    expected = [[row.model, row.paper, f"{row.parameters():,}", row.reference] for row in ROWS]
    assert [row[:4] for row in shown[2:]] == expected  # else: parity.py --write
    for row, cells in zip(ROWS, shown[2:], strict=True):
        assert float(cells[4]) <= row.target
