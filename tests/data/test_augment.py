"""Augmentations: what they make is an image moved or mirrored, and the batch that is given stays."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_fc.data import Compose, RandomHorizontalFlip, RandomShift

SHAPES = [(4, 5), (1, 6, 6), (3, 4, 7)]


def batch(shape: tuple[int, ...], flat: bool, dtype: Any = np.float32) -> np.ndarray:
    images = np.arange(1, 8 * np.prod(shape) + 1, dtype=dtype).reshape(8, *shape)
    return images.reshape(8, -1) if flat else images


@given(st.sampled_from(SHAPES), st.booleans(), st.integers(0, 99), st.sampled_from([np.float32, np.float64, np.uint8]))
def test_images_are_mirrored_or_left(shape: tuple[int, ...], flat: bool, seed: int, dtype: Any) -> None:
    X, y = batch(shape, flat, dtype), np.arange(8)
    before = X.copy()
    made, labels = RandomHorizontalFlip(shape)(X, y, np.random.default_rng(seed))
    assert (made.shape, made.dtype) == (X.shape, X.dtype)
    assert labels is y
    assert np.array_equal(X, before)
    for image, original in zip(made.reshape(8, *shape), X.reshape(8, *shape), strict=True):
        assert np.array_equal(image, original) or np.array_equal(image, original[..., ::-1])
    again, _ = RandomHorizontalFlip(shape)(X, y, np.random.default_rng(seed))
    assert np.array_equal(again, made)


def test_the_probability_is_that_of_mirroring() -> None:
    X = np.tile([1.0, 2.0], (4000, 1))
    for probability, low, high in ((0.0, 0.0, 0.0), (0.3, 0.27, 0.33), (1.0, 1.0, 1.0)):
        made, _ = RandomHorizontalFlip((1, 2), probability)(X, None, np.random.default_rng(0))  # type: ignore[arg-type]  # labels are passed on
        assert low <= np.mean(made[:, 0] == 2.0) <= high


@given(st.sampled_from(SHAPES), st.booleans(), st.integers(0, 3), st.integers(0, 99))
def test_images_are_moved_by_whole_pixels(shape: tuple[int, ...], flat: bool, pixels: int, seed: int) -> None:
    X, y = batch(shape, flat), np.arange(8)
    before = X.copy()
    made, labels = RandomShift(shape, pixels)(X, y, np.random.default_rng(seed))
    assert (made.shape, made.dtype) == (X.shape, X.dtype)
    assert labels is y
    assert np.array_equal(X, before)
    height, width = shape[-2:]
    for image, original in zip(made.reshape(8, *shape), X.reshape(8, *shape), strict=True):
        padded = np.pad(original, [(0, 0)] * (len(shape) - 2) + [(pixels, pixels)] * 2)
        moved = [padded[..., down : down + height, right : right + width]
                 for down in range(2 * pixels + 1) for right in range(2 * pixels + 1)]  # fmt: skip
        assert any(np.array_equal(image, candidate) for candidate in moved)


def test_every_shift_is_as_likely() -> None:
    X = np.zeros((5000, 3, 3))
    X[:, 1, 1] = 1.0
    made, _ = RandomShift((3, 3), 1)(X, np.zeros(5000), np.random.default_rng(0))
    assert np.allclose(made.mean(axis=0), 1 / 9, atol=0.02)


def test_steps_follow_one_another() -> None:
    both = Compose(RandomHorizontalFlip((1, 3), 1.0), lambda X, y, generator: (X + 1, y))
    made, y = both(np.array([[1.0, 2.0, 3.0]]), np.array([5]), np.random.default_rng(0))
    assert made.tolist() == [[4.0, 3.0, 2.0]]
    assert y.tolist() == [5]
    shift = Compose(RandomShift((3, 32, 32), 2))
    assert repr(pickle.loads(pickle.dumps(shift))) == "Compose(RandomShift((3, 32, 32), pixels=2))"
    with pytest.raises(TypeError, match="Compose: given 3"):
        Compose(3)  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize("make", [RandomHorizontalFlip, RandomShift])
def test_what_is_no_image_is_refused(make: Any) -> None:
    for shape in ((3,), (), "ab", (0, 4), (2.0, 3), 5):
        with pytest.raises(ValueError, match=r"shape .*, expected that of an image"):
            make(shape)
    with pytest.raises(ValueError, match=r"given a batch of shape \(4, 13\), expected \(N, 12\) or \(N, 3, 4\)"):
        make((3, 4))(np.zeros((4, 13)), np.zeros(4), np.random.default_rng(0))
    for value in (-1, 5, "x", True, 1.5):
        with pytest.raises(ValueError, match=r"probability|pixels"):
            make((4, 4), value)
