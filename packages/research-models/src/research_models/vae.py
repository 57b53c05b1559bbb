"""The variational autoencoder of binary images."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class VAE(nn.Module):
    """A variational autoencoder (Kingma and Welling, arXiv 1312.6114) of numbers between 0 and 1.

    As in the paper's experiments on MNIST (section 5): a Bernoulli decoder (appendix C.1) and a
    Gaussian encoder (C.2), each with one hidden layer of tanh units.

        encoder    h = tanh(W3 x + b3),  mean = W4 h + b4,  log variance = W5 h + b5
        decoder    logits = W2 tanh(W1 z + b1) + b2
        prior      z ~ N(0, I)

    inputs: numbers of an example, 784 for MNIST.
    hidden: hidden units of encoder and decoder, 500 for MNIST in the paper.
    latents: dimension of z; the paper has 3, 5, 10, 20 and 200 (Figure 2).

    Parameters: hidden (2 inputs + 3 latents + 2) + inputs + 2 latents, 815,824 by default. The
    paper trains by Adagrad on batches of 100.
    Initialisation: weights and biases from N(0, 0.01), read as the variance: a standard deviation
    of 0.1. Departs from the paper in that it adds no prior on the weights.
    """

    def __init__(self, inputs: int = 784, hidden: int = 500, latents: int = 20):
        super().__init__()
        self.encoder = nn.Linear(inputs, hidden)
        self.mean = nn.Linear(hidden, latents)
        self.log_variance = nn.Linear(hidden, latents)
        self.decoder = nn.Linear(latents, hidden)
        self.logits = nn.Linear(hidden, inputs)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The lower bound on each example's log likelihood: `elbo`."""
        return self.elbo(x, generator)

    def elbo(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The lower bound with one sample of z for each example (equation 10 with L = 1), in nats.

        x: (batch, ...), numbers from 0 to 1, flattened to (batch, inputs).
        generator: of z, on the model's device; None for torch's global one.
        Returns (batch,): the log likelihood of x given z, less the divergence of the encoder from
        the prior. Its negative mean is the loss.
        """
        mean, log_variance = self.encode(x)
        logits = self.decode(reparametrised(mean, log_variance, generator))
        error = functional.binary_cross_entropy_with_logits(logits, x.flatten(1), reduction="none")
        return -error.sum(1) - gaussian_kl(mean, log_variance)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (batch, ...). Returns mean and log variance of z given x, each (batch, latents)."""
        x = x.flatten(1)
        if x.shape[1] != self.encoder.in_features:
            raise ValueError(
                f"an example has {x.shape[1]} numbers, but the model reads "
                f"{self.encoder.in_features}"
            )
        h = torch.tanh(self.encoder(x))
        return self.mean(h), self.log_variance(h)

    def decode(self, z: Tensor) -> Tensor:
        """z: (batch, latents). Returns the logits of each number being 1, (batch, inputs)."""
        return self.logits(torch.tanh(self.decoder(z)))

    def sample(self, number: int, generator: torch.Generator | None = None) -> Tensor:
        """The decoder's probabilities of 1 for z drawn from the prior, (number, inputs)."""
        prior = self.mean.weight.new_zeros(number, self.mean.out_features)
        return self.decode(reparametrised(prior, prior, generator)).sigmoid()


def reparametrised(
    mean: Tensor, log_variance: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """A sample of N(mean, exp(log_variance)) with gradients to both (section 2.4).

    mean, log_variance: the same shape, which the result has as well. generator: on their device.
    """
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
    return mean + (log_variance / 2).exp() * noise


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The divergence KL(N(mean, exp(log_variance)) || N(0, I)) in nats (appendix B).

    mean, log_variance: (..., latents). Returns (...).
    """
    return (mean**2 + log_variance.expm1() - log_variance).sum(-1) / 2
