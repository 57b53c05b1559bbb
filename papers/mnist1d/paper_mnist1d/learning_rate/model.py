"""A training whose loss is a differentiable function of its learning rate (section 5.3)."""

from itertools import cycle, islice

import torch
from research_models import MLP
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy


class Training(nn.Module):
    """SGD on an MLP 40-50-10 with tanh, always from the same initial weights.

    learning_rate: the initial value of the only parameter that is learned. steps: updates of the
    MLP. batch_size: examples in each update.
    """

    def __init__(self, learning_rate: float, steps: int, batch_size: int):
        super().__init__()
        self.learning_rate = nn.Parameter(torch.tensor(learning_rate))
        self.classifier = MLP([40, 50, 10], activation=torch.tanh).requires_grad_(False)
        self.steps = steps
        self.batch_size = batch_size

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """inputs: (examples, 40). targets: (examples,). The batches are taken in their order.

        Returns the mean of the losses of all updates, a scalar that is differentiable with respect
        to the learning rate.
        """
        weights: dict[str, Tensor] = {
            name: weight.detach().requires_grad_()
            for name, weight in self.classifier.named_parameters()
        }
        batches = zip(inputs.split(self.batch_size), targets.split(self.batch_size), strict=True)
        losses = []
        for x, y in islice(cycle(batches), self.steps):
            loss = cross_entropy(functional_call(self.classifier, weights, x), y)
            gradients = torch.autograd.grad(loss, tuple(weights.values()), create_graph=True)
            weights = {
                name: weight - self.learning_rate * gradient
                for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
            }
            losses.append(loss)
        return torch.stack(losses).mean()
