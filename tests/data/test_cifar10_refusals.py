"""What the loader of CIFAR-10 refuses: arguments, and files that are damaged, missing, hostile or of another kind."""

from __future__ import annotations

import os
import pickle
import re

import numpy as np
import pytest
from cifar10_made import TITLES, Call, content, samples

from tinygrad_fc.data import load_cifar10, read_cifar10
from tinygrad_fc.data.cifar10 import read_batch

SPLIT = {"num_training": 15, "num_validation": 4, "num_test": 5}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dtype": np.uint8}, TypeError, "dtype must be a floating type such as np.float32, got uint8"),
        ({"num_training": 0}, ValueError, "num_training must be at least 1, got 0"),
        ({"num_validation": -1}, ValueError, "num_validation must be at least 0, got -1"),
        ({"num_validation": None}, TypeError, "num_validation must be an integer, got None"),
        ({"num_test": 2.0}, TypeError, "num_test must be an integer, got 2.0"),
        ({"num_test": True}, TypeError, "num_test must be an integer, got True"),
        ({"num_training": 49_001, "num_validation": 1_000}, ValueError, "more than the 50000 images that CIFAR-10 has"),
        ({"num_test": 10_001}, ValueError, "num_test=10001 asks for more than the 10000 images"),
        ({"num_training": 17}, ValueError, "num_training=17 and num_validation=4 ask for more than the 20 images in"),
        ({"num_test": 7}, ValueError, "num_test=7 asks for more than the 6 images in test_batch of .*; ask for fewer"),
        ({"num_training": None, "num_validation": 20}, ValueError, "num_validation=20 leaves nothing to train with"),
    ],
)
def test_bad_arguments_are_named(made, arguments, error, message):
    folder, _ = made
    with pytest.raises(error, match=message):
        load_cifar10(folder, **{**SPLIT, **arguments})


def refused(path, data, message, folder=None):
    """Write `data` as the batch `path`: it is refused by name, by itself and as one of six."""
    path.write_bytes(data)
    for read in (read_batch, load_cifar10, read_cifar10):
        with pytest.raises(ValueError, match=message) as caught:
            read(path if read is read_batch else path.parent)
        assert str(path) in str(caught.value)
        assert "fetch_cifar10() downloads a sound copy" in str(caught.value)


PIXELS, LABELS = samples(np.random.default_rng(1), 4)
GOOD = content(PIXELS, LABELS.tolist(), TITLES[2])
DAMAGE = {
    "no pickle": (b"<html>", "no pickle of protocol 2 to 5"),
    "nothing": (b"", "no pickle of protocol 2 to 5"),
    "cut": (pickle.dumps(GOOD)[:-5000], "cut short"),
    "another batch": ({**GOOD, "batch_label": TITLES[1]}, "'training batch 3 of 5', as .*'training batch 2 of 5'"),
    "the test batch": ({**GOOD, "batch_label": TITLES[5].encode()}, "says that it is 'testing batch 1 of 1'"),
    "no title": ({**GOOD, "batch_label": 3}, "says that it is a int"),
    "CIFAR-100": ({"fine_labels": [1], "coarse_labels": [1], "data": PIXELS}, "it is of CIFAR-100"),
    "no labels": ({"data": PIXELS, "batch_label": "x"}, r"expected 'data' and 'labels' in it, found \['batch_label'"),
    "the label names": ({"label_names": ["cat"]}, r"found \['label_names'\]"),
    "grey images": ({**GOOD, "data": PIXELS[:, :1024]}, r"\(N, 3072\), found an array of shape \(4, 1024\)"),
    "shaped images": ({**GOOD, "data": PIXELS.reshape(4, 3, 32, 32)}, r"found an array of shape \(4, 3, 32, 32\)"),
    "a list of images": ({**GOOD, "data": PIXELS.tolist()[:1]}, "found a list"),
    "other numbers": ({**GOOD, "data": PIXELS.astype(np.float32)}, "which no batch needs"),
    "too few labels": ({**GOOD, "labels": [1, 2, 3]}, "one for each of its 4 images, found 3 of them"),
    "labels of another kind": ({**GOOD, "labels": "1234"}, "one for each of its 4 images, found a str"),
    "a label too large": ({**GOOD, "labels": [1, 2, 10, 3]}, "integers 0 to 9, found 10 at 2"),
    "a vast label": ({**GOOD, "labels": [1, 2, 2**900, 3]}, "integers 0 to 9, found 8452712"),
    "a negative label": ({**GOOD, "labels": [1, 2, 3, -1]}, "found -1 at 3"),
    "a label that is no number": ({**GOOD, "labels": [1, "2", 3, 4]}, "found a str at 1"),
    "a truth value": ({**GOOD, "labels": [1, True, 3, 4]}, "found a bool at 1"),
    "code": ({**GOOD, "filenames": [Call(os.mkdir, "canary")]}, "asks for 'mkdir'.*nothing was run"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_are_refused_by_name(made, name, tmp_path, monkeypatch):
    folder, _ = made
    monkeypatch.chdir(tmp_path)
    data, message = DAMAGE[name]
    refused(folder / "data_batch_3", data if isinstance(data, bytes) else pickle.dumps(data), message)
    assert not (tmp_path / "canary").exists()


def test_a_file_of_another_name_may_have_any_title(tmp_path):
    path = tmp_path / "mine.pickle"
    path.write_bytes(pickle.dumps(GOOD))
    assert np.array_equal(read_batch(path)[1], LABELS)
    path = tmp_path / "data_batch_3"
    path.write_bytes(pickle.dumps({"data": PIXELS, "labels": LABELS.tolist()}))  # nothing that could contradict
    assert np.array_equal(read_batch(str(path))[1], LABELS)


def test_files_that_are_too_large_are_refused_unread(made):
    folder, _ = made
    path = folder / "data_batch_3"
    os.truncate(path, 2**40)  # a sparse file: it takes no space
    with pytest.raises(ValueError, match=re.escape(f"{path} has {2**40} bytes, and a batch some 31 million")):
        read_batch(path)


def test_missing_files_are_named(made):
    folder, _ = made
    (folder / "data_batch_2").unlink()
    (folder / "test_batch").unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(f"{folder} has no data_batch_2, test_batch: part of")):
        load_cifar10(folder.parent)
    with pytest.raises(FileNotFoundError, match="data_batch_2 does not exist"):
        read_batch(folder / "data_batch_2")
    (folder / "data_batch_2").mkdir()
    with pytest.raises(ValueError, match="data_batch_2 is no regular file"):
        read_batch(folder / "data_batch_2")


def test_a_pipe_does_not_keep_us_waiting(made):
    folder, _ = made
    (folder / "data_batch_1").unlink()
    os.mkfifo(folder / "data_batch_1")
    with pytest.raises(ValueError, match="is no regular file"):
        read_cifar10(folder)
