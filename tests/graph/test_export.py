"""The graph for other programs: strict JSON, and networkx."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.graph.export import SCHEMA, plain


def example() -> tg.Tensor:
    w = tg.tensor(np.ones((3, 2)), requires_grad=True, name="w")
    h = np.tanh(np.ones((4, 3)) @ w)
    return (h * h * float("nan") + float("inf")).sum(axis=0)


def test_it_is_strict_json() -> None:
    facts = tg.Graph(example()).to_dict()
    assert facts["schema"] == SCHEMA
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    numbers = [node["numbers"] for node in facts["nodes"] if node["numbers"]]
    assert numbers == [{"y": "nan"}, {"y": "inf"}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5), (np.int64(3), 3), (np.bool_(True), True), (-np.inf, "-inf"), ((1, [2.0]), [1, [2.0]]),
        ({"a": {"b": np.float64("nan")}}, {"a": {"b": "nan"}}), (None, None), ("x", "x"),
    ],
)  # fmt: skip
def test_numbers_are_pythons_own(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_networkx_has_the_same_boxes_and_arrows() -> None:
    import networkx

    graph = tg.Graph(example())
    other = graph.to_networkx()
    assert networkx.is_directed_acyclic_graph(other)
    assert sorted(other.nodes) == [box.id for box in graph.nodes]
    assert sorted((a, b, k) for a, b, k in other.edges(keys=True)) == sorted(
        (source, box.id, argument) for box in graph.nodes for argument, source in box.inputs
    )  # h * h: two arrows between the same boxes
    assert other.nodes[1]["name"] == "w"
    assert other.nodes[2]["op"] == "matmul"
    assert other.graph["outputs"] == graph.outputs


def test_without_networkx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ImportError, match="networkx is not installed: pip install networkx"):
        tg.Graph(example()).to_networkx()
