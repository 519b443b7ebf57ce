"""Arrays of another byte order, as files have them: operations take them, and what they return has this machine's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine.op import REGISTRY
from tinygrad_fc.ops.derived import DERIVED

tg.linalg, tg.special  # noqa: B018  # declare their operations when they are first used
OURS: list[Any] = [op for op in REGISTRY.values() if op.module.startswith("tinygrad_fc.")] + list(DERIVED.values())


def other(value: Any, dtype: str | None = None) -> Any:
    """Return an array in the other byte order; what is none as it is."""
    if not isinstance(value, np.ndarray) or value.dtype.itemsize == 1:
        return value
    value = value.astype(dtype) if dtype and value.dtype.kind == "f" else value
    return value.astype(value.dtype.newbyteorder())


def arrays_of(out: Any) -> list[np.ndarray]:
    return [np.asarray(getattr(item, "data", item)) for item in (out if isinstance(out, (tuple, list)) else [out])]


@pytest.mark.parametrize("declared", OURS, ids=lambda declared: f"{declared.name}")
def test_every_operation_takes_constants_of_another_byte_order(declared: Any) -> None:
    function = getattr(declared, "record", None) or declared.function
    for sample in declared.samples(np.random.default_rng(7)):
        args, kwargs = sample if len(sample) == 2 and isinstance(sample[1], dict) else (sample, {})
        with np.errstate(all="ignore"):
            expected = arrays_of(function(*args, **kwargs))
            found = arrays_of(function(*map(other, args), **{key: other(value) for key, value in kwargs.items()}))
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype.isnative
            if declared.name != "empty_like":
                np.testing.assert_allclose(ours, theirs, rtol=1e-13, strict=True)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
def test_layers_and_losses_beside_tensors(dtype: str) -> None:
    """Large enough for compiled kernels, which know no other byte order; half precision has its own way in each."""
    x, w, b = np.ones((1000, 3)), np.ones((3, 4)), np.ones(4)
    labels = other(np.zeros(1000, np.int64))
    W = tg.tensor(w.astype(dtype), requires_grad=True)
    out = tg.affine(other(x, dtype), W, other(b, dtype)) + tg.affine_relu(other(x, dtype), W, other(b, dtype))
    out = tg.layer_norm(out, other(b, dtype), other(b, dtype)) + np.multiply(out, other(b, dtype))
    loss = tg.softmax_loss(out, labels) + tg.svm_loss(out, labels) + tg.cross_entropy(out, labels, other(b, dtype))
    loss.backward()
    assert W.grad.dtype == np.dtype(dtype)
    assert np.isfinite(W.grad).all()
    for constant in (tg.affine(*(other(item, dtype) for item in (x, w, b))), tg.l2_penalty(other(w, dtype), 0.5)):
        assert constant.dtype == np.dtype(dtype)
    for layer in (tg.nn.Flatten(), tg.nn.ReLU(), tg.nn.Dropout(0.5, seed=0)):
        assert layer(other(x, dtype)).dtype == np.dtype(dtype)


def test_what_is_created_and_cast_has_this_machines_byte_order() -> None:
    dtype, t = np.dtype("f4").newbyteorder(), tg.tensor([1.0, 2.0], requires_grad=True)
    made = [
        tg.zeros(2, dtype), tg.full(2, t, dtype), tg.arange(2, dtype=dtype), np.linspace(t, 1.0, 3, dtype=dtype),
        t.astype(dtype), tg.asarray(np.ones(2, dtype)), tg.asarray(t, dtype), np.zeros_like(t, dtype),
        np.full_like(t, 2.0, dtype),
    ]  # fmt: skip
    assert [out.dtype for out in made] == [np.dtype("f4")] * len(made)
    with pytest.raises(ValueError, match="copy"):
        tg.asarray(np.ones(2, dtype), copy=False)
    t.astype(dtype)[0].backward()
    np.testing.assert_array_equal(t.grad, [1.0, 0.0], strict=True)
