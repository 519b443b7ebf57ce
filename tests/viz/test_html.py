"""page: one file, whole in itself, that allows nothing but its own script; its data come back as they went in."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from pictures import example, leaf, network

import tinygrad_fc as tg
from tinygrad_fc.viz import html
from tinygrad_fc.viz.embed import CLIP, DROPPED, number, numbers, packed, unpacked
from tinygrad_fc.viz.html import LARGEST, SCRIPTS, page

HOSTILE = [
    "</script><script>alert(1)</script>", "<!--", "]]>", "\"'`${alert(1)}", "\\u003c", "😀 é 中文 \u202egnp",
    "a\x00b\x07\x1b[31m\x7f", "\ud800", "\u2028\u2029", "{{data}}{{script}}", "&lt;b&gt;", "x" * 10_000,
]  # fmt: skip


class Parts(HTMLParser):
    """A page, taken apart: elements with their attributes, and what stands in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.texts.append("")
        self.open = True

    def handle_endtag(self, tag: str) -> None:
        self.open = False

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[-1] += data

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attrs, text) for (name, attrs), text in zip(self.found, self.texts, strict=True) if name == tag]


def data_of(text: str) -> dict[str, Any]:
    (packed_,) = [content for attrs, content in Parts(text).all("script") if attrs.get("id") == "data"]
    return unpacked(packed_)


def names_of(content: dict[str, Any]) -> list[str | None]:
    return [content["strings"][row[4]] if row[4] >= 0 else None for row in content["boxes"]]


# ---- whole in itself


