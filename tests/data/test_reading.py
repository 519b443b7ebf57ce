"""Reading of a user's files: a sample never passes for the row of names, and what is none is said with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinygrad_fc.data import load_arrays
from tinygrad_fc.data.reading import open_npz, read_npy, read_table


@pytest.mark.parametrize(
    ("text", "names", "count"),
    [
        ("1,2\n3,4\n", [], 2),
        ("a,b\n3,4\n", ["a", "b"], 1),
        ("\ufeffa,b\n3,4\n", ["a", "b"], 1),
        ("\ufeff1,2\n3,4\n", [], 2),
        ('"1","2"\n3,4\n', [], 2),
        ("\n1,2\n\n3,4\n", [], 2),
        ("nan,NaN\n3,4\n", [], 2),
        ("0,1\n3,4\n", ["0", "1"], 1),  # the names of the run
        ("1,0\n3,4\n", [], 2),
    ],
)
def test_names_of_samples(text: str, names: list[str], count: int, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    table = read_table(tmp_path / "a.csv", labelled=False, known=["0", "1"])
    assert (table.names, len(table.numbers())) == (names, count)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("1,\n3,4\n", "line 1, column 2: '' is no number"),
        ("NA,2\n3,4\n", "line 1, column 1: 'NA' is no number"),
        ("NA,NA\n3,4\n", "line 1, column 1: 'NA' is no number"),
        ("1,2\n#3,4\n", "line 2, column 1: '#3' is no number"),
        ("a,b\n1,2\n3,x\n", r"line 3, column 2 \(b\): 'x' is no number"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cells, expected 2"),
        ("", "it is empty"),
        ("1,2\n3,\0\n", "line 2, column 2: '.*x00' is no number"),
    ],
)
def test_no_row_of_samples_is_dropped(text: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.csv: ({match})"):
        read_table(tmp_path / "a.csv", labelled=False).numbers()


@pytest.mark.parametrize(
    ("text", "names", "classes"),
    [
        ("0,1,2,label\n5,6,7,0\n5,6,7,1\n", ["0", "1", "2"], None),
        ("label,0,1,2\n0,5,6,7\n1,5,6,7\n", ["0", "1", "2"], None),
        ("0,1,2,kind\n5,6,7,0\n5,6,7,1\n", ["0", "1", "2"], None),
        ("0,1,2,label\n5,6,7,a\n5,6,7,b\n", ["0", "1", "2"], ["a", "b"]),
        ("5,6,7,y\n5,6,7,n\n5,6,7,y\n", None, ["n", "y"]),  # classes, and no name
        ("5,6,7,dog\n5,6,7,cat\n", None, ["cat", "dog"]),
        ("a,b,species\n5,6,cat\n6,7,dog\n", ["a", "b"], ["cat", "dog"]),
    ],
)
def test_names_of_samples_with_labels(
    text: str, names: list[str] | None, classes: list[str] | None, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(text)
    data = load_arrays(tmp_path / "a.csv", validation=0.0)
    assert data.get("names") == names
    assert data.get("classes") == classes
    assert len(data["X_train"]) == len(text.splitlines()) - (names is not None)
    assert data["X_train"].shape[1] == len(text.splitlines()[0].split(",")) - 1


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("x,y,label\n1,2,0\n3,4,1\n", r"columns 2 \(y\) and 3 \(label\) are called like the label; give the features"),
        ("NA,NA,dog\n1,2,cat\n", "line 1, column 1: 'NA' is no number"),
        ("?,?,3\n1,2,4\n", "line 1, column 1: '\\?' is no number"),
        ("1,2,\n1,2,0\n", "line 1 has the label ''"),
        ("1,2,n/a\n1,2,0\n", "line 1 has the label 'n/a'"),
    ],
)
def test_no_row_with_a_label_is_dropped(text: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.csv: {match}"):
        load_arrays(tmp_path / "a.csv")


def test_labels_of_sixteen_digits_are_kept_apart(tmp_path: Path) -> None:
    """They were read as floats, which made one class of two."""
    low = 9007199254740992
    (tmp_path / "a.csv").write_text(f"1,{low + 1}\n2,{low}\n3,{low + 1}.0\n")
    data = load_arrays(tmp_path / "a.csv", validation=0.0)
    assert data["classes"] == [low, low + 1]
    assert data["y_train"].tolist() == [1, 0, 0]  # a float is written with what it holds


def test_archives_that_are_none_are_named(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "whole.npz", X=np.arange(1000.0))
    content = bytearray((tmp_path / "whole.npz").read_bytes())
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npz").write_bytes((tmp_path / "array.npy").read_bytes())
    (tmp_path / "cut.npz").write_bytes(content[:-30])
    content[200] ^= 255
    (tmp_path / "bits.npz").write_bytes(content)
    for name in ("array", "cut", "bits"):
        with pytest.raises(ValueError, match=rf"{name}\.npz: "), open_npz(tmp_path / f"{name}.npz") as archive:
            archive["X"]
    (tmp_path / "archive.npy").write_bytes((tmp_path / "whole.npz").read_bytes())
    with pytest.raises(ValueError, match=r"archive\.npy: it is an archive of arrays, expected one array"):
        read_npy(tmp_path / "archive.npy")
    with pytest.raises(FileNotFoundError):
        read_npy(tmp_path / "none.npy")
