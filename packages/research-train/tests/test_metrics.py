"""Metrics are those of the definition, however the examples are cut into batches."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from research_data import ResearchError
from research_train import (
    accuracy,
    classification_loss,
    classification_report,
    mean_loss,
    perplexity,
)
from research_train.loop import metrics
from torch import nn


@given(examples=st.integers(1, 40), chunk=st.integers(1, 50), seed=st.integers(0, 1000))
def test_uneven_batches_change_nothing(examples, chunk, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(examples, 4, generator=generator)
    targets = torch.randint(3, (examples,), generator=generator)
    model = nn.Linear(4, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "CHUNK", chunk)
        cut = mean_loss(model, (inputs, targets)) | accuracy(model, (inputs, targets))
    with torch.no_grad():
        logits = model(inputs).double()
    log_probabilities = logits.log_softmax(-1).gather(1, targets[:, None])
    assert cut["test/loss"] == pytest.approx(-log_probabilities.mean().item(), rel=1e-5)
    assert cut["test/accuracy"] == (logits.argmax(-1) == targets).sum().item() / examples


def test_perplexity_counts_the_tokens_that_are_targets():
    class Uniform(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Parameter(torch.zeros(7))

        def forward(self, tokens):
            return self.logits.expand(*tokens.shape, 7)

    targets = torch.tensor([[1, 2, -100], [3, -100, -100]])
    result = perplexity(Uniform(), (torch.zeros(2, 3, dtype=torch.long), targets), name="valid")
    assert result == {
        "valid/loss": pytest.approx(math.log(7)),
        "valid/perplexity": pytest.approx(7),
    }


def test_evaluation_mode_is_left_as_it_was_found():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2))
    data = torch.randn(8, 4), torch.zeros(8, dtype=torch.long)
    assert mean_loss(model, data) == mean_loss(model, data)  # nothing dropped out
    assert model.training


def test_a_class_that_never_occurs_has_its_row():
    model = nn.Linear(4, 3)
    report = classification_report(model, (torch.randn(5, 4), torch.zeros(5).long()), list("abc"))
    assert [row["examples"] for row in report.table] == [5, 0, 0]
    assert sum(map(sum, report.confusion)) == 5


class Perfect(nn.Module):
    """Tokens (examples, length) or numbers (examples,) to logits that name each of them."""

    def __init__(self, classes=11):
        super().__init__()
        self.table = nn.Parameter(100 * torch.eye(classes))

    def forward(self, tokens):
        return self.table[tokens]


METRICS = {
    "accuracy": accuracy,
    "mean_loss": mean_loss,
    "perplexity": perplexity,
    "report": lambda model, data: classification_report(model, data, [*"abcdefghijk"]),
    "loss": classification_loss,
}


@pytest.mark.parametrize("name", METRICS)
def test_shapes_that_do_not_fit_are_refused_with_both(name):
    numbers = torch.arange(11)
    with pytest.raises(ResearchError, match=r"\(11, 11\).*\(11, 1\)"):
        METRICS[name](Perfect(), (numbers, numbers[:, None]))
    with pytest.raises(ResearchError, match=r"\(11,\).*\(10,\)"):
        METRICS[name](Perfect(), (numbers, numbers[:10]))
    with pytest.raises(ResearchError, match=r"\(11, 11\).*\(11, 11\)"):
        # As many tokens as classes: torch itself takes the one for the other.
        METRICS[name](lambda_model(lambda x: x.float()), (torch.eye(11), torch.eye(11).long()))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("kind", [torch.float32, torch.bool])
def test_targets_that_are_no_class_numbers_are_refused(name, kind):
    with pytest.raises(ResearchError, match="integer"):
        METRICS[name](Perfect(), (torch.arange(11), torch.ones(11, dtype=kind)))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("odd", [11, -1, -7])
def test_targets_that_are_no_class_are_named(name, odd):
    with pytest.raises(ResearchError, match=rf"{odd} .*\b11\b"):
        METRICS[name](Perfect(), (torch.arange(3), torch.tensor([0, 1, odd])))


@pytest.mark.parametrize("name", [name for name in METRICS if name != "loss"])
def test_nothing_to_count_is_refused(name):
    with pytest.raises(ResearchError, match="counts"):
        METRICS[name](Perfect(), (torch.arange(3), torch.full((3,), -100)))
    with pytest.raises(ResearchError, match="no examples"):
        METRICS[name](Perfect(), (torch.zeros(0).long(), torch.zeros(0).long()))


def test_tokens_are_counted_one_by_one_and_masked_ones_not():
    tokens = torch.randint(11, (6, 4))
    targets = tokens.clone()
    targets[0, :2] = -100
    targets[1, 3] = (tokens[1, 3] + 1) % 11
    data = (tokens, targets)
    assert accuracy(Perfect(), (tokens, tokens)) == {"test/accuracy": 1.0}
    assert accuracy(Perfect(), data) == {"test/accuracy": 21 / 22}
    report = classification_report(Perfect(), data, [*"abcdefghijk"])
    assert report.metrics == accuracy(Perfect(), data)
    assert sum(map(sum, report.confusion)) == 22
    mean = mean_loss(Perfect(), data)["test/loss"]
    assert classification_loss(Perfect(), data).item() == pytest.approx(mean, rel=1e-6)
    assert accuracy(Perfect(), (tokens, targets.int())) == accuracy(Perfect(), data)


def test_a_report_names_every_class_and_no_other():
    data = torch.arange(11), torch.arange(11)
    for labels in (["a"], [*"abcdefghijkl"]):
        with pytest.raises(ResearchError, match=f"{len(labels)} labels.*11 classes"):
            classification_report(Perfect(), data, labels)


def test_where_a_logit_is_not_a_number_nothing_is_right():
    model = Perfect()
    with torch.no_grad():
        model.table[0, 5] = math.nan
    data = torch.arange(2), torch.tensor([5, 1])  # argmax takes NaN for the largest
    assert accuracy(model, data) == {"test/accuracy": 0.5}
    with pytest.raises(ResearchError, match="NaN for 1 of 2"):
        classification_report(model, data, [*"abcdefghijk"])


def test_one_logit_for_two_classes_is_refused():
    with pytest.raises(ResearchError, match="two"):
        accuracy(nn.Linear(4, 1), (torch.randn(5, 4), torch.zeros(5).long()))


def test_a_perplexity_beyond_all_floats_is_infinite():
    model = Perfect()
    with torch.no_grad():
        model.table *= 20
    assert perplexity(model, (torch.zeros(1).long(), torch.ones(1).long()))["test/perplexity"] == (
        math.inf
    )


def test_each_part_is_left_in_the_mode_that_it_was_in():
    frozen = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout()).eval()
    model = nn.Sequential(frozen, nn.Linear(4, 2), nn.Dropout())
    before = [module.training for module in model.modules()]
    accuracy(model, (torch.randn(8, 4), torch.zeros(8).long()))
    assert [module.training for module in model.modules()] == before
    with pytest.raises(ResearchError):
        mean_loss(model, (torch.randn(8, 4), torch.zeros(8, 1).long()))
    assert [module.training for module in model.modules()] == before
    assert torch.is_grad_enabled()


def lambda_model(function):
    class Model(nn.Module):
        def forward(self, x):
            return function(x)

    return Model()
