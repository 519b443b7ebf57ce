"""Observing a block: the user's line reaches the graph, and the numbers stay the same."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn


def here(offset: int = 0) -> str:
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return f"{__file__}:{frame.f_back.f_lineno + offset}"


class Net(nn.Module):
    def __init__(self) -> None:
        self.fc = nn.Linear(3, 2, seed=0)

    def forward(self, x: Any) -> Any:
        hidden = self.fc(x)
        self.line = here(-1)
        return np.tanh(hidden) * 2.0


def test_each_operation_notes_the_users_line() -> None:
    net = Net()
    with tg.observe() as run:
        loss = net(np.ones((4, 3), np.float32)).sum()
        line = here(-1)
    boxes = {box.op: box for box in tg.Graph(loss).nodes}
    assert run.count == 4
    assert boxes["sum"].line == line
    assert boxes["affine"].line == net.line  # not where the layer calls the operation: the user's own line
    assert boxes["affine"].module == ("Net", "fc")
    assert boxes[None].line is None
    assert boxes[None].name == "fc.b"
    assert tg.Graph(loss).to_dict()["nodes"][-1]["line"] == line
    assert "test_observe.py" in tg.viz.dot_source(tg.Graph(loss)).source


def test_observing_changes_no_number_and_ends_with_the_block() -> None:
    x = tg.tensor(np.linspace(-1.0, 1.0, 7), requires_grad=True)

    def f() -> Any:
        return (np.exp(x) * np.sin(x) + x).sum()

    plain = f()
    with tg.observe() as run:
        observed = f()
        with tg.no_grad():
            f()
    after = f()
    assert run.count == 5
    assert plain.item() == observed.item() == after.item()
    for a, b in zip(tg.gradients(plain, x), tg.gradients(observed, x), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert all(box.line is None for box in tg.Graph(after).nodes)
