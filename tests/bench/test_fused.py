"""``bench --fused``: every fused operation has arguments; forms are compared before they are timed; problems are said.

No test asserts a time.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import bench
from tinygrad_fc.bench import fused, measure, report, session
from tinygrad_fc.engine.op import REGISTRY, Op

HOUSE = sorted(name for name, op in REGISTRY.items() if op.compose is not None)
PACE = session.Pace.quick(None)


def command(*words: str) -> int:
    """Run the command with these words."""
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return bench.main(parser.parse_args(words))


def planted(kernel: Any = None, rule: Any = None, compose: Any = None) -> Op:
    """Return a fused operation of a user, with a mistake where one is given."""
    return tg.fused_op(
        kernel or (lambda x, slope=2.0: x * slope),
        name="planted",
        x=rule or (lambda g, slope: g * slope),
        compose=compose or (lambda x, slope=2.0: x * slope),
    ).op


def fixed_times(monkeypatch: pytest.MonkeyPatch, fused_times: list[float], composed_times: list[float]) -> list[int]:
    """Put times in place of the clock's; return a list that notes how many rounds were asked for."""
    asked: list[int] = []

    def interleave(timers: Any, rounds: int, block_seconds: float, tick: Any = None) -> dict[str, list[float]]:
        for timer in timers.values():
            assert timer(1) > 0
        asked.append(rounds)
        return {"fused": list(fused_times), "composed": list(composed_times)}

    monkeypatch.setattr(measure, "interleave", interleave)
    return asked


@pytest.mark.parametrize("name", HOUSE)
def test_every_fused_operation_can_be_timed(name: str) -> None:
    """It has arguments of the asked size, in float32, and both forms agree on them."""
    (op,) = fused.select_ops([name])
    for shape in ((6, 8), (9, 12)):
        first = fused.arguments_of(op)(np.random.default_rng(0), *shape)[0]
        assert (first.shape, first.dtype) == (shape, np.float32)
        steps = fused._steps(op, shape)
        found = {form: step() for form, step in steps.items()}
        assert {a.dtype for arrays in found.values() for a in arrays} == {np.dtype(np.float32)}
        assert len(found["fused"]) > 1
        assert fused._error(found["fused"], found["composed"]) <= fused.TOLERANCE


def test_the_table_names_what_there_is() -> None:
    assert set(fused.ARGUMENTS) <= set(HOUSE)


@pytest.mark.usefixtures("registry")
def test_a_user_s_operations_are_left_out() -> None:
    everything = [op.name for op in fused.select_ops([])]
    assert everything == HOUSE
    planted()
    assert [op.name for op in fused.select_ops([])] == everything
    assert [op.name for op in fused.select_ops(["relu", "affine"])] == ["affine", "relu"]


@pytest.mark.usefixtures("registry")
def test_one_array_with_options_needs_no_entry() -> None:
    assert fused.arguments_of(planted()) is fused._one
    two = tg.fused_op(
        lambda x, y: x * y, name="two", x=lambda g, y: g * y, y=lambda g, x: g * x, compose=lambda x, y: x * y
    ).op
    with pytest.raises(KeyError, match="two"):
        fused.arguments_of(two)
    row = fused.measure_op(two, (4, 3), 3, 1e-4)
    assert row == {"op": "two", "shape": [4, 3], "problem": "failed: KeyError: 'two'"}


def test_a_quick_run_writes_valid_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "fused.json"
    status = command("--quick", "--fused", "relu", "layer_norm", "--json", str(file))
    results = json.loads(file.read_text(encoding="utf-8"))
    assert list(results) == ["environment", "fused"]
    rows = results["fused"]["rows"]
    assert [(row["op"], row["shape"]) for row in rows] == [
        (name, list(shape)) for name in ("layer_norm", "relu") for shape in fused.SHAPES
    ]
    for row in rows:
        assert 0 <= row["error"] <= fused.TOLERANCE
        for key in ("fused", "composed", "ratio"):
            assert 0 < row[key]["lower"] <= row[key]["median"] <= row[key]["upper"]
        assert row["rounds"] >= results["fused"]["rounds"] == 3
    assert status == (1 if session.problems(results) else 0)
    assert all("not faster" in problem for problem in session.problems(results))
    printed = capsys.readouterr().out
    assert "One process, both forms in turn" in printed
    assert [line.split()[:2] for line in printed.splitlines() if line.startswith(("  relu ", "  layer_norm "))][:4] == [
        ["layer_norm", "100x100"], ["layer_norm", "256x1024"], ["relu", "100x100"], ["relu", "256x1024"],
    ]  # fmt: skip


