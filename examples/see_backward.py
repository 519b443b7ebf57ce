"""Step through backpropagation: write the viewer of a small expression, and print the same chain rule as text.

python examples/see_backward.py [FILE]

FILE ends in .html; the default is out/backward.html. Open it in a browser and press Play.
"""

import sys
from pathlib import Path

import numpy as np

import tinygrad_fc as tg


def main() -> None:
    """Compute a neuron's output, draw its graph as a page, and explain its gradient."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("out/backward.html")
    target.parent.mkdir(parents=True, exist_ok=True)
    x = tg.tensor([2.0, -1.0])
    w = tg.tensor([0.5, 1.5], requires_grad=True)
    b = tg.tensor(1.0, requires_grad=True)
    z = np.sum(w * x) + b
    out = np.tanh(z) * z
    tg.draw(out, target)
    print(tg.explain(out))
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
