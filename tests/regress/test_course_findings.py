"""What users of the course's modules found: each once went wrong in silence, or with an error that did not help."""

# ruff: noqa: NPY002 - the course draws from the global generator

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.cs231n.classifiers.fc_net import FullyConnectedNet
from tinygrad_fc.cs231n.layers import (
    batchnorm_backward,
    batchnorm_forward,
    dropout_backward,
    dropout_forward,
    layernorm_forward,
)
from tinygrad_fc.cs231n.neural_net import TwoLayerNet
from tinygrad_fc.cs231n.solver import Solver
from tinygrad_fc.data import load_cifar10


def networks() -> list[Any]:
    np.random.seed(0)
    return [
        TwoLayerNet(4, 10, 3, std=0.1), FullyConnectedNet([8], 4, 3, dtype=np.float64),
        tg.models.TwoLayerNet(4, 5, 3, seed=0), FullyConnectedNet([8], 4, 3, normalization="batchnorm"),
    ]  # fmt: skip


@pytest.mark.parametrize("which", range(4))
def test_assigning_params_writes_them(which: int, rng: np.random.Generator) -> None:
    net, X, y = networks()[which], rng.normal(size=(6, 4)), rng.integers(3, size=6)
    params = net.params
    net.params = {name: np.zeros(value.shape) for name, value in params.items()}
    assert net.params is params
    assert net.loss(X, y)[0] == pytest.approx(np.log(3))
    before = {name: value.copy() for name, value in params.items()}
    for wrong, error in (
        ({"W1": np.ones(3)}, ValueError), (np.ones(3), TypeError), ({**before, "W2": np.ones((2, 2))}, ValueError),
    ):  # fmt: skip
        with pytest.raises(error, match=r"params|fc2\.W"):
            net.params = wrong
    for name, value in params.items():
        np.testing.assert_array_equal(value, before[name])


def test_bn_params_refuse_what_would_be_lost() -> None:
    model = FullyConnectedNet([8], 4, 3, normalization="batchnorm")
    with pytest.raises(TypeError, match="does not support item assignment"):
        model.bn_params[0]["mode"] = "test"
    model.bn_params[0]["running_mean"][...] = 2.0
    np.testing.assert_array_equal(model.norm1.running_mean, 2.0)


def header(kind: bytes, size: int) -> bytes:
    member = tarfile.TarInfo("data_batch_1")
    member.type, member.size = kind, size
    return member.tobuf()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE])
def test_extended_headers_are_not_interpreted(kind: bytes, tmp_path: Path) -> None:
    """A million digits in such a header once took Python 25 minutes, and 5,000 of them its stack."""
    digits = header(kind, 1_000_000) + b"9" * 1_000_000 + b"\0" * (-1_000_000 % 512)
    for name, content in (("one.tar.gz", digits), ("many.tar.gz", (header(kind, 100) + b"a" * 512) * 5000)):
        path = tmp_path / name
        path.write_bytes(gzip.compress(content + b"\0" * 1024))
        with pytest.raises((ValueError, FileNotFoundError), match="no sound tar.gz|is missing"):
            load_cifar10(path)


def test_the_statistics_of_a_cache_are_its_own() -> None:
    x, ones = np.linspace(-1.0, 1.0, 6).reshape(3, 2), np.ones(2)
    param = {"mode": "test", "running_mean": np.zeros(2), "running_var": np.ones(2)}
    _, cache = batchnorm_forward(x, ones, np.zeros(2), param)
    param["running_var"][...] = 9.0
    dx, _, _ = batchnorm_backward(np.ones_like(x), cache)
    np.testing.assert_allclose(dx, 1.0, rtol=1e-5)


def test_dropout_of_a_number() -> None:
    np.random.seed(0)
    out, cache = dropout_forward(2.0, {"mode": "train", "p": 0.9})
    assert out.shape == ()
    np.testing.assert_allclose(dropout_backward(np.array(1.0), cache) * 2.0, out)


def test_parameters_of_layers_are_dicts() -> None:
    x, ones = np.ones((3, 2)), np.ones(2)
    for call, name in (
        (lambda: batchnorm_forward(x, ones, ones, None), "bn_param"),
        (lambda: dropout_forward(x, "train"), "dropout_param"),
        (lambda: layernorm_forward(x, ones, ones, 1e-5), "ln_param"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=rf"^{name}: given \w+, expected a dict such as"):
            call()


DATA = {"X_train": np.ones((5, 4)), "y_train": np.arange(5) % 3, "X_val": np.ones((2, 4)), "y_val": np.array([0, 1])}


def test_a_solver_leaves_the_global_generator_to_the_run() -> None:
    np.random.seed(0)
    model = FullyConnectedNet([8], 4, 3, dropout_keep_ratio=0.5, seed=123)
    before = np.random.get_state()[1].copy()
    Solver(model, DATA, batch_size=5, verbose=False)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_a_batch_may_exceed_the_data_as_in_the_course() -> None:
    solver = Solver(FullyConnectedNet([8], 4, 3), DATA, batch_size=100, num_epochs=2, verbose=False)
    solver.train()
    assert len(solver.loss_history) == 2
    assert solver.epoch == 2


class Own:
    """A model of a user's own, whose loss may return anything."""

    def __init__(self, result: Any) -> None:
        self.params, self.result = {"w": np.zeros(1)}, result

    def loss(self, X: Any, y: Any = None) -> Any:
        return np.zeros((len(X), 3)) if y is None else self.result


@pytest.mark.parametrize("result", [1.0, (1.0,), ([1.0], {"w": np.zeros(1)}), (1.0, np.zeros(1))])
def test_what_a_loss_must_return(result: Any) -> None:
    solver = Solver(Own(result), DATA, batch_size=5, verbose=False)
    with pytest.raises(TypeError, match=r"^model: loss\(X, y\) returned \w+, expected a tuple of the loss"):
        solver.train()


def test_a_gradient_that_is_not_finite_spoils_no_parameter() -> None:
    model = Own((1.0, {"w": np.array([np.nan])}))
    solver = Solver(model, DATA, batch_size=5, verbose=False)
    with pytest.raises(FloatingPointError, match=r"the gradient of w in iteration 1, .* 1 of 1 elements that are NaN"):
        solver.train()
    assert np.isfinite(model.params["w"]).all()


def test_parameters_that_were_spoilt_before_are_not_called_sound() -> None:
    model = Own((np.nan, {"w": np.zeros(1)}))
    solver = Solver(model, DATA, batch_size=5, verbose=False)
    model.params["w"] = np.array([np.nan])
    with pytest.raises(FloatingPointError, match=r"the loss of iteration 1 is nan.*but w held NaN or infinity before it"):
        solver.train()


def test_what_a_solver_is_given() -> None:
    with pytest.raises(TypeError, match="data: given NoneType, expected a dict"):
        Solver(FullyConnectedNet([8], 4, 3), None)
    with pytest.raises(TypeError, match=r"model: given the class Own, expected an instance: Own\(...\)"):
        Solver(type("Own", (Own,), {"params": {}}), DATA)