def test_status_0_when_every_fusion_is_faster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = fixed_times(monkeypatch, [1e-6, 1e-6, 2e-6], [2e-6, 3e-6, 8e-6])
    assert command("--quick", "--fused", "relu") == 0
    assert asked == [3, 3]  # one for each shape: the verdict was clear
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  relu")]
    assert lines[0] == ["relu", "100x100", "1.0", "3.0", "3.00", "(2.50-3.50)"]


def test_status_1_when_a_fusion_is_slower(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fixed_times(monkeypatch, [2e-6] * 3, [1e-6] * 3)
    assert command("--quick", "--fused", "relu") == 1
    assert "relu 100x100: not faster: composed takes 0.50 times as long" in capsys.readouterr().out


@pytest.mark.parametrize(("composed", "problem"), [([0.9e-6, 1.1e-6, 1.2e-6], False), ([0.8e-6, 0.9e-6, 1.2e-6], True),
                                                   ([1e-6, 1e-6, 1e-6], True)])  # fmt: skip
def test_where_the_rounds_disagree_there_are_more_of_them(
    composed: list[float], problem: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fixed_times(monkeypatch, [1e-6] * 3, composed)
    row = fused.measure_op(REGISTRY["relu"], (4, 3), 3, 1e-4)
    assert ("problem" in row) == problem
    clear = len(set(composed)) == 1
    assert asked == ([3] if clear else [3] * (1 + fused.EXTRA))
    assert row["rounds"] == 3 * len(asked)


def halved(g: Any, slope: float) -> Any:
    return g * (0.5 * slope)


def wrong_at_one_place(x: Any, slope: float = 2.0) -> Any:
    out = x * slope
    out[0, 0] *= 1.1
    return out


def fails(x: Any, slope: float = 2.0) -> Any:
    raise ArithmeticError("planted")


@pytest.mark.parametrize(
    ("mistakes", "message"),
    [
        ({"kernel": lambda x, slope=2.0: x * (1.01 * slope)}, "wrong: fused and composed are 1.0e-02 apart"),
        ({"kernel": lambda x, slope=2.0: x * np.float64(slope)}, "wrong: fused and composed are inf apart"),
        ({"kernel": lambda x, slope=2.0: x * math.nan}, "wrong: fused and composed are nan apart"),
        ({"kernel": lambda x, slope=2.0: (x * slope)[1:]}, "failed: "),
        ({"kernel": wrong_at_one_place}, "wrong: fused and composed are "),
        ({"rule": halved}, "wrong: fused and composed are 5.0e-01 apart"),
        ({"compose": lambda x, slope=2.0: np.sum(x * slope)}, "failed: "),
        ({"kernel": fails}, "failed: ArithmeticError: planted"),
    ],
)
@pytest.mark.usefixtures("registry")
def test_a_wrong_fusion_is_not_timed_and_said(
    mistakes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    op = planted(**mistakes)
    asked = fixed_times(monkeypatch, [1e-6] * 3, [2e-6] * 3)
    row = fused.measure_op(op, (8, 6), 3, 1e-4)
    assert row["problem"].startswith(message)
    assert "ratio" not in row
    assert asked == []
    json.dumps(row, allow_nan=False)
    assert f"  planted 8x6: {message}" in report.text({"fused": {"rounds": 3, "rows": [row]}})
    monkeypatch.setattr(fused, "select_ops", lambda names: [op])
    assert command("--quick", "--fused") == 1
    assert f"planted 100x100: {message}" in capsys.readouterr().out


@pytest.mark.usefixtures("registry")
def test_a_right_fusion_passes_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed_times(monkeypatch, [1e-6] * 3, [2e-6] * 3)
    assert "problem" not in fused.measure_op(planted(), (8, 6), 3, 1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--fused", "gelú"), "unknown fused operation 'gelú'; choose from affine, affine_relu, "),
        (("--fused", "--json", "no/such/folder/bench.json"), "cannot be written"),
    ],
)
def test_bad_options_say_what_is_possible(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*words) == 2
    assert message in capsys.readouterr().err


def test_seconds_make_more_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fixed_times(monkeypatch, [1e-6] * 3, [2e-6] * 3)
    (_, found) = fused.measure_fused(fused.select_ops(["relu"]), session.Pace.full(4.0), [(4, 3)])
    assert asked == [found["fused"]["rounds"]] == [40]
