"""What holds for every test: floating-point faults raise, modes and kernels stay as they were, randomness is named."""

from __future__ import annotations

import signal
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

import tinygrad_fc.fused  # both before the fixture `registry` notes what is declared
import tinygrad_fc.linalg  # noqa: F401  # as the line above says
from tinygrad_fc import kernels
from tinygrad_fc.engine import dispatch, node
from tinygrad_fc.engine.op import REGISTRY

# The checks that several tests share stand in tests/registry_checks.py.
sys.path.insert(0, str(Path(__file__).parent))

# A shell that starts the tests in the background has them, and what they start, ignore Ctrl-C, which some send.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("steady", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("steady")


@pytest.fixture(autouse=True)
def floating_point_faults_raise() -> Iterator[None]:
    """Turn overflow, division by zero and invalid values into errors; a test of edges enters ``ignore`` itself."""
    with np.errstate(all="raise"):
        yield


@pytest.fixture(autouse=True)
def recording_mode_is_restored() -> Iterator[None]:
    """Fail a test that leaves the recording mode changed."""
    before = node.MODE.get()
    yield
    after = node.MODE.get()
    if after is not before:
        node.MODE.set(before)  # the tests after this one are not at fault
        pytest.fail(f"the test left the recording mode at {after!r}, it was {before!r}")


@pytest.fixture(autouse=True)
def kernel_policy_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test's choice of kernels reach another, whose last bits would then depend on who ran before."""
    monkeypatch.setattr(kernels, "_least", kernels._least)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator of the test's own: the same in each run, and whatever other tests draw."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture
def registry() -> Iterator[None]:
    """Take the operations that a test declares out of the tables again."""
    tables: list[dict[Any, Any]] = [REGISTRY, dispatch.UFUNCS, dispatch.FUNCTIONS, vars(dispatch.functions)]
    before = [dict(table) for table in tables]
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)
