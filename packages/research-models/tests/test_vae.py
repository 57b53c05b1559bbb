"""The variational autoencoder: its bound is that of torch.distributions, and it is a bound."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import elbo_by_distributions, moved
from research_models import VAE, flops, parameter_count
from research_models.vae import gaussian_kl
from torch.distributions import Normal, kl_divergence


def test_the_model_of_mnist_has_the_papers_layers():
    model = VAE()
    x = torch.rand(3, 1, 28, 28)
    assert parameter_count(model) == 815_824
    assert model(x).shape == (3,)
    assert model.sample(5).shape == (5, 784)
    assert flops(model, x) == 2 * 500 * (784 + 3 * 20 + 784)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            assert parameter.std().item() == pytest.approx(0.1, rel=0.02)


SEEDS = st.integers(0, 1000)


@settings(max_examples=25)
@given(
    inputs=st.integers(1, 9),
    hidden=st.integers(1, 9),
    latents=st.integers(1, 9),
    seed=st.integers(0, 2**32),
)
def test_any_size_has_the_parameters_of_the_closed_form(inputs, hidden, latents, seed):
    torch.manual_seed(seed)
    model = VAE(inputs, hidden, latents)
    expected = hidden * (2 * inputs + 3 * latents + 2) + inputs + 2 * latents
    assert parameter_count(model) == expected
    bound = model(torch.rand(4, inputs))
    assert bound.shape == (4,)
    assert bound.max() <= 0


def test_the_divergence_from_the_prior_is_that_of_torch_distributions():
    torch.manual_seed(0)
    mean = torch.randn(7, 3, 5, dtype=torch.float64)
    log_variance = torch.randn(7, 3, 5, dtype=torch.float64) * 3
    encoder = Normal(mean, (log_variance / 2).exp())
    expected = kl_divergence(encoder, Normal(0.0, 1.0)).sum(-1)
    assert torch.allclose(gaussian_kl(mean, log_variance), expected, rtol=1e-12)
    assert torch.equal(gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 3)), torch.zeros(2))
    small = torch.full((1,), 1e-3)
    assert gaussian_kl(0 * small, small).item() == pytest.approx(1e-6 / 4, rel=1e-3)


def test_the_bound_and_its_gradients_are_those_of_torch_distributions():
    torch.manual_seed(0)
    model = moved(VAE(12, 8, 3))
    x = torch.rand(6, 3, 4).round()
    ours = model.elbo(x, torch.Generator().manual_seed(1))
    noise = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    theirs = elbo_by_distributions(model, x, noise)
    assert (ours - theirs).abs().max() <= 5e-6
    gradients = [torch.autograd.grad(each.mean(), model.parameters()) for each in (ours, theirs)]
    for a, b in zip(*gradients, strict=True):
        assert (a - b).abs().max() <= 1e-6


def test_the_bound_lies_below_the_likelihood_by_the_divergence_from_the_posterior():
    """With one latent, where both integrals are sums over a grid."""
    torch.manual_seed(0)
    model = moved(VAE(5, 8, 1)).double()
    x = torch.rand(1, 5, dtype=torch.float64).round()
    z = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    step = z[1] - z[0]
    with torch.no_grad():
        logits = model.decode(z[:, None])
        log_p_x = -torch.nn.functional.softplus(logits * (1 - 2 * x)).sum(1)
        joint = log_p_x + Normal(0.0, 1.0).log_prob(z)
        likelihood = joint.logsumexp(0) + step.log()
        mean, log_variance = model.encode(x)
        encoder = Normal(mean, (log_variance / 2).exp()).log_prob(z).squeeze()
        gap = (encoder.exp() * (encoder - (joint - likelihood))).sum() * step
        bounds = model.elbo(x.expand(100_000, 5))
    error = bounds.std() / len(bounds) ** 0.5
    assert gap > 0.01
    assert abs(bounds.mean() - (likelihood - gap)) < 4 * error
    assert error < 0.1 * gap


def test_a_generator_decides_what_is_drawn_and_leaves_torchs_own_alone():
    model = VAE(12, 8, 3)
    x, before = torch.rand(6, 12), torch.get_rng_state()
    results = [model(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    samples = [model.sample(4, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*samples)
    assert samples[0].min() > 0
    assert samples[0].max() < 1
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(model(x), model(x))


def test_training_raises_the_bound():
    torch.manual_seed(0)
    model = VAE(16, 32, 2)
    patterns = torch.rand(4, 16).round()
    x = patterns[torch.randint(4, (100,))]
    before = model(x).mean()
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        (-model(x).mean()).backward()
        optimizer.step()
    assert model(x).mean() > -3 > before  # four patterns alike: log 1/4 = -1.4 at best


def test_the_bound_compiles_without_a_break():
    model = VAE(12, 8, 3)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    x = torch.rand(6, 12)
    torch.manual_seed(0)
    expected = model(x)
    torch.manual_seed(0)
    assert torch.allclose(compiled(x), expected)


def test_an_example_of_another_size_is_refused_with_both():
    with pytest.raises(ValueError, match=r"13.*12"):
        VAE(12, 8, 3)(torch.rand(2, 13))
