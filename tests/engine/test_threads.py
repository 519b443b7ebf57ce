"""Threads: graphs over shared leaves are recorded and differentiated at once."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import tinygrad_fc as tg


@pytest.fixture(autouse=True)
def eager_switching() -> Iterator[None]:
    """Let the interpreter switch threads a hundred times as often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


def test_threads_differentiate_at_once_over_shared_leaves() -> None:
    w = tg.tensor(np.linspace(-1.0, 1.0, 12).reshape(3, 4), requires_grad=True)
    start = threading.Barrier(4)

    def work(scale: float) -> list[np.ndarray]:
        x = np.full((2, 3), scale)
        start.wait(10)
        found = []
        for _ in range(50):
            h = x @ w
            for _ in range(10):
                h = h * 0.5 + np.tanh(h)
            (d,) = tg.gradients((h * h).sum(), w)
            found.append(d.data)
        return found

    def alone(scale: float) -> np.ndarray:
        h = np.full((2, 3), scale) @ w
        for _ in range(10):
            h = h * 0.5 + np.tanh(h)
        return tg.gradients((h * h).sum(), w)[0].data

    scales = [0.1, 0.2, 0.3, 0.4]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, scales))
    for scale, found in zip(scales, results, strict=True):
        expected = alone(scale)
        for d in found:
            np.testing.assert_array_equal(d, expected)
    assert w.grad is None


def test_one_thread_records_while_another_does_not() -> None:
    w = tg.tensor(np.ones(3), requires_grad=True)
    start = threading.Barrier(2)

    def work(record: bool) -> set[bool]:
        start.wait(10)
        seen = set()
        for _ in range(300):
            if record:
                seen.add((w * 2.0).requires_grad)
            else:
                with tg.no_grad():
                    seen.add((w * 2.0).requires_grad)
        return seen

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        loud, quiet = pool.map(work, [True, False])
    assert (loud, quiet) == ({True}, {False})


def test_second_order_in_threads() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    start = threading.Barrier(3)

    def work(power: int) -> list[list[float]]:
        start.wait(10)
        found = []
        for _ in range(30):
            (d,) = tg.gradients((x**power).sum(), x, create_graph=True)
            found.append(tg.gradients(d.sum(), x)[0].tolist())
        return found

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for power, found in zip((2, 3, 4), pool.map(work, (2, 3, 4)), strict=True):
            assert all(d == [power * (power - 1) * v ** (power - 2) for v in (1.0, 2.0)] for d in found)
