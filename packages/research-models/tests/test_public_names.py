"""`import research_models`: quick, without torch, and it names the nearest of a mistyped name."""

import subprocess
import sys

import pytest
import research_models


def test_the_package_is_imported_without_torch_until_a_name_is_used():
    program = (
        "import sys, research_models\n"
        "print('torch' in sys.modules)\n"
        "research_models.MLP\n"
        "print('torch' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.split() == ["False", "True"], result.stderr


def test_every_public_name_is_there():
    for name in research_models.__all__:
        assert getattr(research_models, name) is not None
        assert name in dir(research_models)


def test_an_import_of_a_mistyped_name_names_the_nearest():
    with pytest.raises(ImportError, match=r"'ConvNett'.*'ConvNet'") as caught:
        from research_models import ConvNett  # noqa: F401
    assert caught.value.name == "research_models"
    with pytest.raises(ImportError, match=r"'Resnet'.*'ResNet'"):
        exec("from research_models import MLP, Resnet", {})
    with pytest.raises(ImportError, match=r"'ResNt'.*'ResNet'"):
        exec("def inside():\n    from research_models import (MLP,\n ResNt)\ninside()", {})
    with pytest.raises(ImportError, match=r"'Mlp'.*'MLP'"):
        exec("from research_models import Mlp as MLP", {})


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(ImportError, match=r"'zzzzzz'.*MLP.*ResNet"):
        from research_models import zzzzzz  # noqa: F401


def test_an_attribute_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"'ResNett'.*'ResNet'") as caught:
        _ = research_models.ResNett
    assert caught.value.name == "ResNett"
    assert not hasattr(research_models, "ResNett")
    assert getattr(research_models, "ResNett", None) is None


def test_a_module_that_is_no_public_name_can_be_imported():
    program = (
        "from research_models import masks, mixers; print(mixers.check_mask is masks.check_mask)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.strip() == "True", result.stderr
