"""Draw the graph of a two-layer network's loss: the picture in README.md.

python examples/draw_two_layer_net.py [FILE]

FILE ends in .svg, .png or .dot; the default is docs/images/graph.svg of this repository.
"""

import sys
from pathlib import Path

import numpy as np

import tinygrad_fc as tg


def main() -> None:
    """Build a small network, compute its loss on five made-up samples, and draw what was recorded."""
    default = Path(__file__).resolve().parents[1] / "docs" / "images" / "graph.svg"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    generator = np.random.default_rng(0)
    model = tg.models.TwoLayerNet(input_dim=4, hidden_dim=8, num_classes=3, weight_scale=0.1, reg=0.1, seed=0)
    loss = model.loss_tensor(generator.normal(size=(5, 4)), generator.integers(3, size=5))
    tg.draw(loss, target)
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
