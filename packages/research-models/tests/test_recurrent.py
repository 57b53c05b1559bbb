"""GRU and LSTM: equal to torch's and to the equations, with padding, and with state over chunks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import gru_by_steps, lstm_by_steps, moved
from research_models import (
    RecurrentClassifier,
    RecurrentLanguageModel,
    detach_state,
    parameter_count,
)
from torch import nn

CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}
GATES = {"gru": 3, "lstm": 4}
few = settings(max_examples=25)


def unpadded(x, mask):
    """Each row's real steps as a batch of one."""
    return [row[real].unsqueeze(0) for row, real in zip(x, mask, strict=True)]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_classifier_is_torchs_network_and_a_linear_layer(cell, bidirectional):
    x = torch.randn(4, 7, 3)
    options = {"layers": 2, "bidirectional": bidirectional}
    network = CELLS[cell](3, 5, num_layers=2, batch_first=True, bidirectional=bidirectional)
    for pooling in ("last", "mean", "flatten"):
        length = 7 if pooling == "flatten" else None
        model = moved(RecurrentClassifier(3, 5, 2, cell, pooling=pooling, length=length, **options))
        network.load_state_dict(model.recurrent.state_dict())
        outputs, state = network(x)
        state = state if cell == "gru" else state[0]
        expected = {
            "last": torch.cat([state[2], state[3]], -1) if bidirectional else state[1],
            "mean": outputs.mean(1),
            "flatten": outputs.flatten(1),
        }
        assert torch.equal(model(x), model.linear(expected[pooling]))
        if not bidirectional:
            assert torch.equal(state[1], outputs[:, -1])


def test_the_gru_of_mnist_1d_reads_points_without_a_feature_axis():
    model = RecurrentClassifier(1, 6, 10, bidirectional=True, pooling="flatten", length=40)
    assert parameter_count(model) == 5_134  # arXiv 2011.14439, Table 1
    x = torch.randn(3, 40)
    assert torch.equal(model(x), model(x.unsqueeze(-1)))


@few
@given(st.data())
def test_a_padded_batch_is_classified_as_its_sequences_by_themselves(data):
    batch, length = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9))
    torch.manual_seed(data.draw(st.integers(0, 9)))
    model = moved(
        RecurrentClassifier(
            2,
            data.draw(st.integers(1, 6)),
            3,
            data.draw(st.sampled_from(list(CELLS))),
            layers=data.draw(st.integers(1, 2)),
            bidirectional=data.draw(st.booleans()),
            pooling=data.draw(st.sampled_from(["last", "mean"])),
        )
    )
    x, mask = torch.randn(batch, length, 2), torch.rand(batch, length) < 0.6
    mask[:, data.draw(st.integers(0, length - 1))] = True
    together = model(x, mask)
    one_by_one = torch.cat([model(each) for each in unpadded(x, mask)])
    assert (together - one_by_one).abs().max() <= 1e-6
    assert (model(x, torch.ones_like(mask)) - model(x)).abs().max() <= 1e-6


def test_padding_is_flattened_as_zeros_and_gets_no_gradient():
    model = moved(RecurrentClassifier(2, 3, 4, pooling="flatten", length=5))
    x = torch.randn(2, 5, 2, requires_grad=True)
    mask = torch.tensor([[True, True, True, False, False], [False, True, False, True, True]])
    outputs = torch.zeros(2, 5, 3)
    with torch.no_grad():
        for row, each in enumerate(unpadded(x, mask)):
            outputs[row, mask[row]] = model.recurrent(each)[0][0]
    logits = model(x, mask)
    assert (logits - model.linear(outputs.flatten(1))).abs().max() <= 1e-6
    logits.sum().backward()
    assert torch.equal(x.grad.ne(0).any(-1), mask)


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_row_without_a_real_step_is_pooled_to_zero(cell, pooling):
    model = moved(RecurrentClassifier(2, 3, 4, cell, bidirectional=True, pooling=pooling))
    x, mask = torch.randn(2, 5, 2), torch.ones(2, 5, dtype=torch.bool)
    mask[1] = False
    assert torch.equal(model(x, mask)[1], model.linear(torch.zeros(6)))


