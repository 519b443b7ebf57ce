"""Five graphs whose pictures are kept as references; ``python tests/gallery.py`` draws these anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_fc as tg

REFERENCES = Path(__file__).parent / "viz" / "references"


def expression() -> Any:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="x")
    w = tg.tensor([0.5, -1.0], requires_grad=True, name="w")
    return (np.tanh(x @ w) * 2.0 - w.sum()).sum()


def two_layers() -> Any:
    model = tg.models.TwoLayerNet(input_dim=12, hidden_dim=8, num_classes=3, seed=0)
    return model.loss_tensor(np.ones((4, 12), np.float32), np.array([0, 2, 1, 0]))


def six_layers() -> Any:
    model = tg.models.FullyConnectedNet(
        [8] * 5, input_dim=12, num_classes=3, normalization="batchnorm", dropout_keep_ratio=0.8, seed=0
    )
    return model.loss_tensor(np.ones((4, 12), np.float32), np.array([0, 2, 1, 0]))


def second_order() -> Any:
    x = tg.tensor([0.5, 1.5], requires_grad=True, name="x")
    (slope,) = tg.gradients((np.sin(x) * x).sum(), [x], create_graph=True)
    return (slope**2).sum()


def loop() -> Any:
    w = tg.tensor(np.eye(3) / 2, requires_grad=True, name="w")
    h = tg.tensor(np.zeros(3), name="h0")
    inputs = tg.tensor(np.ones((30, 3)), name="x")
    for t in range(30):
        h = np.tanh(h @ w + inputs[t])
    return (h**2).sum()


# Each with the options that it is drawn with.
GALLERY: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "expression": (expression, {}),
    "two_layers": (two_layers, {}),
    "six_layers": (six_layers, {"depth": 1}),
    "second_order": (second_order, {}),
    "loop": (loop, {"fold": True}),
}


def draw(name: str, folder: Path, suffix: str = "svg", **options: Any) -> Path:
    """Draw one of the graphs into a folder."""
    make, fixed = GALLERY[name]
    return tg.draw(make(), folder / f"{name}.{suffix}", **{**fixed, **options})


if __name__ == "__main__":
    REFERENCES.mkdir(exist_ok=True)
    for title in GALLERY:
        print(draw(title, REFERENCES))
