"""What satisfies what."""

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from research_train.versions.requirements import satisfies


@pytest.mark.parametrize(
    ("version", "asked", "satisfied"),
    [
        ("0.1.0", "==0.1.0", True),
        ("0.2.0.dev0", ">=0.1", True),
        ("0.1.0.dev0", ">=0.1", True),  # on its way to 0.1.0
        ("0.1.0.dev0", "==0.1.0", False),
        ("0.2.0.dev0", "==0.1.0", False),
        ("0.2.0.dev0", ">=0.1,<0.2", False),
        ("0.2.0.dev0", "~=0.1", True),
        ("0.2.0.dev0", "~=0.1.0", False),
        ("0.2.0.dev0", ">=0.3", False),
        ("0.2.0.dev0", "==0.2.0.dev0", True),
        ("0.2.0.dev0", "", True),
    ],
)
def test_a_development_version_satisfies_lower_bounds_of_its_release_but_no_pin(
    version, asked, satisfied
):
    assert satisfies(Version(version), SpecifierSet(asked)) is satisfied
