"""The user's variables: which tensor of a graph has which name, and what looking for it leaves behind."""

from __future__ import annotations

import gc
import sys
import weakref
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.graph.names import ENTRIES, variable_names, variables

at_module_level = tg.tensor([1.0, 2.0], requires_grad=True)
_hidden = tg.tensor(1.0, requires_grad=True)
Pair = namedtuple("Pair", ["first", "second"])


def names(*entries: Any) -> list[str | None]:
    """Return the names that are found for entries of the tape, from the frame of the caller on."""
    found = variable_names(set(entries))
    assert set(found) <= set(entries)
    return [found.get(entry) for entry in entries]


def test_local_variables_are_found_in_the_callers_frame() -> None:
    a, b = tg.tensor(1.0, requires_grad=True), tg.tensor(2.0)
    c = a * b
    assert names(a.node, b.node, c.node) == ["a", "b", "c"]  # `b` needs no gradient, and is a Constant on the tape


def test_elements_of_short_containers() -> None:
    params = [tg.tensor(1.0, requires_grad=True), tg.tensor(2.0, requires_grad=True)]
    layers = {"W": tg.tensor(1.0, requires_grad=True), 3: tg.tensor(1.0, requires_grad=True), (): params[0]}
    pair = Pair(tg.tensor(1.0, requires_grad=True), None)
    many = [tg.tensor(1.0, requires_grad=True) for _ in range(ENTRIES + 1)]
    assert names(*[t.node for t in (*params, layers["W"], layers[3], pair.first, many[0])]) == [
        "params[0]", "params[1]", "layers['W']", "layers[3]", "pair[0]", None,
    ]  # fmt: skip


def test_a_plain_variable_is_preferred_to_an_element_and_the_inner_frame_to_the_outer() -> None:
    every = [tg.tensor(1.0, requires_grad=True)]
    plain = every[0]
    assert names(plain.node) == ["plain"]

    def inner(renamed: tg.Tensor) -> list[str | None]:
        return names(renamed.node)

    assert inner(plain) == ["renamed"]


def test_outer_frames_and_globals() -> None:
    outer = tg.tensor(1.0, requires_grad=True)

    def inner() -> dict[Any, str]:
        return variable_names(Everything())

    found = inner()
    assert found[outer.node] == "outer"
    assert found[at_module_level.node] == "at_module_level"
    assert _hidden.node not in found


class Everything:
    """A container of all there is."""

    def __contains__(self, entry: object) -> bool:
        return True


def test_names_that_are_nobodys_to_show() -> None:
    _secret = tg.tensor(1.0, requires_grad=True)
    In, Out = [tg.tensor(1.0, requires_grad=True)], {3: _secret}  # as a notebook calls its history
    found = variable_names({_secret.node, In[0].node})
    assert found == {}
    assert Out[3] is _secret


def test_names_that_nobody_can_write() -> None:
    """Tools keep values under such names, as pytest does of what an assertion compares."""
    found: list[Any] = []
    code = "found += names(globals()['@kept'].node)"
    exec(code, {"found": found, "names": names, "@kept": tg.tensor(1.0, requires_grad=True), 7: "no name at all"})
    assert found == [None]


def test_the_tensor_comes_with_its_name() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    (found,) = variables({x.node}).values()
    assert found == ("x", x) or found[1] is x


class Proxy:
    """What must not be asked what it is."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("asked for its class")


def test_nothing_is_asked_of_other_objects() -> None:
    proxy, items = Proxy(), [Proxy()]
    x = tg.tensor(1.0, requires_grad=True)
    assert names(x.node) == ["x"]
    assert type(proxy) is type(items[0])


def test_looking_keeps_nothing_alive() -> None:
    big: Any = np.ones(10)
    x = tg.tensor(1.0, requires_grad=True)
    assert names(x.node) == ["x"]
    dead = weakref.ref(big)
    del big
    gc.collect()
    assert dead() is None


def held() -> tuple[dict[str, Any], list[Any]]:
    x = tg.tensor(1.0, requires_grad=True)
    theirs = locals()
    later = [x]
    variable_names({x.node})
    return theirs, later


def test_what_locals_gave_somebody_stays_as_it_is() -> None:
    theirs, (x,) = held()
    assert list(theirs) == ["x"]  # no name that came later
    assert theirs["x"] is x


def test_what_exec_put_beside_the_variables_stays() -> None:
    x = tg.tensor(1.0, requires_grad=True)
    exec("beside = 41")
    before = "beside" in locals()  # from Python 3.13 on it is not
    variable_names({x.node})
    assert ("beside" in locals()) == before


@pytest.mark.parametrize("install", [sys.settrace, sys.setprofile])
def test_variables_of_a_function_that_is_traced_stay(install: Any) -> None:
    """When a tracer returns, Python before 3.13 sets the variables from the dict that was made of them."""
    looked: list[str] = []

    def tracer(frame: Any, event: str, arg: Any) -> Any:
        if frame.f_code is traced.__code__:
            x = tg.tensor(1.0, requires_grad=True)
            looked.append(names(x.node)[0] or event)
        return tracer

    def traced(a: int) -> int:
        b = a + len([a])
        return a + b

    before = sys.gettrace(), sys.getprofile()
    install(tracer)
    try:
        result = traced(1)
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
    assert result == 3
    assert len(looked) > 2


def test_names_of_a_class_body_and_of_code_with_names_of_its_own() -> None:
    found: list[Any] = []

    class Holder:
        inside = tg.tensor(1.0, requires_grad=True)
        found.extend(names(inside.node))

    code = "mine = tg.tensor(1.0, requires_grad=True)\nfound.extend(names(mine.node))"
    own: dict[str, Any] = {}
    exec(code, {"tg": tg, "names": names, "found": found}, own)
    assert found == ["inside", "mine"]
    assert Holder.inside.requires_grad
    assert set(own) == {"mine"}


def test_a_frame_of_many_names_costs_little() -> None:
    space: dict[str, Any] = {f"n{k}": k for k in range(100_000)}
    space |= {"variable_names": variable_names, "tg": tg}
    code = "x = tg.tensor(1.0, requires_grad=True)\nfound = variable_names({x.node})"
    exec(code, space)
    assert space["found"] == {}  # past the names that are looked at: an answer of less, and no time lost
    assert sys.getsizeof(space) > 1_000_000


def test_a_library_that_shows_a_tensor_does_not_name_it() -> None:
    """A notebook shows a result through functions of its own, which call it what they like."""
    mine = tg.tensor(1.0, requires_grad=True)
    code = "def show(obj, find):\n    return find({obj.node})\n"
    library: dict[str, Any] = {}
    exec(compile(code, "/usr/lib/site-packages/notebook/show.py", "exec"), library)
    assert library["show"](mine, variable_names) == {mine.node: "mine"}
