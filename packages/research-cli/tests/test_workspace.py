from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from research_cli.environment.declared import (
    INTERNAL,
    combined,
    declared_packages,
)
from research_cli.environment.installed import STACK
from research_data import UsageError, this_workspace
from research_train.experiment.pyproject import read_pyproject
from research_train.versions.requirements import internal_packages


def test_every_row_of_the_stack_is_declared_by_a_pyproject_with_a_bound() -> None:
    declared = declared_packages()
    undeclared = [p.name for p in STACK if not declared[p.distribution].versions]
    assert undeclared == []


def test_every_shared_package_has_a_row() -> None:
    workspace = this_workspace()
    assert workspace is not None
    assert set(INTERNAL) == set(internal_packages(workspace))


def test_what_ours_and_the_papers_require_counts_as_required() -> None:
    declared = declared_packages()
    assert declared["torch"].required  # by packages
    assert declared["mnist1d"].required  # by a paper alone
    assert not declared["jupyterlab"].required  # by a group of the root alone


def test_of_several_lower_bounds_the_highest_counts() -> None:
    asked = [SpecifierSet(">=1.9,<3"), SpecifierSet(">=1.10"), SpecifierSet("!=2.5")]
    assert combined(asked) == SpecifierSet(">=1.10,<3,!=2.5")
    assert combined([SpecifierSet()]) == SpecifierSet()


def test_groups_that_include_others_are_read_once_each(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[dependency-groups]\n"
        'dev = ["pytest>=8", {include-group = "stack"}]\n'
        """stack = ["SciPy>=1.13", "never>=1; python_version < '3'"]\n"""
    )
    assert list(map(str, read_pyproject(tmp_path).group_requirements)) == [
        "pytest>=8",
        "SciPy>=1.13",
    ]


def test_a_group_with_a_slip_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[dependency-groups]\ndev = ["pytest => 8"]\n')
    with pytest.raises(UsageError, match=r"pyproject\.toml: group dev: 'pytest => 8'"):
        _ = read_pyproject(tmp_path).group_requirements
