"""The expression of a rule: found in the code, lambda by lambda, and filled with numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc.fused
import tinygrad_fc.linalg  # noqa: F401  # both declare operations
from tinygrad_fc.engine.op import REGISTRY
from tinygrad_fc.viz.formula import formula, put_in, reads


def documented(g: Any, x: Any) -> Any:
    """Return a product."""
    return g * x


def long(g: Any, x: Any) -> Any:
    y = x + 1
    return g * y


def test_the_expression_of_a_rule() -> None:
    assert formula(lambda g, y: g * y) == "g * y"
    pair = (lambda g, x: g * x, lambda g, x: g / x)  # two of one line
    assert [formula(rule) for rule in pair] == ["g * x", "g / x"]
    assert formula(documented) == "g * x"
    assert formula(long) == "long(g, x)"
    assert reads(long) == ("g", "x")


def test_code_without_a_source_is_its_call() -> None:
    space: dict[str, Any] = {}
    exec("rule = lambda g, y: g * y", space)
    assert formula(space["rule"]) == "rule(g, y)"


def told(g: Any, x: Any) -> Any:
    """Return ``g * (x + 1)``, in two statements."""
    y = x + 1
    return g * y


def mistold(g: Any, x: Any) -> Any:
    """Return ``g * scale`` of something that is no parameter."""
    return g * x


def misspelt(g: Any, x: Any) -> Any:
    """Return ``g times x``."""
    return g * x


def test_a_docstring_may_say_the_expression() -> None:
    assert formula(told) == "g * (x + 1)"
    assert formula(mistold) == formula(misspelt) == "g * x"  # what is no expression of the parameters is not believed


def test_what_docstrings_of_the_house_say_is_what_the_rules_do(rng: np.random.Generator) -> None:
    """Each such rule is elementwise, or a sum's: the expression, evaluated, is what the rule gives."""
    checked = []
    for op in REGISTRY.values():
        for argument, rule in op.rules.items():
            if not (rule.__doc__ or "").startswith("Return ``"):
                continue
            given = {name: rng.uniform(0.5, 2.0, (3, 4)) for name in reads(rule)}
            if "axis" in given:  # a sum of everything
                given |= {"g": np.array(1.5), "a_shape": (3, 4), "axis": None, "where": True}
            found, expected = rule(*given.values()), eval(formula(rule), {"np": np, **given})
            np.testing.assert_allclose(found, np.broadcast_to(expected, (3, 4)), rtol=1e-12)
            checked.append((op.name, argument))
    assert {("tanh", "x"), ("sigmoid", "x"), ("power", "x"), ("power", "y"), ("relu", "x"), ("sum", "a")} <= {*checked}


def test_every_rule_of_the_house_has_one() -> None:
    found = {
        (name, argument): formula(rule) for name, op in REGISTRY.items() for argument, rule in op.rules.items()
        if op.proved
    }  # fmt: skip
    assert found["multiply", "x"] == "g * y"
    assert found["exp", "x"] == "g * out"
    assert found["add", "x"] == "g"
    assert "lambda" not in "".join(found.values())
    assert all(text and "\n" not in text for text in found.values())
    lambdas = {key for key in found if REGISTRY[key[0]].rules[key[1]].__name__ == "<lambda>"}
    assert [key for key in lambdas if found[key].startswith("rule(")] == []


@pytest.mark.parametrize(
    ("expression", "numbers", "text"),
    [
        ("g * y", {"g": "2", "y": "3"}, "2 * 3"), ("g * y", {"g": "2"}, "2 * y"),
        ("g", {"g": "-1"}, "-1"), ("-g", {"g": "-1"}, "-(-1)"),
        ("x ** 2", {"x": "-3"}, "(-3) ** 2"), ("g * np.cos(x)", {"g": "[1, 2]", "x": "0"}, "[1, 2] * np.cos(0)"),
    ],
)  # fmt: skip
def test_numbers_are_put_in(expression: str, numbers: dict[str, str], text: str) -> None:
    assert put_in(expression, numbers) == text
