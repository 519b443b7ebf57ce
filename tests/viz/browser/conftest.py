"""The viewer in a real browser: pages are opened from files, and whatever they ask of a network or complain of fails.

The system's Chromium is used, found on PATH or named by the variable CHROMIUM. Where there is none, the tests are
skipped, unless TINYGRAD_FC_BROWSER=required is set: then they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.viz.html import page

WIDE = {"width": 1400, "height": 900}
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def without(why: str) -> Any:
    if os.environ.get("TINYGRAD_FC_BROWSER") == "required":
        pytest.fail(f"the tests in a browser are required (TINYGRAD_FC_BROWSER), and {why}")
    pytest.skip(why)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        without("playwright is not installed: pip install playwright")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        without("no Chromium is installed (the system's package, or CHROMIUM=its path)")
    with sync_playwright() as tool:
        running = tool.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


class Viewer:
    """One open page, and the questions that tests ask it."""

    def __init__(self, page_: Any) -> None:
        self.page = page_
        self.keyboard, self.click, self.locator = page_.keyboard, page_.click, page_.locator

    def ask(self, what: str) -> Any:
        """Return what the page's own hook says: ``selected``, ``boxes``, ``step``, ..."""
        return self.page.evaluate(f"window.viewer.{what}")

    @property
    def labels(self) -> list[str]:
        return [box["label"] for box in self.ask("boxes")]

    def cell(self, label: str) -> int:
        """Return the number of the first cell in sight that is called so."""
        return int(next(box["cell"] for box in self.ask("boxes") if box["label"] == label))

    def box(self, label: str) -> Any:
        """Return the element of a box or panel."""
        return self.locator(f"#cell-{self.cell(label)}")

    def select(self, label: str) -> None:
        self.box(label).locator("rect").last.click()

    def press(self, *keys: str) -> None:
        self.page.focus("#canvas")
        for key in keys:
            self.keyboard.press(key)

    def until(self, condition: str) -> None:
        """Wait for what JavaScript says to be true (the tool's own way evaluates text: the policy forbids it)."""
        for _ in range(400):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(20)
        pytest.fail(f"it never came true that {condition}; step {self.ask('step')}, view {self.ask('view')}")

    def still(self) -> None:
        """Wait until nothing moves any more."""
        self.until("!document.getAnimations().some((a) => a.effect.getComputedTiming().iterations === 1)")
        before = None
        while before != (before := self.ask("view")):
            self.page.wait_for_timeout(60)

    def panel(self) -> str:
        return str(self.page.inner_text("#panel"))

    def facts(self) -> dict[str, str]:
        """Return the pairs that the panel lists."""
        terms = self.page.locator("#panel dt").all_inner_texts()
        return dict(zip(terms, self.page.locator("#panel dd").all_inner_texts(), strict=True))


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Viewer]]:
    """Open the page of a graph (or text that is a page). Complaints and requests of any page fail the test."""
    contexts: list[Any] = []
    troubles: list[str] = []

    def open_(target: Any, size: dict[str, int] = WIDE, ready: bool = True, **options: Any) -> Viewer:
        settings = {key: options.pop(key) for key in ("color_scheme", "reduced_motion") if key in options}
        text = target if isinstance(target, str) else page(target, **options)
        file = tmp_path / f"page{len(contexts)}.html"
        file.write_text(text, encoding="utf-8")
        context = browser.new_context(viewport=size, accept_downloads=True, **settings)
        contexts.append(context)

        def sift(route: Any) -> None:
            if route.request.url == file.as_uri():
                route.continue_()
            else:
                troubles.append(f"request: {route.request.url}")
                route.abort()

        context.route("**/*", sift)
        tab = context.new_page()
        tab.on("console", lambda message: troubles.append(f"console: {message.text}"))
        tab.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        tab.on("websocket", lambda socket: troubles.append(f"socket: {socket.url}"))
        tab.goto(file.as_uri())
        if ready:
            tab.wait_for_selector("html[data-ready]")
        return Viewer(tab)

    yield open_
    for context in contexts:
        context.close()
    assert troubles == []


def leaf(values: Any, name: str | None = None) -> tg.Tensor:
    return tg.tensor(values, requires_grad=True, name=name)


@pytest.fixture
def expression() -> tg.Graph:
    """A small expression with an array that is used twice, computed and differentiated under observation."""
    with tg.observe(values=True):
        a, b = leaf(2.0, "a"), leaf([1.0, -3.0], "b")
        product = a * b
        product.name = "product"
        loss = (np.tanh(product) + a).sum()
        loss.name = "loss"
        loss.backward()
        graph = tg.Graph(loss)
    return graph


@pytest.fixture
def net() -> tg.Graph:
    """Three layers with dropout and batch normalization, observed."""
    model = tg.models.FullyConnectedNet(
        [6, 5], input_dim=7, num_classes=3, seed=0, normalization="batchnorm", dropout_keep_ratio=0.8, reg=0.1
    )
    x = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    with tg.observe(values=True):
        loss = model.loss_tensor(x, np.array([0, 1, 2, 0]))
        loss.backward()
        graph = tg.Graph(loss)
    return graph


@pytest.fixture(scope="session")
def large() -> str:
    """The page of a graph of more than 5,000 boxes that has little to fold: each array is used here and there."""
    generator = np.random.default_rng(0)
    pool = [leaf(np.ones(2), f"p{number}") for number in range(20)]
    while len(pool) < 4_400:
        a = pool[-int(generator.integers(1, 8))]
        b = pool[int(generator.integers(0, len(pool)))] if generator.random() < 0.2 else pool[-1]
        kind = generator.integers(0, 3)
        pool.append(a * 0.5 + b if kind == 0 else a + b * 0.1 if kind == 1 else np.tanh(a) - b)
    graph = tg.Graph(pool[-1].sum())
    assert len(graph) > 5_000
    return page(graph)
