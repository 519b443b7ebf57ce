"""The words of a box: nothing that it says is cut into something else, or said of what there is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import leaf, picture

import tinygrad_fc as tg
from tinygrad_fc.viz.words import box_lines, figure_text, mark_lines


def test_rows_of_the_longest_numbers_are_whole(tmp_path: Path) -> None:
    row = [-0.00012345, -1.2345e-11, -123456.789, -1.2345e-300, -1.2345e-301, -2.5432e10]
    with tg.observe(values=True):
        out = np.sum(leaf([row], "x"))
    words = picture(out, tmp_path, show="values").boxes[0]
    assert words[1] == "value [" + ", ".join(f"{number:.4g}" for number in row) + "]"


@pytest.mark.parametrize(("count", "text"), [(0, "0 multiply-adds"), (1, "1 multiply-add"), (2, "2 multiply-adds")])
def test_one_is_one(count: int, text: str) -> None:
    assert figure_text("multiply_adds", count) == text


def test_what_failed_has_no_result(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="matmul"), tg.observe() as run:
        leaf(np.ones((2, 3)), "x") @ np.ones((4, 5))
    assert [box.failed for box in run.graph().nodes] == [False, False, True]
    drawn = picture(run, tmp_path)
    assert drawn.boxes[2][1] == "no result"
    assert drawn.tips[2].startswith("result of matmul, no result, ")
    assert "()" not in str(run.graph())
    told = run.graph().to_dict()["nodes"][-1]
    assert (told["shape"], told["dtype"]) == (None, None)


def test_arguments_that_change_from_turn_to_turn_say_so() -> None:
    x = leaf(np.ones(3))
    boxes = tg.Graph(x * 1.0, x * 2.0, x * 4.0, x.reshape(3, 1), x.reshape(1, 3)).nodes[1:]
    first, second, last, tall, wide = boxes
    assert box_lines(first, (), [second, last]) == ["y = 1.0 … 4.0"]
    assert box_lines(first, (), [second, first]) == ["y = 1.0 … 1.0"]
    assert box_lines(first, (), [first, first]) == box_lines(first, ()) == ["y = 1.0"]
    assert box_lines(tall, (), [wide]) == ["shape = (3, 1) … (1, 3)"]
    assert box_lines(first, (), [tall]) == ["y = 1.0 … default", "shape = default … (3, 1)"]


def test_what_failed_says_how_to_mend_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gufunc signature"), tg.observe() as run:
        leaf(np.ones((50, 64)), "x") @ np.ones((63, 10))
    words = " ".join(picture(run, tmp_path).boxes[2][2:])
    assert "(size 63 is different from 64). Given x (50, 64) float64, y (63, 10) float64." in words
    assert words.endswith("The inner lengths must agree: (..., n, k) @ (..., k, m).")
    assert "gufunc" not in words
    assert mark_lines("short") == ["short"]
    assert len(mark_lines("word " * 1000)) == 8
