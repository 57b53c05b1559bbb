"""ResNet: equal to torchvision's, with its names; the CIFAR form has the paper's parameters."""

import pytest
import torch
from parity import cifar_of_torchvisions_blocks, moved_norms
from research_models import ResNet, parameter_count
from torch import nn

CIFAR = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962}  # Table 6
CHANNELS_LAST = torch.channels_last


def reference(depth):
    import torchvision  # not where every worker of the tests would: it takes seconds

    return getattr(torchvision.models, f"resnet{depth}")()


def assert_equal_in_training_and_evaluation(ours, theirs, x):
    """Outputs, gradients and running statistics, over two steps of training and in evaluation."""
    for mode in (True, True, False):
        outputs = []
        for model in (ours, theirs):
            model.train(mode).zero_grad()
            outputs.append(model(x))
            weights = torch.linspace(-1, 1, outputs[-1].numel()).view_as(outputs[-1])
            (outputs[-1] * weights).sum().backward()
        assert torch.equal(*outputs)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a.grad, b.grad)
        for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("depth", [18, 50])
def test_a_network_for_imagenet_is_torchvisions(depth):
    torch.manual_seed(0)
    model, theirs = moved_norms(ResNet.imagenet(depth)), reference(depth)
    theirs.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 65, 96)
    assert_equal_in_training_and_evaluation(model, theirs, x)


def test_a_network_for_cifar_is_its_blocks_in_order():
    torch.manual_seed(0)
    model = moved_norms(ResNet.cifar(20))
    x = torch.randn(4, 3, 32, 32)
    theirs = cifar_of_torchvisions_blocks(model, blocks=3)
    assert_equal_in_training_and_evaluation(model, theirs, x)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_the_state_dict_has_torchvisions_names_and_shapes_in_its_order(depth):
    with torch.device("meta"):
        ours, theirs = ResNet.imagenet(depth), reference(depth)
    names = [(name, tensor.shape) for name, tensor in ours.state_dict().items()]
    assert names == [(name, tensor.shape) for name, tensor in theirs.state_dict().items()]
    parameters = [name for name, _ in ours.named_parameters()]
    assert parameters == [name for name, _ in theirs.named_parameters()]


@pytest.mark.parametrize("depth", CIFAR)
def test_the_networks_for_cifar_have_the_papers_parameters(depth):
    with torch.device("meta"):
        model = ResNet.cifar(depth)
    assert parameter_count(model) == CIFAR[depth]
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


def test_features_are_the_stages():
    model = ResNet.imagenet(18).eval()
    features = model.features(torch.randn(1, 3, 64, 64))
    shapes = [tuple(each.shape[1:]) for each in features]
    assert shapes == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    shapes = [each.shape[1:] for each in ResNet.cifar(8).features(torch.randn(2, 3, 32, 32))]
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


@pytest.mark.parametrize("make", [lambda: ResNet.cifar(14), lambda: ResNet.imagenet(18)])
def test_a_network_computes_the_same_in_channels_last_and_keeps_the_layout(make):
    torch.manual_seed(0)
    model = moved_norms(make()).double()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    weights = torch.randn_like(model(x))
    results = []
    for layout in (torch.contiguous_format, CHANNELS_LAST):
        model.to(memory_format=layout).zero_grad()
        y = model(x.to(memory_format=layout))
        (y * weights).sum().backward()
        results.append([y, *(parameter.grad.clone() for parameter in model.parameters())])
    for plain, last in zip(*results, strict=True):
        assert torch.allclose(plain, last, rtol=1e-8, atol=1e-8)
    features = model.features(x.to(memory_format=CHANNELS_LAST))
    assert all(each.is_contiguous(memory_format=CHANNELS_LAST) for each in features)


def test_weights_begin_as_he_draws_them():
    torch.manual_seed(0)
    model = ResNet.imagenet(18)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            places = module.out_channels * module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / places) ** 0.5, rel=0.04), name
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all()
            assert module.bias.eq(0).all()
    assert model.fc.weight.abs().max() <= 512**-0.5
    assert not model.fc.bias.any()


def test_options_a_and_b_differ_in_the_parameters_of_the_shortcuts():
    with torch.device("meta"):
        a, b = ResNet.imagenet(34, shortcut="A"), ResNet.imagenet(34)
        extra = ResNet.cifar(20, outputs=100, shortcut="B").state_dict().keys()
        extra -= ResNet.cifar(20).state_dict().keys()
    more = b.state_dict().keys() - a.state_dict().keys()
    assert more == {name for name in b.state_dict() if "downsample" in name}
    assert {name.split(".downsample")[0] for name in extra} == {"layer2.0", "layer3.0"}


@pytest.mark.parametrize("make", [lambda: ResNet.cifar(8), lambda: ResNet.imagenet(50, outputs=7)])
def test_a_network_compiles_without_a_break(make):
    torch.manual_seed(0)
    model = make()
    x = torch.randn(2, 3, 32, 32)
    expected = model(x)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda: ResNet.cifar(18), r"6 n \+ 2.*18"),
        (lambda: ResNet.cifar(2), r"6 n \+ 2.*2"),
        (lambda: ResNet.imagenet(20), "18, 34, 50, 101, 152.*20"),
        (lambda: ResNet.cifar(20, shortcut="C"), "A, B.*'C'"),
        (lambda: ResNet([1], 8, 2, block="plain"), "basic, bottleneck.*'plain'"),
        (lambda: ResNet([1], 8, 2, stem="mnist"), "cifar, imagenet.*'mnist'"),
        (lambda: ResNet([1, 0], 8, 2), r"\[1, 0\]"),
    ],
)
def test_what_cannot_be_is_refused_with_the_value(make, facts):
    with pytest.raises(ValueError, match=facts):
        make()
