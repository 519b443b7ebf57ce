"""The digits that travel with the package."""

import numpy as np
import pytest

from tinygrad_fc.data import load_digits

LABELS = np.arange(10)


def test_shapes_dtypes_and_range():
    data = load_digits()
    assert {name: (array.shape, array.dtype.name) for name, array in data.items()} == {
        "X_train": ((1200, 64), "float32"),
        "y_train": ((1200,), "int64"),
        "X_val": ((297, 64), "float32"),
        "y_val": ((297,), "int64"),
        "X_test": ((300, 64), "float32"),
        "y_test": ((300,), "int64"),
    }
    images = np.concatenate([data["X_train"], data["X_val"], data["X_test"]])
    assert images.min() == 0.0
    assert images.max() == 1.0
    assert np.array_equal(images * 16, np.round(images * 16))


def test_the_file_is_the_published_data_set():
    # The sum of all pixels and the count of each digit, as anyone who has the data set can add them up.
    data = load_digits(dtype=np.float64)
    images = np.concatenate([data["X_train"], data["X_val"], data["X_test"]])
    labels = np.concatenate([data["y_train"], data["y_val"], data["y_test"]])
    assert images.sum() * 16 == 561_718
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_images_belong_to_their_labels():
    # Without training: the nearest class mean is right nine times in ten, which a shuffled label would not be.
    data = load_digits()
    means = np.array([data["X_train"][data["y_train"] == label].mean(axis=0) for label in LABELS])
    distance = ((data["X_test"][:, None, :] - means) ** 2).sum(axis=2)
    assert (distance.argmin(axis=1) == data["y_test"]).mean() > 0.88


def test_split_is_a_partition_that_the_seed_decides():
    first, again, other = load_digits(seed=3), load_digits(seed=3), load_digits(seed=4)
    for name, array in first.items():
        assert np.array_equal(array, again[name])
    assert not np.array_equal(first["X_train"], other["X_train"])

    def rows(data):
        images = np.concatenate([data["X_train"], data["X_val"], data["X_test"]])
        return sorted(image.tobytes() for image in images)

    assert rows(first) == rows(other)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_every_part_and_its_start_hold_the_digits_in_equal_shares(part):
    labels = load_digits(seed=1)[f"y_{part}"]
    assert np.abs(np.bincount(labels, minlength=10) - len(labels) / 10).max() <= 5
    assert set(labels[:50].tolist()) == set(range(10))
    assert np.abs(np.bincount(labels[:100], minlength=10) - 10).max() <= 2
    # Interleaved, yet in no fixed order.
    assert len({tuple(labels[start : start + 10]) for start in range(0, 100, 10)}) > 5


def test_forms():
    flat, square = load_digits(), load_digits(flatten=False)
    assert square["X_val"].shape == (297, 8, 8)
    assert np.array_equal(square["X_val"].reshape(297, 64), flat["X_val"])
    centred = load_digits(dtype=np.float64, subtract_mean=True)
    assert centred["X_train"].dtype == np.float64
    assert np.abs(centred["X_train"].mean(axis=0)).max() < 1e-12
    # The mean of the training part, and no other, is what left the validation part.
    full = load_digits(dtype=np.float64)
    assert np.allclose(full["X_val"] - centred["X_val"], full["X_train"].mean(axis=0))


def test_arrays_are_the_callers_own():
    data = load_digits()
    for array in data.values():
        assert array.flags.writeable
        assert array.flags.owndata
    data["X_train"][...] = 7.0
    assert load_digits()["X_train"].max() == 1.0


def test_sizes():
    data = load_digits(num_validation=0, num_test=0)
    assert len(data["X_train"]) == 1797
    assert len(data["X_val"]) == len(data["X_test"]) == 0
    assert len(load_digits(num_validation=1, num_test=1795)["X_train"]) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_validation": -1}, ValueError, "num_validation must be at least 0, got -1"),
        ({"num_test": 0.2}, TypeError, "num_test must be an integer, got 0.2"),
        ({"num_validation": 1000, "num_test": 797}, ValueError, "is 1797, but there are 1797 images"),
        ({"dtype": np.uint8}, TypeError, "dtype must be a floating type such as np.float32, got uint8"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        load_digits(**arguments)
