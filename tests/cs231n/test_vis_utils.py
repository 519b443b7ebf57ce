"""The grid of images: where each one is, how it is stretched, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.cs231n.vis_utils import visualize_grid


def test_grid_of_four():
    Xs = np.array([[[0, 1], [2, 4]], [[5, 5], [5, 5]], [[-1, 0], [0, 1]], [[8, 4], [2, 0]]])[..., None]
    grid = visualize_grid(Xs, ubound=8.0, padding=1)
    assert grid.dtype == np.float64
    assert grid[..., 0].tolist() == [
        [0, 2, 0, 0, 0],
        [4, 8, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 4, 0, 8, 4],
        [4, 8, 0, 2, 0],
    ]


@pytest.mark.parametrize(("count", "side"), [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (10, 4), (50, 8), (100, 10)])
@pytest.mark.parametrize("padding", [0, 1, 3])
def test_sizes_and_places(rng, count, side, padding):
    Xs = rng.normal(size=(count, 4, 6, 3))
    grid = visualize_grid(Xs, padding=padding)
    assert grid.shape == (side * 4 + (side - 1) * padding, side * 6 + (side - 1) * padding, 3)
    filled = np.zeros(grid.shape, dtype=bool)
    for index, image in enumerate(Xs):
        top, left = index // side * (4 + padding), index % side * (6 + padding)
        place = np.s_[top : top + 4, left : left + 6]
        expected = 255.0 * (image - image.min()) / (image.max() - image.min())
        np.testing.assert_allclose(grid[place], expected, rtol=1e-12, atol=1e-10)
        filled[place] = True
    assert not grid[~filled].any()


def test_the_ends_of_the_range_are_exact(rng):
    # 254.99999999999997 would be cut to 254.
    for image in rng.normal(size=(200, 1, 4, 4, 3)):
        shown = visualize_grid(image).astype("uint8")
        assert (shown.min(), shown.max()) == (0, 255)


def test_weights_as_the_workbook_shows_them(rng):
    W1 = rng.normal(size=(50, 3072))
    grid = visualize_grid(W1.T.reshape(32, 32, 3, -1).transpose(3, 0, 1, 2), padding=3).astype("uint8")
    assert grid.shape == (8 * 32 + 7 * 3, 8 * 32 + 7 * 3, 3)
    first = W1[0].reshape(32, 32, 3)
    expected = (first - first.min()) / (first.max() - first.min()) * 255.0
    assert np.array_equal(grid[:32, :32], expected.astype("uint8"))


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-300])
def test_an_image_of_one_value_is_dark(value):
    assert not visualize_grid(np.full((2, 3, 3, 1), value)).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.bool_, np.float16, np.float32])
def test_dtypes(dtype):
    Xs = np.array([0, 1, 1, 0]).reshape(1, 2, 2, 1).astype(dtype)
    if dtype == np.int8:
        Xs = np.array([-128, 127, 127, -128], np.int8).reshape(1, 2, 2, 1)  # whose range no int8 can hold
    grid = visualize_grid(Xs)
    assert grid.dtype == np.float64
    assert grid.ravel().tolist() == [0.0, 255.0, 255.0, 0.0]


def test_the_argument_is_left_as_it_was(rng):
    Xs = rng.normal(size=(3, 2, 2, 3))
    before = Xs.copy()
    assert not np.shares_memory(visualize_grid(Xs), Xs)
    assert np.array_equal(Xs, before)
    assert np.array_equal(visualize_grid(Xs.tolist()), visualize_grid(Xs))


GOOD = np.zeros((2, 4, 4, 3))
NAN = GOOD.copy()
NAN[1, 0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"Xs": GOOD[0]}, ValueError, r"got shape \(4, 4, 3\); for .* without a channel axis, give Xs\[..., None\]"),
        ({"Xs": GOOD[:0]}, ValueError, r"none of these 0, got shape \(0, 4, 4, 3\)"),
        ({"Xs": 1.0}, ValueError, r"got shape \(\)"),
        ({"Xs": GOOD.astype(str)}, TypeError, "Xs must hold real numbers, got dtype <U"),
        ({"Xs": GOOD * 1j}, TypeError, "got dtype complex128"),
        ({"Xs": NAN}, ValueError, r"Xs\[1\] has values that are not finite"),
        ({"padding": -1}, ValueError, "padding must be at least 0 pixels, got -1"),
        ({"padding": 1.5}, TypeError, "padding must be an integer number of pixels, got 1.5"),
        ({"padding": True}, TypeError, "padding must be an integer number of pixels, got True"),
        ({"ubound": 0.0}, ValueError, "ubound must be a positive number, got 0.0"),
        ({"ubound": np.inf}, ValueError, "ubound must be a positive number, got inf"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        visualize_grid(**{"Xs": GOOD, **arguments})


def test_a_tensor_that_needs_a_gradient_is_refused():
    with pytest.raises(TypeError, match="data"):
        visualize_grid(tg.tensor(GOOD, requires_grad=True))
