"""GRU and LSTM: a sequence classifier and a language model.

`torch.compile` leaves torch's GRU and LSTM out of a graph unless `torch._dynamo.config.allow_rnn`
is True; with it, both models are one graph where no mask is given. With a mask they can't be:
packing reads the lengths.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from research_models.choices import one_of
from research_models.masks import check_mask

CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}
Cell = Literal["gru", "lstm"]
State = tuple[Tensor, ...]
"""Hidden state of a GRU; hidden and cell state of an LSTM: each (layers, batch, hidden)."""


class RecurrentClassifier(nn.Module):
    """A GRU or LSTM over a sequence, and a linear layer on what it gives.

    GRU: Cho et al., arXiv 1406.1078, with the reset gate after the matrix product, as cuDNN and
    torch have it. LSTM: Hochreiter and Schmidhuber 1997 with forget gates, without peepholes.

    inputs: features of a step.
    hidden: hidden units of each layer and direction.
    outputs: features of the result, such as the number of classes.
    cell: "gru" or "lstm".
    bidirectional: read the sequence in both directions (Schuster and Paliwal 1997).
    dropout: share of features set to 0 between layers and before the linear layer.
    pooling: what the linear layer reads.
        "last": the last layer's state after the last real step; in the backward direction, the
            state after the first step, which is the last one read.
        "mean": the mean of the last layer's outputs over the real steps.
        "flatten": the outputs of all steps one after the other, 0 at padding. Needs length. The GRU
            of MNIST-1D (arXiv 2011.14439) is
            `RecurrentClassifier(1, 6, 10, bidirectional=True, pooling="flatten", length=40)`.
    length: steps of every sequence, for "flatten" only.

    Initialisation: torch's, uniform within 1 / sqrt(hidden); the linear layer within
    1 / sqrt(its inputs).
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        cell: Cell = "gru",
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        pooling: Literal["last", "mean", "flatten"] = "last",
        length: int | None = None,
    ):
        super().__init__()
        one_of("pooling", pooling, ("last", "mean", "flatten"))
        if (pooling == "flatten") != (length is not None):
            raise ValueError(f"length is for flatten, which needs it: got {length} for {pooling}")
        self.recurrent = make_recurrent(cell, inputs, hidden, layers, dropout, bidirectional)
        self.dropout = nn.Dropout(dropout)
        features = hidden * (2 if bidirectional else 1)
        self.linear = nn.Linear(features * (length or 1), outputs)
        self.pooling = pooling
        self.length = length

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (batch, length, inputs), or (batch, length) when inputs is 1.

        mask: (batch, length) bool, True is a real step; None when all are. Padding may stand
        anywhere. A row without a real step is pooled to 0. Returns (batch, outputs).
        """
        if x.ndim == 2 and self.recurrent.input_size == 1:
            x = x.unsqueeze(-1)
        outputs, state = run_over_real(self.recurrent, x, mask)
        return self.linear(self.dropout(self.pooled(outputs, state, mask)))

    def pooled(self, outputs: Tensor, state: State, mask: Tensor | None) -> Tensor:
        """What the linear layer reads, (batch, features); outputs are 0 at padding."""
        if self.pooling == "last":
            directions = 2 if self.recurrent.bidirectional else 1
            return torch.cat(state[0][-directions:].unbind(), dim=-1)
        if self.pooling == "mean":
            if mask is None:
                return outputs.mean(1)
            return outputs.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        if outputs.shape[1] != self.length:
            raise ValueError(
                f"the sequences have {outputs.shape[1]} steps, but the model reads {self.length}"
            )
        return outputs.flatten(1)


class RecurrentLanguageModel(nn.Module):
    """An LSTM or GRU that predicts the next token: embedding, layers, linear head.

    Zaremba et al., arXiv 1409.2329: dropout acts on connections between layers only (Figure 2), so
    also on the embeddings and before the head. Their large model, 66 million parameters, is
    `RecurrentLanguageModel(10_000, 1500, layers=2, dropout=0.65)`.

    vocabulary: number of tokens.
    hidden: units of each layer.
    embedding: width of the embeddings; None for that of the layers.
    cell: "lstm" or "gru", as in RecurrentClassifier.
    dropout: share of features set to 0 at each of these places.
    tied: the head's weight is the embedding's (Press and Wolf, arXiv 1608.05859); the head keeps a
        bias. The embedding must be as wide as the layers.

    Initialisation: torch's, uniform within 1 / sqrt(hidden) for layers and head, and likewise
    within 1 / sqrt(embedding) for the embedding. Departs from the paper, whose large model draws
    all parameters uniformly within 0.04, and whose LSTM has one bias a gate where torch has two.
    """

    def __init__(
        self,
        vocabulary: int,
        hidden: int,
        embedding: int | None = None,
        cell: Cell = "lstm",
        layers: int = 1,
        dropout: float = 0.0,
        tied: bool = False,
    ):
        super().__init__()
        width = hidden if embedding is None else embedding
        if tied and width != hidden:
            raise ValueError(
                f"a tied head needs embeddings as wide as the layers: {width} and {hidden}"
            )
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.uniform_(self.embedding.weight, -(width**-0.5), width**-0.5)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = make_recurrent(cell, width, hidden, layers, dropout)
        self.head = nn.Linear(hidden, vocabulary)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """tokens: (batch, length) integers. mask: as for `continue_from`.

        Returns (batch, length, vocabulary): at each place the logits of the token after it.
        """
        return self.continue_from(None, tokens, mask)[0]

    def continue_from(
        self, state: State | None, tokens: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read tokens that follow those that gave state.

        For truncated backpropagation through time, where gradients stop between chunks:

            logits, state = model.continue_from(detach_state(state), tokens)

        state: as an earlier call returned it; None to begin with zeros.
        mask: (batch, length) bool, True is a real token; None when all are. Padding may stand
        anywhere; a row without a real token keeps its state. Logits at padding mean nothing.
        Returns the logits, (batch, length, vocabulary), and the state after the last real token.
        """
        x = self.dropout(self.embedding(tokens))
        outputs, state = run_over_real(self.recurrent, x, mask, state)
        return self.head(self.dropout(outputs)), state


