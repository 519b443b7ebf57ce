"""What losses refuse: fused and composed with the same words, and modules when they are made."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from losses import LABELLED, MODULES, ways

import tinygrad_fc as tg
from tinygrad_fc import nn

INF = math.inf
LOGITS = np.full((3, 2), 0.5)
BAD: list[tuple[str, Any, Any, dict[str, Any], type[Exception], str]] = [
    ("cross_entropy", LOGITS, [0, 2, 1], {}, ValueError, r"target \(the labels\) has 2 at row 1, expected 0 to 1"),
    ("cross_entropy", LOGITS, [0.0, 1, 1], {}, TypeError, r"target .* float64, .*np\.asarray\(target, dtype=int\)"),
    ("cross_entropy", LOGITS, [[0, 1]] * 3, {}, ValueError, r"target .* expected \(3,\).*np\.argmax\(target, axis=1\)"),
    ("cross_entropy", LOGITS, np.ones((3, 3)), {}, ValueError, r"target \(probabilities\) has shape \(3, 3\)"),
    ("cross_entropy", LOGITS, LOGITS - 1, {}, ValueError, r"target has -0\.5, expected probabilities, from 0 to 1"),
    ("cross_entropy", LOGITS, LOGITS * 3, {}, ValueError, r"target has 1\.5, expected probabilities"),
    ("cross_entropy", LOGITS, LOGITS * np.nan, {}, ValueError, "target has nan, expected probabilities"),
    ("cross_entropy", LOGITS, [0, 1, 1], {"weight": [1.0]}, ValueError, r"weight has shape \(1,\), expected \(2,\)"),
    ("cross_entropy", LOGITS, [0, 1, 1], {"weight": [0.0, 0.0]}, ValueError, "weight is 0 for every label"),
    ("nll_loss", LOGITS, [1, 1, 1], {"weight": [1.0, 0.0]}, ValueError, "weight is 0 for every label"),
    ("nll_loss", LOGITS, [0, 1], {}, ValueError, r"y \(the labels\) has shape \(2,\), expected \(3,\)"),
    ("nll_loss", LOGITS, [0, 1, -1], {}, ValueError, r"y \(the labels\) has -1 at row 2"),
    ("svm_loss", LOGITS, [0, 1, 9], {}, ValueError, r"y \(the labels\) has 9 at row 2"),
    ("mse_loss", [1.0, 2.0], [[1.0], [2.0]], {}, ValueError,
     r"target has shape \(2, 1\), expected \(2,\).*nothing is broadcast\. Reshape it: target\.reshape\(\(2,\)\)"),
    ("l1_loss", LOGITS, [1.0, 2.0], {}, ValueError, r"target has shape \(2,\), expected \(3, 2\).*nothing is broad"),
    ("huber_loss", LOGITS, 1.0, {}, ValueError, r"target has shape \(\), expected \(3, 2\)"),
    ("mse_loss", LOGITS, LOGITS * 1j, {}, TypeError, "target has dtype complex128, expected real numbers"),
    ("l1_loss", LOGITS.astype(str), LOGITS, {}, TypeError, "x has dtype <U32, expected real numbers"),
    ("binary_cross_entropy_with_logits", LOGITS, LOGITS * 4, {}, ValueError, "target has 2.0, expected probabilities"),
    ("binary_cross_entropy_with_logits", LOGITS, LOGITS, {"weight": np.ones((2, 3, 2))}, ValueError,
     r"weight has shape \(2, 3, 2\), expected one that broadcasts to that of x, \(3, 2\)"),
    ("binary_cross_entropy_with_logits", LOGITS, LOGITS, {"pos_weight": np.ones(3)}, ValueError,
     r"pos_weight has shape \(3,\), expected one that broadcasts to that of x, \(3, 2\)"),
    ("kl_div", LOGITS, LOGITS - 2, {}, ValueError, r"target has -1\.5, expected probabilities.*log_target=True"),
    ("kl_div", LOGITS, LOGITS, {"log_target": True}, ValueError, r"target has 0\.5, expected logarithms.*log_target"),
    ("kl_div", 0.5, 0.5, {"reduction": "batchmean"}, ValueError, r"x has shape \(\), which has no batch"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "x", "target", "options", "error", "message"), BAD)
def test_bad_input(
    name: str, x: Any, target: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Fused and composed refuse it with the same words, before anything is recorded or changed."""
    x = np.asarray(x)
    t: Any = tg.tensor(x, requires_grad=True) if x.dtype.kind == "f" else x
    before = x.copy()
    for f in ways(name, **options):
        with pytest.raises(error, match=f"^{name}: {message}"):
            f(t, np.asarray(target))
    np.testing.assert_array_equal(x, before)
    assert x.dtype.kind != "f" or t.grad is None


BAD_OPTIONS: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("cross_entropy", {"label_smoothing": 1.5}, ValueError, r"label_smoothing: given 1\.5, expected .* \[0, 1\]"),
    ("cross_entropy", {"label_smoothing": -0.1}, ValueError, r"label_smoothing: given -0\.1"),
    ("cross_entropy", {"label_smoothing": "much"}, TypeError, "label_smoothing: given 'much'"),
    ("cross_entropy", {"weight": [1.0, -2.0]}, ValueError, r"weight has -2\.0, expected finite weights of at least 0"),
    ("cross_entropy", {"weight": [INF, 1.0]}, ValueError, "weight has inf, expected finite"),
    ("nll_loss", {"weight": [1.0, math.nan]}, ValueError, "weight has nan, expected finite"),
    ("nll_loss", {"weight": ["a", "b"]}, TypeError, "weight has dtype <U1, expected real numbers"),
    ("binary_cross_entropy_with_logits", {"pos_weight": -1.0}, ValueError, r"pos_weight has -1\.0"),
    ("huber_loss", {"delta": 0.0}, ValueError, "delta: given 0, expected a finite number above 0"),
    ("huber_loss", {"delta": INF}, ValueError, "delta: given inf"),
    ("svm_loss", {"squared": 1}, TypeError, "squared: given 1, expected True or False"),
    ("svm_loss", {"delta": -1.0}, ValueError, r"delta: given -1\.0"),
    ("kl_div", {"log_target": "yes"}, TypeError, "log_target: given 'yes', expected True or False"),
    *[(name, {"reduction": "average"}, ValueError, "reduction is 'average', expected 'mean', 'sum', 'none'")
      for name in MODULES],
    ("mse_loss", {"reduction": "batchmean"}, ValueError, "reduction is 'batchmean'"),
    ("l1_loss", {"reduction": None}, ValueError, "reduction is None"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "error", "message"), BAD_OPTIONS)
def test_bad_options(name: str, options: dict[str, Any], error: type[Exception], message: str) -> None:
    target: Any = np.array([0, 1, 1]) if name in LABELLED else LOGITS
    with pytest.raises(error, match=f"^{name}: {message}"):
        getattr(tg, name)(tg.tensor(LOGITS, requires_grad=True), target, **options)
    with pytest.raises(error, match=f"^{MODULES[name].__name__}: {message}"):
        MODULES[name](**options)


def test_weights_take_no_gradient() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"cross_entropy: argument 'weight' takes no gradient"):
        tg.cross_entropy(tg.tensor(LOGITS, requires_grad=True), [0, 1, 1], w)
    with pytest.raises(TypeError, match=r"CrossEntropyLoss: weight takes no gradient.*weight\.detach\(\)"):
        nn.CrossEntropyLoss(w)
    kept = np.array([1.0, 2.0])
    loss = nn.CrossEntropyLoss(kept)
    kept[:] = 7.0
    assert loss.weight.tolist() == [1.0, 2.0]