def test_the_page_refers_to_nothing_outside() -> None:
    text = page(tg.Graph(example()))
    parts = Parts(text)
    assert [tag for tag, _ in parts.found if tag in {"link", "img", "iframe", "base", "object", "embed"}] == []
    assert not [attrs for _, attrs in parts.found if {"src", "href", "style", "onclick", "onload"} & set(attrs)]
    addresses = set(re.findall(r"\b(?:https?|wss?|ftp):[^\s\"'`)]*", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of a vocabulary, which nobody fetches
    assert "innerHTML" not in text
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|importScripts|eval)\s*\(|import\s*\(", text)


def test_the_policy_allows_the_pages_own_script_and_style_and_no_more() -> None:
    parts = Parts(page(tg.Graph(example())))
    ((policy,),) = [
        [attrs["content"]] for attrs, _ in parts.all("meta") if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    rules = {words[0]: words[1:] for words in (rule.split() for rule in policy.split(";"))}
    (style,) = [text for _, text in parts.all("style")]
    (script,) = [text for attrs, text in parts.all("script") if "type" not in attrs]

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert rules == {
        "default-src": ["'none'"], "script-src": [hashed(script)], "style-src": [hashed(style)],
        "img-src": ["data:", "blob:"], "base-uri": ["'none'"], "form-action": ["'none'"],
    }  # fmt: skip
    # The policy comes before anything that it is about.
    assert parts.found.index(("meta", {"http-equiv": "Content-Security-Policy", "content": policy})) < 4


def test_all_of_the_script_is_in_the_page_and_each_part_is_short() -> None:
    folder = html.files("tinygrad_fc.viz") / "static"
    assert sorted(item.name for item in folder.iterdir() if item.name.endswith(".js")) == sorted(SCRIPTS)
    text = page(tg.Graph(example()))
    for item in folder.iterdir():
        content = item.read_text(encoding="utf-8")
        assert content.count("\n") < 400, item.name
        assert max(map(len, content.splitlines())) <= 120, item.name
        if item.name.endswith((".js", ".css")):
            assert content in text


def test_the_same_graph_makes_the_same_page() -> None:
    assert page(tg.Graph(example())) == page(tg.Graph(example()))


# ---- options


def test_options() -> None:
    content = data_of(page(tg.Graph(example()), theme="dark", show=("shapes", "memory"), title="Mine", embedded=True))
    assert (content["theme"], content["colour"], content["title"]) == ("dark", "memory", "Mine")
    assert content["embedded"] is True
    content = data_of(page(tg.Graph(example())))
    assert (content["theme"], content["colour"], content["embedded"]) == (None, "kind", False)
    assert content["title"] == "Computation graph"


def test_notes_stand_in_the_page() -> None:
    assert data_of(page(tg.Graph(example()), notes=("one thing", "x" * 900)))["notes"] == ["one thing", "x" * CLIP]


def test_the_title_is_the_module_around_everything() -> None:
    model = tg.models.FullyConnectedNet([4], input_dim=6, num_classes=3, seed=0)
    scores = model(np.ones((2, 6), np.float32))
    assert Parts(page(tg.Graph(scores))).all("title")[0][1] == "FullyConnectedNet"
    assert Parts(page(tg.Graph(scores), title="<b>&")).all("title")[0][1] == "<b>&"


def test_a_theme_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"page: theme='blue', expected None \(the system's\), 'light' or 'dark'"):
        page(tg.Graph(example()), theme="blue")


def test_a_direction_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"page: direction='down', expected None \(by the window\), 'TB', 'BT'"):
        page(tg.Graph(example()), direction="down")


def test_what_is_unfolded_at_first() -> None:
    graph = tg.Graph(network())
    content = data_of(page(graph))
    assert [content[key] for key in ("direction", "depth", "all", "open")] == [None, -1, False, []]
    fused = [box.id for box in graph.nodes if box.op == "affine_relu"]
    content = data_of(page(graph, direction="LR", depth=1, fold=False, expand=["affine_relu"]))
    assert [content[key] for key in ("direction", "depth", "all", "open")] == ["LR", 1, True, fused]
    # All others can be unfolded as well.
    assert sum(cell[0] == "fused" for cell in content["cells"]) == sum(box.op != "add" for box in graph.nodes if box.op)
    with pytest.raises(ValueError, match="'tanhh' is no fused operation of this graph"):
        page(graph, expand=["tanhh"])


# ---- data


def test_data_come_back_as_they_went_in() -> None:
    graph = tg.Graph(example())
    content = data_of(page(graph))
    text = [*content["strings"], None]
    assert content["count"] == len(graph)

    rows = {row[0]: row for row in content["boxes"]}
    for box in graph.nodes:
        id, cell, kind, op, name, variable, shape, dtype, module, line, mark, inputs, extras, output = rows[box.id]
        assert ["op", "parameter", "constant"][kind] == box.kind
        assert (text[op], text[name], text[variable]) == (box.op, box.name, box.variable)
        assert text[shape] == ",".join(map(str, box.shape))
        assert text[dtype] == str(box.dtype)
        assert (text[module], text[line], text[mark]) == (".".join(box.module), box.line, box.mark)
        by_cell = {row[1]: row[0] for row in content["boxes"]}
        assert [(text[argument], by_cell[source]) for argument, source in inputs] == box.inputs
        assert [text[key] for key, _ in extras] == [*box.numbers, *box.static]
        assert output == (box.id in graph.outputs)
        assert content["cells"][cell][0] in ("box", "fused")


def test_steps_are_the_operations_and_the_engines_way_back() -> None:
    graph = tg.Graph(network(reg=0.1))
    content = data_of(page(graph))
    by_cell = {row[1]: row[0] for row in content["boxes"]}
    assert [by_cell[cell] for cell in content["forward"]] == [box.id for box in graph.nodes if box.kind == "op"]
    assert [by_cell[cell] for cell in content["backward"]] == graph.order()


def test_rules_of_every_operation() -> None:
    graph = tg.Graph(example())
    content = data_of(page(graph))
    ops = {content["strings"][int(key)]: op for key, op in content["ops"].items()}
    assert {box.op for box in graph.nodes if box.op} <= set(ops)
    assert ops["multiply"]["reads"] == {"x": ["y"], "y": ["x"]}
    assert ops["multiply"]["formulas"] == {"x": "g * y", "y": "g * x"}
    assert ops["matmul"]["rules"]
    assert ops["tanh"]["compose"].startswith("def tanh_compose")


def test_fused_operations_can_be_opened() -> None:
    graph = tg.Graph(network())
    content = data_of(page(graph))
    fused = [cell for cell in content["cells"] if cell[0] == "fused"]
    assert len(fused) == sum(box.node.op.compose is not None for box in graph.nodes if box.kind == "op")
    assert all(cell[5] > 0 for cell in fused)
    assert content["count"] == len(graph)
    assert len(content["boxes"]) > len(graph)


@pytest.mark.usefixtures("registry")
def test_a_composition_that_fails_leaves_its_operation_closed() -> None:
    def compose(x: Any) -> Any:
        if np.all(x.data == 1.0):
            raise RuntimeError("not of ones")
        return x * 2.0

    double = tg.fused_op(lambda x: x * 2.0, compose=compose, name="double", x=lambda g: g * 2.0)
    content = data_of(page(tg.Graph(double(leaf([2.0, 3.0], "x")))))
    assert content["notes"] == ["fused operations stay closed: RuntimeError: not of ones"]
    assert [cell[0] for cell in content["cells"]] == ["root", "box", "box"]


def test_numbers_are_json_whatever_they_are() -> None:
    given = [1.0, float("nan"), float("inf"), -float("inf"), np.float32(0.1), np.int64(7), True, 2**60, 1e-320, 1 + 2j]
    made = numbers(np.array([[1.0, np.nan]]))
    assert made == [[1.0, "nan"]]
    text = json.dumps([number(value) for value in given], allow_nan=False)
    assert json.loads(text)[:8] == [1.0, "nan", "inf", "-inf", 0.1, 7, 1, str(2**60)]
    assert number(math.pi, 5) == 3.1416


def stats(generator: np.random.Generator) -> dict[str, Any]:
    values = generator.normal(size=64)
    counts, edges = np.histogram(values, 20)
    return {
        "min": float(values.min()), "max": float(values.max()), "mean": float(values.mean()),
        "std": float(values.std()), "norm": float(np.linalg.norm(values)), "zeros": 0.25, "nonfinite": 0,
        "numbers": values.tolist(),
        "histogram": {"low": float(edges[0]), "high": float(edges[-1]), "counts": counts.tolist()},
    }  # fmt: skip


def facts(box: Any, generator: np.random.Generator) -> dict[str, Any]:
    one, other = stats(generator), stats(generator)
    gives = [{"argument": argument, "gradient": one, "total": other} for argument, _ in box.inputs]
    return {
        "forward_seconds": 1e-4, "saved_bytes": 32, "source": "y = f(x)", "value": one, "gradient": other,
        "backward": {"run": 0, "order": -box.id, "freed": 32, "gives": gives},
    }  # fmt: skip


def test_facts_come_back() -> None:
    graph, generator = tg.Graph(example()), np.random.default_rng(0)
    for box in graph.nodes:
        box.facts = facts(box, generator)
    content = data_of(page(graph))
    kept = content["facts"][[row[0] for row in content["boxes"]].index(2)]
    given = graph.nodes[2].facts
    assert kept["forward_seconds"] == 1e-4
    assert (kept["saved_bytes"], kept["freed"]) == (32, 32)
    assert content["strings"][kept["source"]] == "y = f(x)"
    np.testing.assert_allclose(kept["value"]["numbers"], given["value"]["numbers"], rtol=1e-7)
    np.testing.assert_allclose(kept["value"]["norm"], given["value"]["norm"], rtol=1e-4)
    assert kept["gradient"]["histogram"][2:] == given["gradient"]["histogram"]["counts"]
    assert [content["strings"][argument] for argument, _, _ in kept["gives"]] == ["x", "y"]
    assert content["notes"] == []


# ---- never too large


def chain(count: int) -> tg.Tensor:
    h, w = leaf(np.ones(3), "h"), leaf(np.ones(3), "w")
    for _ in range(count):
        h = h * w + 1.0
    return h.sum()


def test_a_chain_of_100_000_operations() -> None:
    with np.errstate(all="ignore"):
        graph = tg.Graph(chain(50_000))
    text = page(graph)
    assert len(text.encode()) < LARGEST / 4
    content = data_of(text)
    assert content["count"] == len(graph) == 100_003
    assert "boxes are not in this page" in content["notes"][0]
    assert sum(cell[3] for cell in content["cells"] if cell[0] in ("box", "rest")) == len(graph)
    (rest,) = [cell for cell in content["cells"] if cell[0] == "rest"]
    assert content["strings"][rest[1]] == "49,996 more alike"


def test_what_does_not_fit_is_left_out_the_largest_first_and_the_page_says_so() -> None:
    graph, generator = tg.Graph(chain(1_500)), np.random.default_rng(0)
    for box in graph.nodes:
        box.facts = facts(box, generator)
    text = page(graph)
    assert len(text.encode()) <= LARGEST
    content = data_of(text)
    dropped, _, why = content["notes"][0].partition(": ")
    names = dropped.split(", ")
    assert tuple(names) == DROPPED[: len(names)]
    assert why == "left out, so that the page stays small"
    assert len(names) < len(DROPPED)
    assert "histogram" not in content["facts"][5]["value"]
    assert content["facts"][5]["value"]["mean"]
    assert len(content["boxes"]) == len(graph)


def test_the_longest_names_still_fit() -> None:
    generator = np.random.default_rng(0)
    out = leaf(1.0, "x")
    for _ in range(4_000):
        out = out + leaf(1.0, base64.b64encode(generator.bytes(7_500)).decode())
    text = page(tg.Graph(out))
    assert len(text.encode()) <= LARGEST
    content = data_of(text)
    assert content["notes"]
    assert max(map(len, content["strings"])) < CLIP + 40


# ---- hostile names


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_names_cannot_leave_their_place(name: str) -> None:
    plain_tags = [tag for tag, _ in Parts(page(tg.Graph(leaf(np.ones(2), "x") * 3.0), title="t")).found]
    text = page(tg.Graph(leaf(np.ones(2), name) * 3.0), title=name)
    assert [tag for tag, _ in Parts(text).found] == plain_tags
    (found,) = [item for item in names_of(data_of(text)) if item is not None]
    encoded = name.encode("utf-8", "replace").decode()
    assert found == (encoded if len(name) <= CLIP else f"{name[:CLIP]}… ({len(name):,} characters)")
    text.encode("utf-8")


def test_packing_is_undone() -> None:
    content = {"a": [1, 2.5, "é\u2028</script>"], "b": {"c": None}}
    assert unpacked(packed(content)) == content
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed(content))
