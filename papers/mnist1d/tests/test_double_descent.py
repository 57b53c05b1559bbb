"""Noisy labels, and the errors of an MLP trained on them."""

from paper_mnist1d.data import NOISY_MNIST1D, generate, load_mnist1d
from paper_mnist1d.double_descent.model import perceptron
from research_data import make_dataset


def test_the_mlp_has_two_hidden_layers_of_its_width():
    sizes = [tuple(weight.shape) for weight in perceptron(47).parameters() if weight.ndim == 2]
    assert sizes == [(47, 40), (47, 47), (10, 47)]


def test_fifteen_per_cent_of_the_training_labels_are_drawn_anew_and_of_the_test_none():
    few = {**NOISY_MNIST1D.arguments, "num_samples": 1_000, "train_split": 0.9}
    noisy, clean = generate(**few), generate(**{**few, "label_noise": 0.0})
    for name in ("train_inputs", "test_inputs", "test_targets"):
        assert (noisy[name] == clean[name]).all()
    changed = noisy["train_targets"] != clean["train_targets"]
    assert abs(changed.mean() - 0.15 * 0.9) < 0.04  # a tenth draw what they had


def test_the_data_has_few_examples_to_train_on_and_many_to_test_on():
    data = load_mnist1d(make_dataset(NOISY_MNIST1D))
    assert (len(data.train.inputs), len(data.test.inputs)) == (4_000, 12_000)


def test_a_width_trains_and_evaluates_and_a_resumed_run_is_the_same(trained, resumed, weights):
    whole = trained("double-descent", "width=16", "steps=60")
    assert 0.3 < whole.record.metrics["test/error"] < 0.9
    in_two = resumed("double-descent", 35, 60, "width=16")  # stopped within the first epoch
    assert weights(in_two) == weights(whole)
    assert in_two.record.metrics == whole.record.metrics
