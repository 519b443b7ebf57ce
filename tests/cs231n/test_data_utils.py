"""The course's loaders: its names, shapes and dtypes, on small files in the published form."""

from __future__ import annotations

import inspect
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from cifar10_made import write_folder

from tinygrad_fc.cs231n.data_utils import get_CIFAR10_data, load_CIFAR10, load_CIFAR_batch
from tinygrad_fc.data import load_cifar10

COUNTS = {"num_training": 15, "num_validation": 4, "num_test": 5}


@pytest.fixture
def made(tmp_path, rng, monkeypatch):
    """A folder of small batches (20 images to train with, 6 to test with), and what is in it."""
    monkeypatch.delenv("TINYGRAD_FC_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cifar-10-batches-py"
    return folder, write_folder(folder, rng)


def channels_last(images):
    return images.transpose(0, 2, 3, 1).astype(np.float64)


def test_load_CIFAR_batch(made):
    folder, truth = made
    X, Y = load_CIFAR_batch(str(folder / "data_batch_1"))
    assert (X.shape, X.dtype, Y.dtype) == ((4, 32, 32, 3), np.float64, np.int64)
    assert np.array_equal(X, channels_last(truth["X_train"][:4]))
    assert np.array_equal(Y, truth["y_train"][:4])
    X -= 1.0
    with pytest.raises(FileNotFoundError, match="data_batch_9"):
        load_CIFAR_batch(folder / "data_batch_9")


def test_load_CIFAR10(made):
    folder, truth = made
    Xtr, Ytr, Xte, Yte = load_CIFAR10(str(folder))
    assert Xtr.dtype == Xte.dtype == np.float64
    assert np.array_equal(Xtr, channels_last(truth["X_train"]))
    assert np.array_equal(Xte, channels_last(truth["X_test"]))
    assert np.array_equal(Ytr, truth["y_train"])
    assert np.array_equal(Yte, truth["y_test"])
    assert Ytr.dtype == Yte.dtype == np.int64
    for array in (Xtr, Ytr, Xte, Yte):
        assert array.flags.writeable
        assert array.flags.owndata


def test_the_variable_names_the_folder(made, monkeypatch):
    folder, truth = made
    monkeypatch.setenv("TINYGRAD_FC_DATA", str(folder))
    assert np.array_equal(load_CIFAR10()[1], truth["y_train"])
    assert np.array_equal(get_CIFAR10_data(**COUNTS)["y_test"], truth["y_test"][:5])


def test_a_folder_that_a_notebook_spells_out(made, tmp_path, monkeypatch):
    folder, truth = made
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert len(load_CIFAR10("../cifar-10-batches-py")[0]) == 20
    with pytest.raises(FileNotFoundError, match=re.escape(str(Path("../elsewhere").absolute()))):
        load_CIFAR10("../elsewhere")
    monkeypatch.setenv("TINYGRAD_FC_DATA", str(folder))
    with pytest.warns(UserWarning, match=re.escape(f"../elsewhere does not exist; reading {folder}, as TINYGRAD")):
        loaded = load_CIFAR10("../elsewhere")
    assert np.array_equal(loaded[3], truth["y_test"])
    with pytest.raises(FileNotFoundError):
        get_CIFAR10_data(**COUNTS, cifar10_dir="../elsewhere")


def test_get_CIFAR10_data_in_the_notebooks_form(made):
    folder, truth = made
    data = get_CIFAR10_data(**COUNTS, cifar10_dir=folder)
    assert {name: array.shape for name, array in data.items()} == {
        "X_train": (15, 3, 32, 32),
        "y_train": (15,),
        "X_val": (4, 3, 32, 32),
        "y_val": (4,),
        "X_test": (5, 3, 32, 32),
        "y_test": (5,),
    }
    assert list(data) == ["X_train", "y_train", "X_val", "y_val", "X_test", "y_test"]
    assert data["X_train"].dtype == np.float64
    assert np.abs(data["X_train"].mean(axis=0)).max() < 1e-12
    raw = get_CIFAR10_data(15, 4, 5, False, cifar10_dir=folder)
    assert np.array_equal(raw["X_val"], truth["X_train"][15:19])


def test_get_CIFAR10_data_has_the_courses_signature():
    parameters = inspect.signature(get_CIFAR10_data).parameters
    assert [(name, parameter.default) for name, parameter in parameters.items()][:4] == [
        ("num_training", 49000), ("num_validation", 1000), ("num_test", 1000), ("subtract_mean", True),
    ]  # fmt: skip


def test_the_workbooks_form_is_what_its_steps_on_load_CIFAR10_give(made):
    folder, _ = made
    Xtr, Ytr, Xte, Yte = load_CIFAR10(folder)
    parts = [Xtr[list(range(15))], Xtr[list(range(15, 19))], Xte[list(range(5))]]
    mean = np.mean(parts[0], axis=0)
    for part in parts:
        part -= mean
    X_train, y_train, X_val, y_val, X_test, y_test = get_CIFAR10_data(**COUNTS, cifar10_dir=folder, flatten=True)
    for ours, theirs in zip((X_train, X_val, X_test), parts, strict=True):
        assert ours.shape == (len(theirs), 3072)
        np.testing.assert_allclose(ours, theirs.reshape(len(theirs), -1), rtol=0, atol=1e-12)
    assert np.array_equal(y_train, Ytr[:15])
    assert np.array_equal(y_val, Ytr[15:19])
    assert np.array_equal(y_test, Yte[:5])
    # As rows with channels last, so that a row comes back as a picture in the way the workbook shows weights.
    rows = load_cifar10(folder, np.float64, **COUNTS, channels_last=True)["X_train"]
    assert np.array_equal(X_train.T.reshape(32, 32, 3, -1).transpose(3, 0, 1, 2), rows)


def test_peak_memory_is_little_more_than_the_result(tmp_path, rng):
    write_folder(tmp_path, rng, (60,) * 6)
    load_CIFAR10(tmp_path)
    tracemalloc.start()
    try:
        loaded = load_CIFAR10(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.3 * sum(array.nbytes for array in loaded)
