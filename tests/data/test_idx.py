"""Files of idx format and Fashion-MNIST: read whole, or refused by name."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.data import fashion_mnist, load_fashion_mnist, read_fashion_mnist
from tinygrad_fc.data.idx import read_idx

COUNTS = {"train": 30, "t10k": 12}


def idx(array: np.ndarray) -> bytes:
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()


@pytest.fixture
def made(tmp_path: Path) -> dict[str, np.ndarray]:
    """Write a small Fashion-MNIST, half of it packed, and return what is in it."""
    generator, arrays = np.random.default_rng(0), {}
    for part, count in COUNTS.items():
        for kind, array in (
            ("images-idx3", generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)),
            ("labels-idx1", (np.arange(count) % 10).astype(np.uint8)),
        ):
            name = f"{part}-{kind}-ubyte"
            arrays[name] = array
            if part == "train":
                (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (tmp_path / name).write_bytes(idx(array))
    return arrays


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (1, 1, 1, 1), (0, 28, 28)])
@pytest.mark.parametrize("packed", [False, True])
def test_arrays_come_back(shape: tuple[int, ...], packed: bool, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    found = read_idx(path)
    assert found.dtype == np.uint8
    assert np.array_equal(found, array)
    found[...] = 0  # it is the caller's own


GOOD = idx(np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no idx file of unsigned bytes"),
        (b"\0\0\x08", "no idx file of unsigned bytes"),
        (b"\x80\x04\x95abc", "no idx file of unsigned bytes"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "no idx file of unsigned bytes"),
        (b"\0\0\x08\x05" + bytes(24), "no idx file of unsigned bytes"),
        (b"\0\0\x08\x03\0\0", "it is cut off, or announces"),
        (b"\0\0\x08\x04" + b"\xff" * 16, "announces 340,[0-9,]+ bytes"),
        (b"\0\0\x08\x02\0\1\0\0\0\1\0\0", "announces 4,294,967,296 bytes; at most 2,147,483,648"),
        (GOOD[:-1], r"it has 5 bytes where its dimensions \(2, 3\) announce 6"),
        (GOOD + b"\0", "it has more bytes where its dimensions"),
    ],
)
def test_other_files_are_refused_by_name(content: bytes, match: str, tmp_path: Path) -> None:
    for path, written in ((tmp_path / "x", content), (tmp_path / "x.gz", gzip.compress(content))):
        path.write_bytes(written)
        with pytest.raises(ValueError, match=rf"{path.name}: .*{match}"):
            read_idx(path)


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_packed_files_that_are_cut_off_or_flipped_are_refused(cut: int, tmp_path: Path) -> None:
    packed = gzip.compress(GOOD)
    path = tmp_path / "x.gz"
    path.write_bytes(packed[:-cut])
    with pytest.raises(ValueError, match=r"x\.gz: "):
        read_idx(path)
    flipped = bytearray(packed)
    flipped[-cut] ^= 0x40
    path.write_bytes(bytes(flipped))
    with contextlib.suppress(ValueError):  # else it is a bit that means nothing, such as the time in the header
        assert read_idx(path).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_fashion_is_read_as_published(made: Any, tmp_path: Path) -> None:
    data = read_fashion_mnist(tmp_path)
    assert np.array_equal(data["X_train"], made["train-images-idx3-ubyte"])
    assert np.array_equal(data["y_test"], made["t10k-labels-idx1-ubyte"])
    assert {name: array.dtype.name for name, array in data.items()} == {
        "X_train": "uint8", "y_train": "int64", "X_test": "uint8", "y_test": "int64"
    }  # fmt: skip


def test_fashion_is_split_scaled_and_centred(made: Any, tmp_path: Path) -> None:
    images = made["train-images-idx3-ubyte"]
    plain = load_fashion_mnist(tmp_path, num_validation=10, subtract_mean=False, dtype=np.float64, flatten=False)
    assert np.array_equal(plain["X_train"], images[:20] / 255.0)
    assert np.array_equal(plain["X_val"], images[20:] / 255.0)
    assert plain["X_test"].shape == (12, 28, 28)
    data = load_fashion_mnist(tmp_path, num_validation=10)
    assert data["X_train"].shape == (20, 784)
    assert all(data[f"X_{part}"].dtype == np.float32 for part in ("train", "val", "test"))
    assert np.allclose(data["X_train"].mean(axis=0), 0.0, atol=1e-6)
    mean = plain["X_train"].mean(axis=0)
    assert np.allclose(data["X_test"].reshape(12, 28, 28), plain["X_test"] - mean, atol=1e-6)
    assert data["y_val"].tolist() == made["train-labels-idx1-ubyte"][20:].tolist()


def test_places_that_are_looked_in(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = tmp_path / "data" / "fashion-mnist"
    moved.mkdir(parents=True)
    for path in list(tmp_path.glob("*ubyte*")):
        path.rename(moved / path.name)
    assert len(read_fashion_mnist(tmp_path / "data")["X_train"]) == 30
    monkeypatch.setenv("TINYGRAD_FC_DATA", str(tmp_path / "data"))
    assert len(read_fashion_mnist()["X_train"]) == 30
    monkeypatch.setenv("TINYGRAD_FC_DATA", str(tmp_path / "none"))
    monkeypatch.setattr(fashion_mnist, "DEBIAN", moved)
    assert len(read_fashion_mnist()["X_train"]) == 30
    with pytest.raises(FileNotFoundError, match="install Debian's package dataset-fashion-mnist, or put train-images"):
        read_fashion_mnist(tmp_path / "none")


def test_files_that_do_not_belong_together_are_refused(made: Any, tmp_path: Path) -> None:
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    for array, match in (
        (np.zeros(11, np.uint8), "it has 11 labels for 12 images"),
        (np.full(12, 10, np.uint8), "it holds the label 10, expected 0 to 9"),
        (np.zeros((12, 1), np.uint8), r"it holds an array of \(12, 1\)"),
    ):
        labels.write_bytes(idx(array))
        with pytest.raises(ValueError, match=rf"t10k-labels-idx1-ubyte: {match}"):
            read_fashion_mnist(tmp_path)
    labels.unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte\(\.gz\) is missing"):
        read_fashion_mnist(tmp_path)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"dtype": int}, TypeError, "dtype must be a floating type"),
        ({"num_validation": 1.0}, TypeError, "num_validation must be an integer"),
        ({"num_validation": -1}, ValueError, "num_validation must be at least 0"),
        ({"num_validation": 30}, ValueError, "leave some of 30 images"),
    ],
)
def test_arguments_are_checked(given: Any, error: type[Exception], match: str, made: Any, tmp_path: Path) -> None:
    with pytest.raises(error, match=match):
        load_fashion_mnist(tmp_path, **given)
