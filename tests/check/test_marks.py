"""The report of a check that failed has a graph with the culprits marked."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
from faults import Plant

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.engine.op import REGISTRY


def test_a_culprit_is_marked_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    Plant(monkeypatch, REGISTRY["tanh"], "x", "factor 2")
    report = tg.gradcheck(lambda x: (np.tanh(x) * np.exp(x)).sum(), np.array([0.3, -0.7]))
    (culprit,) = report.culprits
    graph = report.graph()
    assert [(box.op, box.mark) for box in graph.nodes if box.mark] == [("tanh", str(culprit))]
    assert [box.op for box in graph.nodes if box.kind == "op"] == ["tanh", "exp", "multiply", "sum"]
    assert graph.nodes[1].line == culprit.line


def test_two_faults_of_one_operation_stand_in_one_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, kind in (("x", "factor 2"), ("y", "zeros")):
        Plant(monkeypatch, REGISTRY["multiply"], key, kind)
    report = tg.gradcheck(lambda x, y: (x * y).sum(), np.array([0.3, -0.7]), np.array([1.3, 2.0]))
    (mark,) = [box.mark for box in report.graph().nodes if box.mark]
    assert mark == "\n".join(map(str, report.culprits))


def test_the_culprit_stands_in_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    Plant(monkeypatch, REGISTRY["affine"], "w", "sign")
    net = nn.Sequential(nn.Linear(3, 4, seed=0), nn.Tanh(), nn.Linear(4, 2, seed=1))
    report = tg.gradcheck(net, np.ones((2, 3)))
    marked = [box for box in report.graph().nodes if box.mark]
    assert [".".join(box.module) for box in reversed(marked)] == [culprit.module for culprit in report.culprits]
    assert len(marked) == 2


def test_without_a_culprit_there_is_nothing_to_mark() -> None:
    report = tg.gradcheck(lambda x: np.exp(x).sum(), np.array([0.3]))
    with pytest.raises(ValueError, match="names no culprit"):
        report.graph()


def test_the_graph_is_no_part_of_what_a_report_says(monkeypatch: pytest.MonkeyPatch) -> None:
    Plant(monkeypatch, REGISTRY["tanh"], "x", "factor 2")
    report = tg.gradcheck(lambda x: np.tanh(x).sum(), np.array([0.3]))
    assert report.graph() is report.graph()
    for other in (pickle.loads(pickle.dumps(report)), copy.copy(report)):
        assert other == report
        assert str(other) == str(report)
        with pytest.raises(ValueError, match="names no culprit"):
            other.graph()
    assert len(dataclasses.asdict(report)) == 5  # plain data, as it was
    facts: dict[str, Any] = report.to_dict()
    assert set(facts) == {"holds", "verdict", "evaluations", "order", "note", "inputs", "culprits"}
