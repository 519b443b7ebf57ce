"""The text of rules: as it stands in the code, whoever wrote it, and None where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine.op import REGISTRY
from tinygrad_fc.viz.source import LONGEST, function_text, rule_text


def named(g: Any, x: Any) -> Any:
    return g * x


def test_a_rule_on_one_line_is_its_declaration() -> None:
    text = rule_text(REGISTRY["multiply"], "x")
    assert text is not None
    assert text.startswith("multiply = op(np.multiply")
    assert "y=lambda g, x: g * x" in text.replace("  ", " ")
    assert rule_text(REGISTRY["multiply"], "y") == text


def test_a_named_rule_is_its_function() -> None:
    text = rule_text(REGISTRY["affine"], "w")
    assert text is not None
    assert text.startswith("def _w_rule(g: Any, x: Any)")
    assert "product(rows(x).T, g)" in text


def test_the_step_that_rules_share() -> None:
    text = rule_text(REGISTRY["affine_relu"], "via")
    assert text is not None
    assert text.startswith("def relu_rule(")
    assert rule_text(REGISTRY["multiply"], "via") is None


@pytest.mark.usefixtures("registry")
def test_a_rule_of_ones_own() -> None:
    own = tg.op(
        lambda x, y: x * y + 1.0, name="own",
        x=lambda g, y: g * y,
        y=named,
    ).op  # fmt: skip
    text = rule_text(own, "x")
    assert text is not None
    assert text.startswith("own = tg.op(")
    assert text.endswith(").op  # fmt: skip")
    assert rule_text(own, "y") == "def named(g: Any, x: Any) -> Any:\n    return g * x"


def test_code_that_no_file_holds_has_no_text() -> None:
    room: dict[str, Any] = {}
    exec(compile("f = lambda g: g\ndef h(g):\n    return g", "<nowhere>", "exec"), room)
    assert function_text(room["f"]) is None
    assert function_text(room["h"]) is None
    assert function_text(np.add) is None


def test_a_long_text_is_cut() -> None:
    room: dict[str, Any] = {}
    lines = "\n".join(f"    x = {number} * g" for number in range(400))
    import linecache

    source = f"def f(g):\n{lines}\n    return g\n"
    linecache.cache["<long>"] = (len(source), None, source.splitlines(True), "<long>")
    try:
        exec(compile(source, "<long>", "exec"), room)
        text = function_text(room["f"])
    finally:
        del linecache.cache["<long>"]
    assert text is not None
    assert len(text) <= LONGEST + 4
    assert text.endswith("\n...")
