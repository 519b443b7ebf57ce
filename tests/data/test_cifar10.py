"""The loader of CIFAR-10: splits and forms, the places it looks in, and memory."""

from __future__ import annotations

import pickle
import re
import shutil
import tracemalloc

import numpy as np
import pytest
from cifar10_made import NAMES, PUBLISHED_ORDER, TITLES, content, write_archive, write_folder

from tinygrad_fc.data import load_cifar10, read_cifar10
from tinygrad_fc.data.cifar10 import read_batch
from tinygrad_fc.data.download import data_folder

SPLIT = {"num_training": 15, "num_validation": 4, "num_test": 5}


# Splits and forms


def test_split_and_mean(made):
    folder, truth = made
    data = load_cifar10(folder, dtype=np.float64, **SPLIT)
    assert {name: (array.shape, array.dtype.name) for name, array in data.items()} == {
        "X_train": ((15, 3, 32, 32), "float64"),
        "y_train": ((15,), "int64"),
        "X_val": ((4, 3, 32, 32), "float64"),
        "y_val": ((4,), "int64"),
        "X_test": ((5, 3, 32, 32), "float64"),
        "y_test": ((5,), "int64"),
    }
    mean = truth["X_train"][:15].mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(data["X_train"], truth["X_train"][:15] - mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(data["X_val"], truth["X_train"][15:19] - mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(data["X_test"], truth["X_test"][:5] - mean, rtol=0, atol=1e-12)
    assert data["y_train"].tolist() == truth["y_train"][:15].tolist()
    assert data["y_val"].tolist() == truth["y_train"][15:19].tolist()
    assert data["y_test"].tolist() == truth["y_test"][:5].tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes(made, dtype):
    folder, truth = made
    raw = load_cifar10(folder, dtype=dtype, subtract_mean=False, **SPLIT)
    assert raw["X_train"].dtype == dtype
    assert np.array_equal(raw["X_train"], truth["X_train"][:15])
    centred = load_cifar10(folder, dtype=dtype, **SPLIT)["X_train"]
    assert centred.dtype == dtype
    exact = truth["X_train"][:15] - truth["X_train"][:15].mean(axis=0, dtype=np.float64)
    assert np.abs(centred - exact).max() <= 255 * np.finfo(dtype).eps


def test_the_default_is_the_notebooks_split():
    defaults = dict(zip(load_cifar10.__code__.co_varnames, load_cifar10.__defaults__, strict=False))
    assert [defaults[name] for name in SPLIT] == [49_000, 1_000, 1_000]
    assert defaults["dtype"] is np.float32


def test_forms(made):
    folder, _ = made
    plain = load_cifar10(folder, **SPLIT)
    for part in ("X_train", "X_val", "X_test"):
        count = len(plain[part])
        rows = load_cifar10(folder, flatten=True, **SPLIT)[part]
        last = load_cifar10(folder, channels_last=True, **SPLIT)[part]
        both = load_cifar10(folder, flatten=True, channels_last=True, **SPLIT)[part]
        assert rows.shape == both.shape == (count, 3072)
        assert last.shape == (count, 32, 32, 3)
        assert np.array_equal(rows, plain[part].reshape(count, -1))
        assert np.array_equal(last, plain[part].transpose(0, 2, 3, 1))
        assert np.array_equal(both, last.reshape(count, -1))


def test_arrays_are_the_callers_own(made):
    folder, _ = made
    for form in ({}, {"flatten": True}, {"channels_last": True}, {"num_training": None, "num_test": None}):
        for array in load_cifar10(folder, **{**SPLIT, **form}).values():
            assert array.flags.writeable
            assert array.flags.owndata
            assert array.flags.c_contiguous


def test_counts_that_are_left_open(made):
    folder, truth = made
    data = load_cifar10(folder, num_training=None, num_validation=3, num_test=None, subtract_mean=False)
    assert [len(data[f"X_{part}"]) for part in ("train", "val", "test")] == [17, 3, 6]
    assert np.array_equal(data["X_train"], truth["X_train"][:17])
    assert np.array_equal(data["X_val"], truth["X_train"][17:])
    assert np.array_equal(data["X_test"], truth["X_test"])
    assert len(load_cifar10(folder, num_training=None, num_validation=0, num_test=2)["X_test"]) == 2


def test_parts_may_be_small_or_empty(made):
    folder, truth = made
    data = load_cifar10(folder, num_training=1, num_validation=0, num_test=0)
    assert [len(array) for array in data.values()] == [1, 1, 0, 0, 0, 0]
    assert np.array_equal(data["X_train"], np.zeros((1, 3, 32, 32)))
    across = load_cifar10(folder, num_training=3, num_validation=9, num_test=1, subtract_mean=False)
    assert np.array_equal(across["X_val"], truth["X_train"][3:12])


def test_raw_images(made):
    folder, truth = made
    raw = read_cifar10(folder)
    assert list(raw) == ["X_train", "y_train", "X_test", "y_test"]
    assert raw["X_train"].dtype == np.uint8
    for name, array in raw.items():
        assert np.array_equal(array, truth[name])
    images, labels = read_batch(folder / "data_batch_2")
    assert images.dtype == np.uint8
    assert images.flags.writeable
    assert labels.dtype == np.int64
    assert np.array_equal(images, truth["X_train"][4:7])
    assert np.array_equal(labels, truth["y_train"][4:7])


def test_batches_that_were_saved_again(made, rng):
    folder, truth = made
    for protocol, name, title in zip((2, 3, 4, 5, 2, 5), NAMES, TITLES, strict=True):
        images, labels = read_batch(folder / name)
        saved = content(images.reshape(len(images), -1), labels.tolist(), title)
        (folder / name).write_bytes(pickle.dumps(saved, protocol))
    assert all(np.array_equal(array, truth[name]) for name, array in read_cifar10(folder).items())


# Places


def test_the_variable_names_the_place(made, monkeypatch):
    folder, _ = made
    for place in (folder, folder.parent):
        monkeypatch.setenv("TINYGRAD_FC_DATA", str(place))
        assert len(load_cifar10(**SPLIT)["X_train"]) == 15
        assert data_folder() == place
    with pytest.raises(FileNotFoundError):  # what is named goes before the variable
        load_cifar10(folder / "elsewhere", **SPLIT)


def test_the_cache_folder_is_the_default(made, tmp_path, monkeypatch):
    folder, _ = made
    monkeypatch.setenv("TINYGRAD_FC_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.platform", "linux")
    shutil.copytree(folder, tmp_path / "cache" / "tinygrad_fc" / "cifar-10-batches-py")
    assert len(load_cifar10(**SPLIT)["X_val"]) == 4
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == tmp_path / ".cache" / "tinygrad_fc"
    assert data_folder("~/here") == tmp_path / "here"
    monkeypatch.setattr("sys.platform", "darwin")
    assert data_folder() == tmp_path / "Library" / "Caches" / "tinygrad_fc"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert data_folder() == tmp_path / "local" / "tinygrad_fc"


def test_where_nothing_is_the_error_says_where_it_looked(tmp_path, monkeypatch):
    cures = "fetch_cifar10.* downloads it; .* named by root or by TINYGRAD_FC_DATA"
    with pytest.raises(FileNotFoundError, match=re.escape(f"looked in {tmp_path} (root), which has no") + ".*" + cures):
        load_cifar10(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"\(root\), which does not exist. .*" + cures):
        load_cifar10(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"tinygrad_fc \(the user's cache folder\), which does not exist"):
        load_cifar10()
    monkeypatch.setenv("TINYGRAD_FC_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=re.escape(f"{tmp_path} (TINYGRAD_FC_DATA), which has no data_batch_1")):
        read_cifar10()


# Memory


@pytest.mark.parametrize("source", ["folder", "archive"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_peak_memory_is_little_more_than_the_result(tmp_path, rng, source, dtype):
    folder = tmp_path / "cifar-10-batches-py"
    write_folder(folder, rng, (100,) * 6)
    root = folder if source == "folder" else write_archive(tmp_path / "a.tar.gz", folder, PUBLISHED_ORDER)
    counts = {"num_training": 490, "num_validation": 10, "num_test": 10}
    load_cifar10(root, dtype, **counts)  # imports what it needs
    tracemalloc.start()
    try:
        data = load_cifar10(root, dtype, **counts)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.3 * sum(array.nbytes for array in data.values())
