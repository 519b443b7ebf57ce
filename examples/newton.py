"""Newton's method with exact second derivatives: the gradient of a gradient.

Minimises Rosenbrock's function, a curved valley in which plain gradient descent needs thousands of steps.

    python examples/newton.py
"""

import numpy as np

import tinygrad_fc as tg


def rosenbrock(point: tg.Tensor) -> tg.Tensor:
    """Return (1 - x)² + 100 (y - x²)²: its minimum, 0, is at (1, 1)."""
    x, y = point
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


def newton_step(point: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the value at `point`, and where the minimum of the parabola that fits there lies."""
    p = tg.tensor(point, requires_grad=True)
    value = rosenbrock(p)
    (gradient,) = tg.gradients(value, [p], create_graph=True)
    rows = [tg.gradients(component, [p], retain_graph=True)[0].data for component in gradient]
    return value.item(), point - np.linalg.solve(np.array(rows), gradient.data)


def main() -> None:
    """Print each step from the usual starting point."""
    point = np.array([-1.2, 1.0])
    for step in range(8):
        value, following = newton_step(point)
        print(f"step {step}: f = {value:10.3e} at ({point[0]:9.6f}, {point[1]:9.6f})")
        if value < 1e-24:
            break
        point = following


if __name__ == "__main__":
    main()
