"""Faults of ten kinds, planted in the rules of operations that stand on a tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.engine.operation import Op

KINDS = (
    "factor 2", "factor 1.0001", "sign", "zeros", "transpose", "mean for sum", "lost sum", "negative", "shift",
    "element",
)  # fmt: skip

# What the report has to say of a kind, where the fault is what it looks like.
WORDS = {
    "factor 2": "a factor", "factor 1.0001": "a factor: 1.0001 times the gradient", "sign": "a sign", "zeros": "zeros",
    "transpose": "a transpose", "mean for sum": "a mean stands where a sum over {n} elements belongs",
    "lost sum": "a lost sum", "negative": "is negative", "shift": "a shift", "element": "wrong at 1 of ",
}  # fmt: skip

SIGN_KEEPING = ("relu", "leaky_relu", "elu", "selu", "tanh")


class Plant:
    """One fault in the rule of one argument of an operation, wherever that operation runs.

    Parameters
    ----------
    patch : pytest.MonkeyPatch
        Takes the fault out again.
    operation : Op
    key : str
        The argument whose rule becomes wrong.
    kind : str
        One of `KINDS`.
    pick : int
        Chooses the element of the kind "element".
    """

    def __init__(self, patch: pytest.MonkeyPatch, operation: Op, key: str, kind: str, pick: int = 0) -> None:
        self.op, self.key, self.kind, self.pick = operation, key, kind, pick
        self.counts: set[int] = set()  # over how many elements a mean was taken
        place = operation.differentiable.index(key)
        rule, way = operation.pulls[place], operation.picks[place]

        def wrong(g: Any, saved: Any) -> Any:
            d = np.asarray(rule(g, saved if way is None else saved[way]))
            return np.ascontiguousarray(self.spoilt(d, g, saved)).reshape(d.shape).astype(d.dtype)

        def put(entries: tuple[Any, ...], entry: Any) -> tuple[Any, ...]:
            return (*entries[:place], entry, *entries[place + 1 :])

        patch.setattr(operation, "pulls", put(operation.pulls, wrong))
        patch.setattr(operation, "picks", put(operation.picks, None))  # the fault may read all that the node keeps
        patch.setattr(operation, "pair", False)

    def spoilt(self, d: np.ndarray, g: Any, saved: Any) -> np.ndarray:
        """Return a rule's result with the fault in it."""
        out: np.ndarray = getattr(self, f"_{self.kind.split()[0]}", self._scaled)(d, g, saved)
        return out

    def _scaled(self, d: Any, g: Any, saved: Any) -> Any:
        return d * {"factor 2": 2.0, "factor 1.0001": 1.0001, "sign": -1.0, "zeros": 0.0}[self.kind]

    def _transpose(self, d: Any, g: Any, saved: Any) -> Any:
        return d.T if d.ndim == 2 and d.shape[0] == d.shape[1] else d

    def _mean(self, d: Any, g: Any, saved: Any) -> Any:
        if np.size(g[0] if isinstance(g, tuple) else g) == d.size:  # `via` hands on a tuple, the gradient first
            return d
        count = d.shape[0] if d.ndim else 1
        self.counts.add(count)
        return d / count

    def _lost(self, d: Any, g: Any, saved: Any) -> Any:
        """Take the gradient of the first example where those of all belong summed."""
        if self.op.name == "affine" and self.key == "b":
            return g[0]
        if self.op.name == "batch_norm" and self.key == "beta":
            return g[0][0]
        if self.op.name == "batch_norm" and self.key == "gamma":
            return g[0][0] * saved[self.op.environment.index("normal")][0]
        return d

    def _negative(self, d: Any, g: Any, saved: Any) -> Any:
        known = dict(zip(self.op.environment, saved, strict=True))
        x = known.get(self.key)
        if x is None and self.op.name in SIGN_KEEPING:
            x = known.get("out")
        return d if x is None or np.shape(x) != d.shape else np.where(x < 0, 1.5 * d, d)

    def _shift(self, d: Any, g: Any, saved: Any) -> Any:
        return np.roll(d, 1, axis=-1) if d.ndim and d.shape[-1] > 2 else d

    def _element(self, d: Any, g: Any, saved: Any) -> Any:
        if d.size < 3:
            return d
        flat = d.ravel().copy()
        k = self.pick % d.size
        flat[k] += flat[(k + 1) % d.size]
        return flat.reshape(d.shape)


Rules = list[tuple[Op, str]]


def rules_on(graph: Any) -> Rules:
    """Return each operation of a graph with each argument through which gradients flow."""
    found: dict[tuple[str, str], tuple[Op, str]] = {}
    for box in graph.nodes:
        if box.kind == "op":
            node = box.node
            for key, (argument, source) in ((argument, (argument, source)) for argument, source in box.inputs):
                if graph.nodes[source].kind != "constant" and key in node.op.differentiable:
                    found[node.op.name, argument] = (node.op, argument)
    return list(found.values())


Slopes = Callable[[], list[np.ndarray]]


def effect(before: list[np.ndarray], after: list[np.ndarray]) -> float:
    """Return by how much the gradients differ, relative to the largest of each input."""
    return max(
        float(np.max(np.abs(a - b))) / max(float(np.max(np.abs(b))), 1e-6) for a, b in zip(after, before, strict=True)
    )
