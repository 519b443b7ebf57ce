"""multiply_adds: products by the loops that compute them, and in agreement with the layers' own counts."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.graph.counts import multiply_adds


def counted(f: Any, *arrays: np.ndarray) -> dict[str, int]:
    """Return what each operation of a computation counts."""
    with tg.observe() as run:
        f(*[tg.tensor(array, requires_grad=True) for array in arrays])
    return {box.op or "": box.facts["multiply_adds"] for box in run.graph().nodes if box.kind == "op"}


@pytest.mark.parametrize(
    ("x", "y", "count"),
    [((2, 3), (3, 4), 24), ((3,), (3,), 3), ((2, 3), (3,), 6), ((3,), (3, 4), 12), ((5, 2, 3), (5, 3, 4), 120),
     ((5, 1, 2, 3), (7, 3, 4), 840), ((2, 0), (0, 4), 0), ((0, 3), (3, 4), 0)],
)  # fmt: skip
def test_a_matrix_product(x: Any, y: Any, count: int) -> None:
    assert counted(np.matmul, np.ones(x), np.ones(y)) == {"matmul": count}


@pytest.mark.parametrize(
    ("f", "shapes", "count"),
    [
        (np.dot, ((2, 3), (3, 4)), 24), (np.inner, ((2, 3), (4, 3)), 24), (np.outer, ((2,), (3,)), 6),
        (np.tensordot, ((2, 3, 4), (3, 4, 5)), 120), (np.vdot, ((2, 3), (2, 3)), 6),
        (lambda x, y: np.dot(x, y), ((), (2, 3)), 6),
    ],
)  # fmt: skip
def test_what_is_written_with_products(f: Any, shapes: Any, count: int) -> None:
    assert sum(counted(f, *map(np.ones, shapes)).values()) == count


def loops(subscripts: str, *arrays: np.ndarray) -> int:
    """Count the products of an einsum by running its loops."""
    terms = subscripts.split("->")[0].split(",")
    pairs = [pair for term, a in zip(terms, arrays, strict=True) for pair in zip(term, a.shape, strict=True)]
    lengths = dict(pairs)
    return sum(1 for _ in itertools.product(*map(range, lengths.values()))) * (len(terms) - 1)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [("ij,jk->ik", ((2, 3), (3, 4))), ("ij,jk", ((2, 3), (3, 4))), ("i,i", ((5,), (5,))), ("i,j->ij", ((2,), (3,))),
     ("bij,bjk->bik", ((5, 2, 3), (5, 3, 4))), ("ij,jk->ik", ((2, 0), (0, 4)))],
)  # fmt: skip
def test_einsum_of_two(subscripts: str, shapes: Any) -> None:
    arrays = [np.ones(shape) for shape in shapes]
    assert counted(lambda x, y: np.einsum(subscripts, x, y), *arrays) == {"einsum": loops(subscripts, *arrays)}


def test_einsum_of_several_counts_the_steps_that_are_taken() -> None:
    arrays = [np.ones((20, 3)), np.ones((3, 30)), np.ones((30, 2))]

    def count(**options: Any) -> int:
        return counted(lambda x, y, z: np.einsum("ij,jk,kl->il", x, y, z, **options), *arrays)["einsum"]

    assert count(optimize=False) == 2 * 20 * 3 * 30 * 2
    assert count() == 3 * 30 * 2 + 20 * 3 * 2  # the second product first
    assert count(optimize=["einsum_path", (0, 1), (0, 1)]) == 20 * 3 * 30 + 20 * 30 * 2


def test_ellipses_and_broadcast_axes() -> None:
    shapes = {"subscripts": "...ij,...jk", "optimize": None}
    assert multiply_adds("einsum", [(5, 2, 3), (5, 3, 4)], (5, 2, 4), shapes) == 120
    assert multiply_adds("einsum", [(7, 1, 2, 3), (5, 3, 4)], (7, 5, 2, 4), shapes) == 840
    assert multiply_adds("einsum", [(1, 2, 3), (0, 3, 4)], (0, 2, 4), shapes) == 0
    assert multiply_adds("einsum", [(0, 2, 3), (1, 3, 4)], (0, 2, 4), shapes) == 0
    assert multiply_adds("einsum", [(3, 4)], (4, 3), {"subscripts": "ij->ji"}) == 12


def test_a_layer_counts_what_its_module_says() -> None:
    x = np.ones((5, 2, 3), np.float32)
    for layer in (
        nn.Linear(6, 4, seed=0), nn.Linear(6, 4, activation="relu", seed=0), nn.Linear(6, 4, bias=False, seed=0),
        nn.Sequential(nn.Flatten(), nn.Linear(6, 4, seed=0), nn.ReLU(), nn.LayerNorm(4)),
        nn.Sequential(nn.Linear(6, 4, seed=0), nn.BatchNorm1d(4), nn.Dropout(0.5, seed=0)),
    ):  # fmt: skip
        layer.eval()
        with tg.observe() as run:
            layer(x)
        total = sum(box.facts["multiply_adds"] for box in run.graph().nodes if box.kind == "op")
        assert total == layer.summary((5, 2, 3)).multiply_adds


def test_everything_else_counts_its_elements_and_moving_nothing() -> None:
    x = np.ones((3, 4))
    assert counted(lambda x: np.tanh(x), x) == {"tanh": 12}
    assert counted(lambda x: x.T.reshape(-1)[2:], x) == {"transpose": 0, "reshape": 0, "getitem": 0}
    assert math.prod((3, 4)) == counted(lambda x: x * 2.0, x)["multiply"]
    assert counted(lambda x, y: x * y, np.ones((3, 1)), np.ones(4)) == {"multiply": 12}


@pytest.mark.parametrize("f", [np.sum, np.mean, np.max, np.prod, np.std, tg.logsumexp, lambda x: x.sum(axis=0)])
def test_a_reduction_counts_what_it_goes_through(f: Any) -> None:
    assert list(counted(f, np.ones((3, 4))).values()) == [12]


def test_so_does_a_loss() -> None:
    x, y = np.ones((3, 4)), np.array([0, 3, 1])
    assert counted(lambda x: tg.softmax_loss(x, y), x) == {"softmax_loss": 12}
    assert counted(lambda x: tg.svm_loss(x, y), x) == {"svm_loss": 12}
    assert counted(lambda x: tg.mse_loss(x, np.zeros((3, 4))), x) == {"mse_loss": 12}


@pytest.mark.parametrize(
    ("f", "shapes", "count"),
    [
        (np.linalg.solve, [(6, 6), (6, 2)], 72 + 72), (np.linalg.solve, [(6, 6), (6,)], 72 + 36),
        (np.linalg.solve, [(5, 6, 6), (5, 6, 2)], 5 * 144), (np.linalg.inv, [(6, 6)], 216),
        (np.linalg.inv, [(2, 6, 6)], 432), (np.linalg.det, [(6, 6)], 72), (np.linalg.cholesky, [(6, 6)], 36),
        (np.linalg.eigvalsh, [(6, 6)], 144), (np.linalg.svdvals, [(6, 6)], 288), (np.linalg.pinv, [(7, 6)], 2880),
    ],
)  # fmt: skip
def test_linear_algebra_by_the_textbook(f: Any, shapes: Any, count: int) -> None:
    first = np.diag(np.arange(1.0, 8.0))[: shapes[0][-2], : shapes[0][-1]]
    arrays = [np.broadcast_to(first, shapes[0]), *map(np.ones, shapes[1:])]
    assert sum(counted(f, *arrays).values()) == count


def test_decompositions_grow_with_the_cube() -> None:
    for op in ("qr", "eigh", "svd"):
        small, large = (multiply_adds(op, [(n, n)], (n, n)) for n in (30, 60))
        assert large == 8 * small > 30**3
    assert multiply_adds("qr", [(8, 3)], (8, 3)) == multiply_adds("qr", [(3, 8)], (3, 8)) == 2 * 9 * 7
