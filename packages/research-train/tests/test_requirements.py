"""What a paper requires of our packages is what runs, or it says why not."""

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from research_train.requirements import satisfies


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
def test_versions(version, asked, satisfied):
    assert satisfies(Version(version), SpecifierSet(asked)) is satisfied


@pytest.fixture
def requiring(workspace):
    """Have the tiny paper require something of research-train, which lies in its workspace."""
    package = workspace.root / "packages" / "research-train"
    package.mkdir(parents=True)
    (package / "pyproject.toml").write_text('[project]\nname = "research-train"\n')

    def require(requirement):
        with (workspace.site / "paper_tiny-0.1.0.dist-info" / "METADATA").open("a") as file:
            file.write(f"Requires-Dist: {requirement}\n")

    return require


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_version_that_is_not_there_is_refused_and_nothing_is_trained(
    workspace, requiring, command
):
    requiring("research-train==0.0.1")
    result = workspace.run(command, "--paper", "tiny")
    result.refused(1, "paper-tiny requires research-train==0.0.1", "the workspace has")
    assert not workspace.outputs.exists()


def test_a_version_that_is_there_runs_and_is_recorded(workspace, requiring):
    requiring("research-train>=0.1")
    result = workspace.train("second")
    assert result.code == 0, result.errors
    [record] = workspace.records()
    assert record["packages"]["research-train"] in result.errors.splitlines()[0]


def test_what_a_required_package_requires_is_checked_too(workspace, requiring):
    """research-train itself requires research-data, whatever that says."""
    requiring("research-train")
    package = workspace.root / "packages" / "research-data"
    package.mkdir()
    (package / "pyproject.toml").write_text('[project]\nname = "research-data"\n')
    assert workspace.train("second").code == 0
    [record] = workspace.records()
    assert "research-data" in record["packages"]
