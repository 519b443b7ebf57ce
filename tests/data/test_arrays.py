"""A user's own data: .npz and .csv become what a solver takes, or an error that says where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.data import load_arrays

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10) % 3


def rows(data: Any, parts: tuple[str, ...]) -> list[list[float]]:
    return sorted(row.tolist() for part in parts for row in data[f"X_{part}"])


def test_parts_are_taken_as_they_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X_train=X, y_train=Y, X_val=X[:4], y_val=Y[:4], X_test=X[4:], y_test=Y[4:], more=X)
    data = load_arrays(tmp_path / "a.npz")
    assert sorted(data) == ["X_test", "X_train", "X_val", "y_test", "y_train", "y_val"]
    assert np.array_equal(data["X_train"], X)
    assert data["X_train"].dtype == np.float32
    assert data["y_test"].tolist() == Y[4:].tolist()
    assert data["y_test"].dtype == np.int64


def test_a_test_part_beside_samples_without_a_part_is_taken(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=X, y=Y, X_test=X[:3], y_test=Y[:3])
    data = load_arrays(tmp_path / "a.npz")
    assert rows(data, ("train", "val")) == X.tolist()
    assert data["X_test"].tolist() == X[:3].tolist()


def test_a_file_without_parts_is_split(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=X, y=Y)
    data = load_arrays(tmp_path / "a.npz", validation=0.3, test=0.2)
    assert [len(data[f"y_{part}"]) for part in ("train", "val", "test")] == [5, 3, 2]
    assert rows(data, ("train", "val", "test")) == X.tolist()
    for part in ("train", "val", "test"):  # samples keep their labels
        assert data[f"y_{part}"].tolist() == [int(row[0] // 2) % 3 for row in data[f"X_{part}"]]
    again, other = load_arrays(tmp_path / "a.npz", validation=0.3, test=0.2), load_arrays(tmp_path / "a.npz", seed=1)
    assert np.array_equal(again["X_train"], data["X_train"])
    assert other["X_train"].tolist() != load_arrays(tmp_path / "a.npz")["X_train"].tolist()
    assert "X_test" not in other


def test_validation_samples_may_be_missing_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X_train=X, y_train=Y, X_test=X, y_test=Y)
    data = load_arrays(tmp_path / "a.npz", test=0.5)
    assert rows(data, ("train", "val")) == X.tolist()
    assert len(data["X_test"]) == 10  # the file's own


@pytest.mark.parametrize("header", ["", "a,b,kind\n", "kind,label,a\n"])
def test_csv_with_and_without_names(header: str, tmp_path: Path) -> None:
    label = 1 if "label" in header else 2
    lines = []
    for (first, second), word in zip(X, Y, strict=True):
        cells = [str(first), str(second)]
        cells.insert(label, str(word))
        lines.append(",".join(cells))
    (tmp_path / "a.csv").write_text(header + "\n".join(lines) + "\n\n")
    data = load_arrays(tmp_path / "a.csv")
    assert rows(data, ("train", "val")) == X.tolist()
    assert "classes" not in data
    assert data["y_train"].tolist() == [int(row[0] // 2) % 3 for row in data["X_train"]]


def test_labels_that_are_words_or_other_numbers_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2,dog\n3,4,cat\n5,6,dog\n7,8,eel\n", encoding="utf-8-sig")
    data = load_arrays(tmp_path / "a.csv", validation=0.25)
    assert data["classes"] == ["cat", "dog", "eel"]
    named = {1.0: "dog", 3.0: "cat", 5.0: "dog", 7.0: "eel"}
    for part in ("train", "val"):
        assert [data["classes"][k] for k in data[f"y_{part}"]] == [named[row[0]] for row in data[f"X_{part}"].tolist()]
    np.savez(tmp_path / "a.npz", X=X, y=Y * 10 + 5)
    data = load_arrays(tmp_path / "a.npz")
    assert data["classes"] == [5, 15, 25]
    assert set(data["y_train"].tolist()) <= {0, 1, 2}
    np.savez(tmp_path / "b.npz", X=X, y=np.array(["b", "a"] * 5))
    assert load_arrays(tmp_path / "b.npz")["classes"] == ["a", "b"]


def test_whole_numbers_are_one_class_however_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2,1\n3,4,1.0\n5,6,0\n7,8,0.0\n")
    data = load_arrays(tmp_path / "a.csv", validation=0.25)
    assert "classes" not in data
    assert sorted(data["y_train"].tolist() + data["y_val"].tolist()) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "it is empty"),
        ("a,label\n", "it has 0 rows of 2 columns"),
        ("1\n2\n", "it has 2 rows of 1 columns"),
        ("1,2,0\n1,2\n", "line 2 has 2 cells, expected 3"),
        ("1,2,0\n1,x,0\n", r"line 2, column 2: 'x' is no number"),
        ("a,label,b\n1,0,2\n1,1,oh\n", r"line 3, column 3 \(b\): 'oh' is no number"),
        ("1,2,0\n1,nan,0\n", "X_train holds NaN or infinity, first in sample 1 at"),
        ("1,1e999,0\n", "X_train holds NaN or infinity, first in sample 0"),
        ("1,2,0\n", "1 samples are too few"),
        ("1,2,0\n1,2,\n", "line 2 has the label ''; remove the line"),
        ("1,2,0\n1,2,nan\n", "line 2 has the label 'nan'; remove the line"),
        ("1,2,0.143\n1,2,1\n", r"line 1 has the label '0\.143', expected a word or a whole number"),
    ],
)
def test_csv_that_is_none_is_refused_where(text: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.csv: {match}"):
        load_arrays(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"a": X}, "it holds a, expected X_train and y_train"),
        ({"X": X, "y": Y, "X_train": X, "y_train": Y}, "it holds X, X_train, y, y_train, expected .*, or X and y in"),
        ({"X": X, "y": Y, "y_test": Y}, "it holds only one of X_test and y_test"),
        ({"X_train": X, "y_train": Y, "X_val": X}, "it holds only one of X_val and y_val"),
        ({"X": X, "y": Y[:4]}, "X_train has 10 samples, y_train 4 labels"),
        ({"X": X[:, 0], "y": Y}, r"X_train is \(10,\) of float64"),
        ({"X": X + 0j, "y": Y}, "X_train is .* of complex128"),
        ({"X": X, "y": Y * 1.0}, "y_train is .* of float64, expected labels"),
        ({"X": X, "y": Y[:, None]}, r"y_train is \(10, 1\)"),
        ({"X": np.where(X == 5, np.nan, X), "y": Y}, r"X_train holds NaN or infinity, first in sample 2 at \(1,\)"),
    ],
)
def test_npz_that_is_none_is_refused(arrays: Any, match: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=rf"a\.npz: {match}"):
        load_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.csv", "a.npz"])
def test_samples_that_the_dtype_would_make_constant_are_refused(name: str, tmp_path: Path) -> None:
    times = 1.7e9 + 10.0 * np.arange(10)
    if name == "a.csv":
        (tmp_path / name).write_text("".join(f"{n},{float(time)!r},{n % 2}\n" for n, time in enumerate(times)))
    else:
        np.savez(tmp_path / name, X=np.stack([np.arange(10), times], axis=1), y=Y)
    with pytest.raises(ValueError, match=rf"{name}: X_train runs at \(1,\) from 1700000000\.0 to 1700000090\.0, which "
                       r"float32 rounds by up to 64; subtract an offset in the file, or give dtype=np\.float64"):
        load_arrays(tmp_path / name)
    for dtype in (np.float64, None):
        data = load_arrays(tmp_path / name, dtype)
        assert sorted([*data["X_train"][:, 1], *data["X_val"][:, 1]]) == times.tolist()


def test_without_a_dtype_samples_stay_as_they_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.arange(60, dtype=np.uint8).reshape(10, 2, 3), y=Y)
    assert load_arrays(tmp_path / "a.npz", None)["X_train"].dtype == np.uint8
    assert load_arrays(tmp_path / "a.npz")["X_train"].dtype == np.float32


class Bomb:
    def __reduce__(self) -> Any:
        return (Path("bomb-went-off").touch, ())


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "a.npz", X=np.array([Bomb()], object), y=Y)
    with pytest.raises(ValueError, match=r"a\.npz: Object arrays cannot be loaded"):
        load_arrays(tmp_path / "a.npz")
    for content in (b"", b"\x80\x04.", b"PK\3\4" + bytes(40)):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"b\.npz: "):
            load_arrays(tmp_path / "b.npz")
    assert not Path("bomb-went-off").exists()


def test_arguments_are_checked(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match=r"its name ends in \.txt, expected \.npz or \.csv"):
        load_arrays(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_arrays(tmp_path / "none.csv")
    with pytest.raises(TypeError, match="dtype must be a floating type"):
        load_arrays(tmp_path / "a.csv", dtype=int)
    with pytest.raises(ValueError, match=r"validation must lie in \[0, 1\), got 1\.0"):
        load_arrays(tmp_path / "a.csv", validation=1.0)
