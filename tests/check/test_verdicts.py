"""The verdicts of gradcheck on functions whose verdict is known: right ones, right ones at kinks, and wrong ones."""

from __future__ import annotations

import functools
import zlib
from collections import Counter

import numpy as np
import pytest
from verdicts import CORRECT, Case, Draw
from verdicts_faults import WRONG
from verdicts_kinks import KINKS

import tinygrad_fc as tg

CASES = {case.name: case for case in (*CORRECT, *KINKS, *WRONG)}
ALLOWED = {
    "correct": ("correct", "inconclusive"),
    "kink": ("kink", "correct", "inconclusive"),
    "wrong": ("wrong", "inconclusive"),
    "right input of a wrong function": ("correct", "kink", "inconclusive"),
}

pytestmark = pytest.mark.usefixtures("registry")


@functools.cache
def verdicts(name: str, scale: float, dtype: str) -> tuple[bool, tuple[str, ...]]:
    """Return whether the report is true, and the verdict for each input."""
    generator = np.random.default_rng(zlib.crc32(f"{name} {scale}".encode()))
    with np.errstate(under="ignore"):  # what is saturated has slopes of 0
        f, inputs = CASES[name].make(Draw(generator, scale, dtype))
        report = tg.gradcheck(f, *inputs)
    return bool(report), tuple(check.verdict for check in report.inputs)


def runs(case: Case) -> list[tuple[str, float, str]]:
    return [(case.name, scale, dtype) for scale in case.scales for dtype in case.dtypes]


def deserved(case: Case, position: int) -> str:
    return "right input of a wrong function" if case.kind == "wrong" and position not in case.faulty else case.kind


@pytest.mark.parametrize("name", CASES)
def test_verdict(name: str) -> None:
    """No right gradient is called wrong, no wrong one right, and no smooth point a kink."""
    case, found = CASES[name], []
    for run in runs(case):
        true, given = verdicts(*run)
        for position, verdict in enumerate(given):
            if verdict not in ALLOWED[deserved(case, position)]:
                found.append(f"scale {run[1]:g}, {run[2]}, input {position}: {verdict}")
        if true != all(verdict in ("correct", "kink") for verdict in given):
            found.append(f"scale {run[1]:g}, {run[2]}: the report is {true}, and its verdicts are {', '.join(given)}")
    assert not found, f"{case.name} is {case.kind} ({case.why}):\n" + "\n".join(found)


def test_few_are_inconclusive() -> None:
    counts: Counter[str] = Counter()
    open_ones = []
    for case in CASES.values():
        for run in runs(case):
            for position, verdict in enumerate(verdicts(*run)[1]):
                counts[verdict] += 1
                if verdict == "inconclusive":
                    open_ones.append(f"{case.name} ({case.kind}), scale {run[1]:g}, {run[2]}, input {position}")
    share = counts["inconclusive"] / counts.total()
    assert share <= 0.05, f"{dict(counts)}; {share:.1%} are inconclusive:\n" + "\n".join(open_ones)


def test_the_suite_is_what_it_says() -> None:
    assert len(CASES) == len(CORRECT) + len(KINKS) + len(WRONG), "two cases have one name"
    assert len(CORRECT) >= 40
    assert len(WRONG) >= 60
    assert {case.kind for case in CORRECT} == {"correct"}
    assert {case.kind for case in KINKS} == {"correct", "kink"}
    assert {case.kind for case in WRONG} == {"wrong"}
    several = [case for case in CASES.values() if len(case.scales) >= 3]
    assert len(several) > 0.85 * len(CASES)
    for dtype in ("float32", "float64"):
        assert sum(dtype in case.dtypes for case in CASES.values()) > 0.8 * len(CASES)