def detach_state(state: State | None) -> State | None:
    """The same state with no gradient to the tokens that gave it; None stays None."""
    return None if state is None else tuple(part.detach() for part in state)


def make_recurrent(
    cell: Cell, inputs: int, hidden: int, layers: int, dropout: float, bidirectional: bool = False
) -> nn.GRU | nn.LSTM:
    """torch's GRU or LSTM, batch first."""
    one_of("cell", cell, CELLS)
    return CELLS[cell](
        inputs,
        hidden,
        layers,
        batch_first=True,
        dropout=dropout if layers > 1 else 0.0,  # torch warns where nothing is between layers
        bidirectional=bidirectional,
    )


def run_over_real(
    recurrent: nn.GRU | nn.LSTM, x: Tensor, mask: Tensor | None, state: State | None = None
) -> tuple[Tensor, State]:
    """Run a GRU or LSTM over the real steps of each row, as if padding weren't there.

    x: (batch, length, inputs). mask: (batch, length) bool or None. state: None for zeros.
    Returns the last layer's outputs, (batch, length, hidden * directions), 0 at padding, and the
    state after the last real step; a row without a real step keeps its state.
    """
    check_mask(mask, x)
    if state is None:
        directions = 2 if recurrent.bidirectional else 1
        zeros = x.new_zeros(recurrent.num_layers * directions, len(x), recurrent.hidden_size)
        state = (zeros, zeros) if isinstance(recurrent, nn.LSTM) else (zeros,)
    if mask is None:
        return call(recurrent, x, state)
    lengths = mask.sum(1)
    # Packing wants the real steps first; a row needs at least one, so one without is put back.
    order = mask.argsort(dim=1, descending=True, stable=True)
    packed = pack_padded_sequence(
        x.gather(1, order.unsqueeze(-1).expand_as(x)),
        lengths.clamp(min=1).cpu(),
        batch_first=True,
        enforce_sorted=False,
    )
    outputs, after = call(recurrent, packed, state)
    outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])
    outputs = outputs.gather(1, order.argsort(dim=1).unsqueeze(-1).expand_as(outputs))
    moved = (lengths > 0).unsqueeze(-1)
    return (
        outputs.masked_fill(~mask.unsqueeze(-1), 0.0),
        tuple(torch.where(moved, new, old) for new, old in zip(after, state, strict=True)),
    )


def call(
    recurrent: nn.GRU | nn.LSTM, x: Tensor | PackedSequence, state: State
) -> tuple[Any, State]:
    """torch's GRU takes and returns its state without the tuple around it."""
    if isinstance(recurrent, nn.LSTM):
        return recurrent(x, state)
    outputs, after = recurrent(x, state[0])
    return outputs, (after,)