@pytest.mark.parametrize(("cell", "by_steps"), [("gru", gru_by_steps), ("lstm", lstm_by_steps)])
@pytest.mark.parametrize("tied", [False, True])
def test_a_language_model_is_embedding_layers_and_head(cell, by_steps, tied):
    width = 6 if tied else 4
    model = moved(RecurrentLanguageModel(11, 6, width, cell, layers=2, tied=tied))
    tokens = torch.randint(11, (3, 8))
    network = CELLS[cell](width, 6, num_layers=2, batch_first=True)
    network.load_state_dict(model.recurrent.state_dict())
    embedded = model.embedding(tokens)
    logits = model(tokens)
    assert torch.equal(logits, model.head(network(embedded)[0]))
    reference = model.head(by_steps(model.recurrent, embedded))
    assert (logits - reference).abs().max() <= 1e-6
    weights = torch.randn_like(logits)
    ours, theirs = (
        torch.autograd.grad((each * weights).sum(), model.parameters())
        for each in (logits, reference)
    )
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() <= 1e-5


@few
@given(
    cell=st.sampled_from(list(CELLS)),
    chunks=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    padded=st.booleans(),
    seed=st.integers(0, 9),
)
def test_chunks_with_state_give_what_one_pass_gives(cell, chunks, padded, seed):
    torch.manual_seed(seed)
    model = moved(RecurrentLanguageModel(11, 6, cell=cell, layers=2))
    tokens = torch.randint(11, (3, sum(chunks)))
    mask = torch.rand(tokens.shape) < 0.5 if padded else None  # some chunks have no real token
    whole, end = model.continue_from(None, tokens, mask)
    assert torch.equal(whole, model(tokens, mask))
    state, start, parts = None, 0, []
    for length in chunks:
        place = slice(start, start + length)
        part = None if mask is None else mask[:, place]
        logits, state = model.continue_from(state, tokens[:, place], part)
        parts.append(logits)
        start += length
    real = slice(None) if mask is None else mask
    assert (torch.cat(parts, 1) - whole)[real].abs().sum() <= 1e-4
    for a, b in zip(state, end, strict=True):
        assert a.shape == (2, 3, 6)
        assert (a - b).abs().max() <= 1e-6


@pytest.mark.parametrize("cell", CELLS)
def test_the_logits_and_state_of_a_padded_batch_are_those_of_its_sequences(cell):
    model = moved(RecurrentLanguageModel(11, 6, cell=cell, layers=2))
    tokens, mask = torch.randint(11, (4, 7)), torch.rand(4, 7) < 0.6
    mask[:, 3] = True
    logits, state = model.continue_from(None, tokens, mask)
    for row, each in enumerate(unpadded(tokens, mask)):
        alone, end = model.continue_from(None, each)
        assert (logits[row][mask[row]] - alone[0]).abs().max() <= 1e-6
        for a, b in zip(state, end, strict=True):
            assert (a[:, row] - b[:, 0]).abs().max() <= 1e-6


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_stop_at_a_detached_state_and_pass_one_that_is_not(cell):
    model = moved(RecurrentLanguageModel(11, 6, cell=cell))
    first, second = torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 3, dtype=torch.long)
    for through in (False, True):
        model.zero_grad()
        state = model.continue_from(None, first)[1]
        state = state if through else detach_state(state)
        model.continue_from(state, second)[0].sum().backward()
        assert model.embedding.weight.grad[0].ne(0).any() == through
    assert detach_state(None) is None


@pytest.mark.parametrize("cell", CELLS)
def test_without_a_mask_it_is_one_graph_where_torch_allows(cell):
    torch.compiler.reset()
    classifier = moved(RecurrentClassifier(2, 3, 4, cell, bidirectional=True))
    language = moved(RecurrentLanguageModel(11, 6, cell=cell))
    with torch._dynamo.config.patch(allow_rnn=True):
        for model, x in ((classifier, torch.randn(2, 5, 2)), (language, torch.ones(2, 5).long())):
            compiled = torch.compile(model, fullgraph=True, backend="eager")
            assert torch.equal(compiled(x), model(x))


