"""The README's table of what fits on a card: it is today's, and its sum is that of a real step."""

import weakref
from typing import Any

import pytest
import torch
from memory import BEGIN, END, README, ROWS, Row, cells, logits_and_loss, step_memory, tokens
from research_models import Transformer, TransformerConfig
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Alive(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make, as long as they are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        made = function(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor) and each.untyped_storage()._cdata not in self._known:
                storage = each.untyped_storage()
                self._known.add(storage._cdata)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return made

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def test_the_sum_is_what_is_alive_in_a_real_step() -> None:
    config = TransformerConfig(vocabulary=1000, width=128, layers=4, heads=4, length=64)
    row = Row("small", "", lambda: Transformer(config), tokens(64))
    for batch in (16, 64):
        with Alive() as alive:
            model = row.make()
            optimizer = torch.optim.Adam(model.parameters())
            for _ in range(2):  # the second has the state of the first
                optimizer.zero_grad()
                logits_and_loss(model, torch.zeros(batch, 64, dtype=torch.long))[1].backward()
                optimizer.step()
        expected = step_memory(row, torch.float32)
        assert alive.peak == pytest.approx(expected.once + batch * expected.example, rel=0.1)


def test_the_readmes_table_is_todays() -> None:
    shown = README.read_text().partition(BEGIN)[2].partition(END)[0].strip().splitlines()[2:]
    assert [line.split(" | ")[0] for line in shown] == [f"| {row.model}" for row in ROWS]
    # BERT's alone: to run all shapes takes ten times as long. Else: memory.py --write
    assert shown[2] == f"| {' | '.join(cells(ROWS[2]))} |"
