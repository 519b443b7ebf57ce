"""How it looks: light and dark, readable, told apart by more than colour, and usable in a narrow window."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import tinygrad_fc as tg

NARROW = {"width": 480, "height": 800}

# The contrast of each text with what is drawn behind it, by the formula of WCAG 2.
CONTRAST = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c <= 10 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const light = (colour) => {
    const [r, g, b] = channels(colour).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const skipped = ['TITLE', 'SCRIPT', 'STYLE', 'NOSCRIPT', 'OPTION', 'title'];
  const behind = (element) => {
    const holder = element.closest('.box');
    const under = element.classList.contains('alarm-sign') ? '.alarm' : '.card';
    if (holder) return getComputedStyle(holder.querySelector(under)).fill;
    const head = element.closest('.head');
    if (head) return getComputedStyle(head.querySelector('.chip')).fill;
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (channels(colour)[3] !== 0) return colour;
    }
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || skipped.includes(element.tagName)) continue;
    const style = getComputedStyle(element), ink = element.closest('svg') ? style.fill : style.color;
    found.push([ratio(ink, behind(element)), element.tagName, element.textContent.slice(0, 40)]);
  }
  return found;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read(theme: str, opened: Callable[..., Any], net: tg.Graph) -> None:
    net.nodes[-1].mark = "something is wrong"
    viewer = opened(net, theme=theme)
    for colour in ("kind", "time", "memory", "gradient", "dtype"):
        viewer.page.select_option("#colour", colour)
        viewer.press("Home", "]", "]")
        contrasts = viewer.page.evaluate(CONTRAST)
        assert len(contrasts) > 60
        assert [item for item in contrasts if item[0] < 4.5] == []


def paper(viewer: Any) -> int:
    """Return how light the page is, from 0 to 255."""
    colour = viewer.page.evaluate("getComputedStyle(document.body).backgroundColor")
    return int(colour.split("(")[1].split(",")[0])


def test_it_follows_the_system(opened: Callable[..., Any], expression: tg.Graph) -> None:
    assert paper(opened(expression, color_scheme="light")) > 200
    viewer = opened(expression, color_scheme="dark")
    assert paper(viewer) < 50
    viewer.page.emulate_media(color_scheme="light")
    viewer.until("document.documentElement.dataset.theme === 'light'")
    assert paper(viewer) > 200


def test_a_theme_that_is_given_holds_until_it_is_switched(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression, theme="dark", color_scheme="light")
    assert paper(viewer) < 50
    viewer.click("#theme")
    assert paper(viewer) > 200
    viewer.press("t")
    assert paper(viewer) < 50


def test_colours_have_a_legend_and_numbers(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    assert viewer.page.inner_text("#legend").split("\n")[0].startswith("operation")
    viewer.page.select_option("#colour", "memory")
    kept = [box.facts["saved_bytes"] for box in net.nodes if box.facts.get("saved_bytes")]
    legend = viewer.page.inner_text("#legend")
    assert f"{min(kept)} B" in legend
    box = next(box for box in net.nodes if box.op == "batch_norm")
    shown = viewer.box("batch_norm").locator("text").all_text_contents()
    assert f"{box.facts['saved_bytes']} B" in shown
    shades = {c for item in viewer.locator(".box").all() for c in item.get_attribute("class").split() if "shade" in c}
    assert len(shades) >= 3
    for item in net.nodes:  # the darkest has the most
        if item.facts.get("saved_bytes") in (min(kept), max(kept)):
            cell = next(box["cell"] for box in viewer.ask("boxes") if box["id"] == item.id)
            shade = "shade-0" if item.facts["saved_bytes"] == min(kept) else "shade-5"
            assert shade in viewer.page.get_attribute(f"#cell-{cell}", "class").split()
    colours = viewer.page.evaluate(  # the legend's are those of the boxes
        """() => [['.swatch', 'backgroundColor'], ['.card', 'fill']].map(([part, key]) => {
          const found = document.querySelectorAll(`[class*="shade-"]${part}, [class*="shade-"] ${part}`);
          const shade = (e) => /shade-\\w+/.exec(e.closest('[class*="shade-"]').getAttribute('class'))[0];
          return Object.fromEntries([...found].map((e) => [shade(e), getComputedStyle(e)[key]]));
        })"""
    )
    assert len(set(colours[0].values())) == len(colours[0]) >= 7
    assert colours[1]
    assert colours[1].items() <= colours[0].items()
    viewer.page.select_option("#colour", "dtype")
    assert "float32" in viewer.page.inner_text("#legend")
    viewer.page.select_option("#colour", "gradient")
    assert "norm of the gradient" in viewer.page.inner_text("#legend")


def test_what_has_no_time_is_not_said_to_have_one_that_is_unknown(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    for colour, shown in (("time", False), ("memory", False), ("gradient", True)):
        viewer.page.select_option("#colour", colour)
        shaded = "shade-" in viewer.box("fc1.W").get_attribute("class")
        assert shaded is shown, colour
        words = viewer.box("fc1.W").locator("text").all_text_contents()
        assert words[1].startswith("‖g‖" if shown else "7 × 6 float32")
        assert viewer.box("X").locator("text").all_text_contents()[1] == "4 × 7 float32"


def test_colour_at_first(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net, show=("shapes", "time"))
    assert viewer.page.input_value("#colour") == "time"
    assert "time, forward and backward" in viewer.page.inner_text("#legend")


def test_a_measure_that_is_not_known(opened: Callable[..., Any]) -> None:
    out = tg.tensor([1.0], requires_grad=True) * 2.0
    viewer = opened(tg.Graph(out), show=("time",))
    assert "not known" in viewer.page.inner_text("#legend")


def test_in_a_narrow_window_nothing_covers_the_graph(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net, NARROW)
    viewer.page.fill("#search", "fc1.W")
    viewer.page.press("#search", "Enter")
    viewer.still()
    frames = {name: viewer.locator(f"#{name}").bounding_box() for name in ("bar", "under", "stage", "panel", "player")}
    order = [frames[name] for name in ("bar", "under", "stage", "panel", "player")]
    for upper, lower in zip(order, order[1:], strict=False):
        assert upper["y"] + upper["height"] <= lower["y"] + 0.5
    assert order[-1]["y"] + order[-1]["height"] <= 800.5
    assert frames["stage"]["height"] >= 200
    assert all(frame["width"] <= 480 for frame in order)
    wide = viewer.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 480
    box = viewer.box("fc1.W").bounding_box()
    assert box["y"] >= frames["stage"]["y"]
    assert box["y"] + box["height"] <= frames["stage"]["y"] + frames["stage"]["height"]


@pytest.mark.parametrize("size", [NARROW, {"width": 1400, "height": 900}], ids=["narrow", "wide"])
def test_no_words_leave_their_box(size: dict[str, int], opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net, size)
    cut = viewer.page.evaluate(
        """() => [...document.querySelectorAll('.box')].flatMap((box) => {
          const card = box.querySelector('.card').getBoundingClientRect();
          return [...box.querySelectorAll('text:not(.alarm-sign)')].filter((text) => {
            const words = text.getBoundingClientRect();
            const across = words.left < card.left - 0.5 || words.right > card.right + 0.5;
            return across || words.top < card.top - 1 || words.bottom > card.bottom + 1;
          }).map((text) => text.textContent);
        })"""
    )
    assert cut == []


def test_lines_end_at_their_boxes_and_cross_none(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    crossed = viewer.page.evaluate(
        """() => {
          const cards = [...document.querySelectorAll('.box .card')].map((card) => card.getBBox());
          const found = [];
          for (const path of document.querySelectorAll('path.line')) {
            const length = path.getTotalLength();
            for (let at = 0; at <= length; at += 3) {
              const { x, y } = path.getPointAtLength(at);
              for (const c of cards)
                if (x > c.x + 1 && x < c.x + c.width - 1 && y > c.y + 1 && y < c.y + c.height - 1) found.push([x, y]);
            }
          }
          return found;
        }"""
    )
    assert crossed == []


@pytest.mark.parametrize("size", [(1400, 900), (900, 480), (480, 800)], ids=["wide", "notebook", "narrow"])
def test_one_line_about_the_step_stands_in_the_middle_of_its_room(
    size: tuple[int, int], opened: Callable[..., Any], expression: tg.Graph
) -> None:
    viewer = opened(expression, {"width": size[0], "height": size[1]})
    above, below = viewer.page.evaluate(
        """() => {
          const room = document.getElementById('said').getBoundingClientRect(), range = document.createRange();
          range.selectNodeContents(document.getElementById('said'));
          const words = range.getBoundingClientRect();
          return [words.top - room.top, room.bottom - words.bottom];
        }"""
    )
    assert abs(above - below) < 2


@pytest.mark.parametrize("size", [(1200, 700), (900, 480), (600, 500), (420, 700), (320, 480)], ids=str)
def test_all_words_about_each_step_are_seen_and_the_graph_has_room(
    size: tuple[int, int], opened: Callable[..., Any], net: tg.Graph
) -> None:
    viewer = opened(net, {"width": size[0], "height": size[1]})
    stage = "document.getElementById('stage').clientHeight"
    free = viewer.page.evaluate(stage)
    assert free > 0.6 * size[1]
    steps = viewer.ask("step")["of"]
    for _ in range(steps):
        viewer.press("]")
        over, covered, left, bottom = viewer.page.evaluate(
            """() => {
              const said = document.getElementById('said'), room = said.getBoundingClientRect();
              const others = document.querySelectorAll('#player > :not(#said)');
              const meets = (a) => a.left < room.right && a.right > room.left && a.top < room.bottom &&
                a.bottom > room.top;
              return [Math.max(said.scrollHeight - said.clientHeight, said.scrollWidth - said.clientWidth),
                [...others].filter((each) => meets(each.getBoundingClientRect())).length, room.left, room.bottom];
            }"""
        )
        assert (over, covered, left > 0, bottom <= size[1]) == (0, 0, True, True), viewer.ask("step")["text"]
        assert viewer.page.evaluate(stage) >= min(0.4 * size[1], 220)  # with the panel
    viewer.press("Escape")
    assert viewer.page.evaluate("document.documentElement.scrollHeight") == size[1]
    viewer.click("#help")  # the bar may have to be scrolled, and has it


@pytest.mark.parametrize(("direction", "first"), [("TB", "top"), ("LR", "left"), ("BT", "bottom"), ("RL", "right")])
def test_a_graph_that_does_not_fit_opens_where_it_begins(
    direction: str, first: str, opened: Callable[..., Any], net: tg.Graph
) -> None:
    viewer = opened(net, {"width": 700, "height": 400}, direction=direction)
    view, box = viewer.ask("view"), next(box for box in viewer.ask("boxes") if box["label"] == "X")
    assert view["direction"] == direction
    assert view["k"] >= 0.6
    x, y = view["left"] + view["k"] * box["x"], view["top"] + view["k"] * box["y"]
    edges = {"left": x, "top": y, "right": view["w"] - x - view["k"] * box["w"],
             "bottom": view["h"] - y - view["k"] * box["h"]}  # fmt: skip
    assert min(edges.values()) >= 0
    assert edges[first] < 60


def test_motion_can_be_unwanted(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net, reduced_motion="reduce")
    viewer.press("]")
    viewer.click("#fold-all")
    assert viewer.page.evaluate("document.getAnimations().length") == 0


def test_a_printer_gets_all_of_it_on_one_light_page(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net, theme="dark")
    viewer.press("]", "]")
    viewer.still()
    view = viewer.ask("view")
    paper = viewer.page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) == 1
    viewer.until("document.documentElement.dataset.theme === 'dark'")  # and all is as it was
    assert viewer.page.get_attribute("#canvas", "viewBox") is None
    assert viewer.ask("view") == view
    viewer.press("f", "-", "-", "-", "-", "-", "-")
    viewer.still()
    assert viewer.locator("#canvas .box text").count() == 0  # from afar the words are left out; on paper they are not
    viewer.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    x, y, w, h = map(float, viewer.page.get_attribute("#canvas", "viewBox").split())
    boxes = viewer.ask("boxes")
    assert (x, y) < (0, 0)
    assert x + w > max(box["x"] + box["w"] for box in boxes)
    assert y + h > max(box["y"] + box["h"] for box in boxes)
    assert viewer.locator("#canvas .box text").count() > 40
    viewer.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert viewer.locator("#canvas .box text").count() == 0


def test_print_shows_the_graph_alone(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    viewer.page.emulate_media(media="print")
    assert viewer.page.is_visible("#canvas")
    assert not any(viewer.page.is_visible(name) for name in ("#bar", "#player", "#under"))
