"""Metrics are those of the definition, however the examples are cut into batches."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from research_train import accuracy, classification_report, mean_loss, metrics, perplexity
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
