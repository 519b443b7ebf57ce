"""Helpers do every block once, hand errors on, and start again in a child of fork."""

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

import tinygrad_fc
from tinygrad_fc.kernels import helpers


@pytest.fixture(params=[1, 2, 3])
def size(request, monkeypatch):
    monkeypatch.setattr(helpers, "_SIZE", request.param)
    return request.param


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_every_block_is_done_once(size, count):
    done = []
    for _ in range(20):
        helpers.share(lambda block, n: done.append((block, n)), range(count))
    assert sorted(block for block, _ in done) == sorted(20 * list(range(count)))
    assert {n for _, n in done} <= set(range(size))


def test_threads_share_at_the_same_time(size):
    everything = np.zeros((4, 64, 5000))

    def call(mine):
        for _ in range(10):
            helpers.share(lambda row, n: np.add(row, 1.0, row), list(mine))

    callers = [threading.Thread(target=call, args=(mine,)) for mine in everything]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert (everything == 10).all()


def test_an_error_reaches_who_waits(size):
    done = []

    def work(block, n):
        if block == 3:
            raise MemoryError("three")
        done.append(block)

    with pytest.raises(MemoryError, match="three"):
        helpers.share(work, range(6))
    assert sorted(done) == [0, 1, 2, 4, 5]


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"OPENBLAS_NUM_THREADS": "3"}, 3), ({"OMP_NUM_THREADS": "4"}, 4), ({"OMP_NUM_THREADS": "5,2"}, 5),
        ({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "4"}, 1), ({"OPENBLAS_NUM_THREADS": "0"}, None),
        ({"OMP_NUM_THREADS": "many"}, None), ({}, None),
    ],
)  # fmt: skip
def test_threads_are_those_that_the_environment_says(monkeypatch, environment, threads):
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert helpers.wanted_threads() == (threads or cores)


def test_a_child_of_fork_has_helpers_of_its_own():
    code = """
        import os, threading
        import numpy as np
        from tinygrad_fc.kernels import helpers
        helpers._SIZE = 2
        both = threading.Barrier(2, timeout=60)
        helpers.share(lambda block, n: both.wait(), range(2))  # it takes two
        child = os.fork()
        both = threading.Barrier(2, timeout=60)
        helpers.share(lambda block, n: both.wait(), range(2))
        if child:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            print("both")
    """
    path = str(Path(tinygrad_fc.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env={**os.environ, "PYTHONPATH": path}, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "both\n"), done.stderr
