"""A run in a folder: how samples are prepared, and what they have to be."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.__main__ import main
from tinygrad_fc.training.run import Inputs


def test_large_offsets_are_subtracted_before_float32_rounds_them() -> None:
    """The seconds of a date beside each other are one number in float32."""
    times = 1.7e9 + 10.0 * np.arange(8)
    X = np.stack([times, np.full(8, 0.1)], axis=1)
    inputs = Inputs.of({"X_train": X}, [0, 1], images=False)
    expected = (np.arange(8) - 3.5) / np.arange(8).std()
    made = inputs.prepare(X)
    assert made.dtype == np.float32
    assert made[:, 0] == pytest.approx(expected)
    assert (made[:, 1] == 0.0).all()  # what never changes stays 0, to the last bit
    whole = (times * 1000).astype(np.int64)[:, None]
    assert Inputs.of({"X_train": whole}, [0, 1], images=False).prepare(whole)[:, 0] == pytest.approx(expected)


def test_a_column_of_times_teaches_a_run(tmp_path: Path, capsys: Any) -> None:
    rows = [f"{1.7e9 + 10 * (n % 20)},{int(n % 20 >= 10)}" for n in range(200)]
    (tmp_path / "times.csv").write_text("time,label\n" + "\n".join(rows) + "\n")
    words = ["--hidden", "8", "--epochs", "20", "--lr", "0.05", "--batch-size", "20", "--json"]
    assert main(["train", "--dataset", str(tmp_path / "times.csv"), "--out", str(tmp_path / "run"), *words]) == 0
    assert json.loads(capsys.readouterr().out)["val_acc"] == 1.0
    (tmp_path / "new.csv").write_text("time\n1700000000\n1700000190\n")
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "new.csv"), "--json"]) == 0
    assert [row["class"] for row in json.loads(capsys.readouterr().out)] == [0, 1]


@pytest.fixture
def named(tmp_path: Path, capsys: Any) -> Path:
    """Return the folder of a run whose features have names."""
    generator = np.random.default_rng(0)
    rows = [f"{a:.4f},{b:.4f},{int(a > b)}" for a, b in generator.standard_normal((60, 2))]
    (tmp_path / "ab.csv").write_text("a,b,label\n" + "\n".join(rows) + "\n")
    words = ["--hidden", "8", "--epochs", "30", "--lr", "0.05", "--batch-size", "10", "--quiet"]
    assert main(["train", "--dataset", str(tmp_path / "ab.csv"), "--out", str(tmp_path / "run"), *words]) == 0
    capsys.readouterr()
    return tmp_path / "run"


def test_columns_are_put_in_the_order_of_the_run(named: Path, tmp_path: Path, capsys: Any) -> None:
    for text, classes in (("a,b\n2,-2\n-2,2\n", [1, 0]), ("b,a\n2,-2\n-2,2\n", [0, 1]), ("2,-2\n-2,2\n", [1, 0])):
        (tmp_path / "new.csv").write_text(text)
        assert main(["predict", str(named), str(tmp_path / "new.csv"), "--json"]) == 0
        assert [row["class"] for row in json.loads(capsys.readouterr().out)] == classes
    (tmp_path / "test.csv").write_text("label,b,a\n1,-2,2\n0,2,-2\n")
    assert main(["evaluate", str(named), "--dataset", str(tmp_path / "test.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["acc"] == 1.0
    for text, match in (
        ("a,c\n1,2\n", "the columns are not the run's: b missing; c not known; it was trained on a, b"),
        ("a,a\n1,2\n", "the columns are not the run's: b missing; it was trained on a, b"),
        ("a,b,label\n1,2,1\n", "the network takes 2 numbers: label not known; it was trained on a, b"),
        ("1,\n1,2\n", "line 1, column 2: '' is no number; give the numbers of each sample alone, without labels"),
    ):
        (tmp_path / "new.csv").write_text(text)
        assert main(["predict", str(named), str(tmp_path / "new.csv")]) == 2
        out, err = capsys.readouterr()
        assert (out, err.startswith(f"predict: {tmp_path / 'new.csv'}: "), match in err) == ("", True, True), err


def test_a_damaged_archive_is_said(named: Path, tmp_path: Path, capsys: Any) -> None:
    np.savez(tmp_path / "cut.npz", X=np.zeros((2, 2)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:-9])
    assert main(["predict", str(named), str(tmp_path / "cut.npz")]) == 2
    assert capsys.readouterr().err.startswith(f"predict: {tmp_path / 'cut.npz'}: ")


def test_samples_of_another_layout_are_refused(tmp_path: Path) -> None:
    X = np.random.default_rng(0).standard_normal((5, 3, 4, 4))
    inputs = Inputs.of({"X_train": X}, [0, 1], images=False)
    inputs.save(tmp_path / "input.safetensors")
    inputs = Inputs.load(tmp_path / "input.safetensors")
    flat = inputs.prepare(X)
    for same in (X.reshape(5, 48), X[:, :, None]):
        assert (inputs.prepare(same) == flat).all()
    for other in (X.transpose(0, 2, 3, 1), X.reshape(5, 4, 12)):
        with pytest.raises(ValueError, match=r"samples have shape .*, those of the run \(3, 4, 4\); move the axes"):
            inputs.prepare(other)
    known = Inputs.of({"X_train": X.reshape(5, 48), "shape": (3, 4, 4)}, [0, 1], images=True)
    with pytest.raises(ValueError, match="those of the run"):
        known.prepare(X.transpose(0, 2, 3, 1))


def test_images_are_prepared_without_a_copy_in_float64() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20_000, 64), dtype=np.uint8)
    inputs = Inputs.of({"X_train": images}, [0], images=True)
    assert inputs.mean.dtype == np.float32
    tracemalloc.start()
    try:
        made = inputs.prepare(images)
        assert tracemalloc.get_traced_memory()[1] < 1.4 * made.nbytes
    finally:
        tracemalloc.stop()
    assert (made == (images.astype(np.float32) - inputs.mean) / inputs.scale).all()