@few
@given(
    inputs=st.integers(1, 5),
    hidden=st.integers(1, 9),
    layers=st.integers(1, 3),
    cell=st.sampled_from(list(CELLS)),
    bidirectional=st.booleans(),
    length=st.none() | st.integers(1, 4),
)
def test_a_classifiers_parameters_are_the_closed_form(
    inputs, hidden, layers, cell, bidirectional, length
):
    pooling = "flatten" if length else "mean"
    model = RecurrentClassifier(
        inputs, hidden, 3, cell, layers, bidirectional, pooling=pooling, length=length
    )
    ways = 2 if bidirectional else 1
    count = 0
    for layer in range(layers):
        width = ways * hidden if layer else inputs
        count += ways * GATES[cell] * hidden * (width + hidden + 2)
    assert parameter_count(model) == count + 3 * (ways * hidden * (length or 1) + 1)
    assert model(torch.randn(2, length or 4, inputs)).shape == (2, 3)


@few
@given(
    vocabulary=st.integers(1, 20),
    hidden=st.integers(1, 9),
    embedding=st.none() | st.integers(1, 9),
    cell=st.sampled_from(list(CELLS)),
    layers=st.integers(1, 3),
)
def test_a_language_models_parameters_are_the_closed_form(
    vocabulary, hidden, embedding, cell, layers
):
    model = RecurrentLanguageModel(vocabulary, hidden, embedding, cell, layers)
    width = embedding or hidden
    of_layers = GATES[cell] * hidden * (width + hidden + 2 + (layers - 1) * 2 * (hidden + 1))
    assert parameter_count(model) == vocabulary * (width + hidden + 1) + of_layers
    if width == hidden:
        tied = RecurrentLanguageModel(vocabulary, hidden, embedding, cell, layers, tied=True)
        assert tied.head.weight is tied.embedding.weight
        assert parameter_count(tied) == vocabulary * (hidden + 1) + of_layers
    assert model(torch.zeros(2, 3, dtype=torch.long)).shape == (2, 3, vocabulary)


@pytest.mark.filterwarnings("error")  # torch warns of dropout where there is one layer
@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_acts_in_training_only_on_what_layers_hand_on(layers):
    model = RecurrentLanguageModel(11, 200, layers=layers, dropout=0.5)
    assert model.recurrent.dropout == (0.5 if layers > 1 else 0.0)
    inputs = {}
    model.head.register_forward_hook(lambda _, given, __: inputs.update(head=given[0]))
    model.recurrent.register_forward_hook(lambda _, given, __: inputs.update(layers=given[0]))
    tokens = torch.randint(11, (4, 20))
    model.train()(tokens)
    for given_ in inputs.values():
        assert abs((given_ == 0).float().mean().item() - 0.5) < 0.05
    assert torch.equal(model.eval()(tokens), model(tokens))
    assert inputs["head"].ne(0).all()


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda: RecurrentClassifier(1, 2, 3, "rnn"), "gru.*lstm.*'rnn'"),
        (lambda: RecurrentClassifier(1, 2, 3, pooling="max"), "last.*mean.*flatten.*'max'"),
        (lambda: RecurrentClassifier(1, 2, 3, pooling="flatten"), "length.*None"),
        (lambda: RecurrentClassifier(1, 2, 3, length=7), "length.*7.*last"),
        (
            lambda: RecurrentClassifier(1, 2, 3, pooling="flatten", length=7)(torch.zeros(2, 6)),
            "6 steps.*7",
        ),
        (lambda: RecurrentLanguageModel(5, 6, 7, tied=True), "7.*6"),
        (
            lambda: RecurrentClassifier(1, 2, 3)(torch.zeros(2, 6), torch.ones(2, 6)),
            "bool.*float32",
        ),
        (
            lambda: RecurrentClassifier(1, 2, 3)(torch.zeros(2, 6), torch.ones(2, 5) > 0),
            r"\(2, 5\).*\(2, 6\)",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_both_values(make, facts):
    with pytest.raises(ValueError, match=facts):
        make()
