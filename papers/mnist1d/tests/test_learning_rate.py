"""A learning rate's gradient through a training."""

import pytest
import torch
from paper_mnist1d.learning_rate.model import Training
from torch.nn.functional import cross_entropy


def data():
    return torch.randn(70, 40), torch.randint(10, (70,))


def test_the_loss_is_that_of_sgd_by_torch_over_the_batches_in_their_order():
    training = Training(learning_rate=0.5, steps=9, batch_size=10)
    inputs, targets = data()
    mean = training(inputs, targets)
    classifier = training.classifier.requires_grad_(True)
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.5)
    losses = []
    for step in range(9):  # the eighth begins again at the first example
        batch = slice(step % 7 * 10, step % 7 * 10 + 10)
        loss = cross_entropy(classifier(inputs[batch]), targets[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert mean.item() == pytest.approx(sum(losses) / 9, rel=1e-5)


def test_its_gradient_is_the_slope_over_the_learning_rate():
    inputs, targets = data()
    training = Training(learning_rate=0.5, steps=9, batch_size=10).double()
    training(inputs.double(), targets).backward()
    gradient = training.learning_rate.grad.item()
    values = []
    for rate in (0.5 + 1e-5, 0.5 - 1e-5):
        training.learning_rate.data.fill_(rate)
        values.append(training(inputs.double(), targets).item())
    assert gradient == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


def test_it_trains_and_evaluates_and_a_resumed_run_is_the_same(trained, resumed, weights):
    few = ["start=1.5", "inner_steps=20"]
    whole = trained("learning-rate", *few, "steps=4")
    assert 0 < whole.record.metrics["learning_rate"] != 1.5
    in_two = resumed("learning-rate", 2, 4, *few)
    assert weights(in_two) == weights(whole)
    assert in_two.record.metrics == whole.record.metrics
