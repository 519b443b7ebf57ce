"""Resident memory and start-up: what is read is what the process holds, and what fails is told.

No test asserts a time.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tinygrad_fc.bench import engines, report, resident, session, workers
from tinygrad_fc.bench.networks import Network, Problem
from tinygrad_fc.bench.runs import NotAvailableError, Run

TINY = Network("tiny", (7, 6, 5, 3), 4, "adam", 1e-2)
NORMALIZED = Network("normalized", (7, 6, 3), 4, "adam", 1e-2, batch_norm=True)
KNOWN = [engine for engine in engines.ENGINES if engine.name in ("products", "ours")]
PACE = session.Pace.quick(None)


def _broken(problem: Problem) -> Run:
    raise ValueError("broken")


def _missing(problem: Problem) -> Run:
    raise NotAvailableError("no compiler")


def _leaky(problem: Problem) -> Run:
    kept = []
    return Run(step=lambda: kept.append(np.ones(2**17)))  # 1 MiB a step


LISTED = [
    *KNOWN,
    engines.Engine("broken", _broken, "numpy", "", normalizes=False),
    engines.Engine("missing", _missing, "numpy", ""),
]


def test_a_peak_is_the_process_s_own() -> None:
    """A fresh process does not have the peak of the one that started it, which holds 256 MiB more."""
    big = np.ones(2**25)
    with workers.Worker("it") as worker:
        small = worker.call(resident.peak)
        larger = worker.call(resident.train_and_peak, _leaky, TINY, 50)
    assert small is not None
    assert larger is not None
    assert larger - small > 40 * 2**20
    assert small < big.nbytes


def test_pages_are_left_as_they_are_while_growth_is_measured() -> None:
    with workers.Worker("it") as worker:
        worker.call(resident.train_and_grow, _leaky, TINY, 1, 2)
        status = Path(f"/proc/{worker.process.pid}/status")
        found = re.findall(r"^THP_enabled:\s+(\d)$", status.read_text() if status.exists() else "", re.MULTILINE)
    assert found in ([], ["0"])  # it is Linux, of version 5 or more, that has the line


def test_growth_is_seen() -> None:
    with workers.Worker("it") as worker:
        grown = worker.call(resident.train_and_grow, _leaky, TINY, 10, 40)
    assert grown is not None
    assert 25 * 2**20 < grown < 40 * 2**20


def test_where_nothing_is_told_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = resident.peak()
    assert told is not None
    monkeypatch.setattr(resident, "PROC", tmp_path)
    assert resident.current() is None
    assert resident.train_and_grow(_leaky, TINY, 1, 2) is None
    other = resident.peak()  # ru_maxrss
    assert other is not None
    assert other > told / 2
    found = {"steps": 50, "growth_steps": [1, 2], "rows": [{"network": "n", "peak": {"ours": None}, "growth": None}]}
    assert "not told by this system" in report.text({"resident": found})


def test_peaks_of_engines_and_the_growth_of_ours() -> None:
    found = resident.measure_resident(LISTED, [TINY, NORMALIZED], PACE)
    plain, normalized = found["rows"]
    assert set(plain["peak"]) == {"products", "ours", "broken", "missing"}
    assert set(normalized["peak"]) == {"products", "ours", "missing"}
    assert plain["peak"]["ours"] > 10 * 2**20
    assert plain["growth"] < 20 * 2**20
    assert session.problems(found) == ["failed: broken: ValueError: broken"]
    text = report.text({"resident": found})
    assert "after 50 steps of tiny (7-6-5-3, N=4, Adam)" in text
    assert "missing: not available: missing: no compiler" in text
    assert "from step 20 to step 60" in text


def test_start_up_of_engines() -> None:
    found = resident.measure_startup(LISTED, TINY, PACE)
    assert set(found["engines"]) == {"products", "ours", "broken", "missing"}
    assert found["engines"]["ours"]["median"] > 0
    assert session.problems(found) == ["failed: broken: ValueError: broken"]
    text = report.text({"startup": found})
    assert "1 fresh process each" in text
    assert "broken: failed: broken: ValueError: broken" in text
