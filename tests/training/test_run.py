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
    inputs = Inputs.of(X, [0, 1], images=False)
    expected = (np.arange(8) - 3.5) / np.arange(8).std()
    made = inputs.prepare(X)
    assert made.dtype == np.float32
    assert made[:, 0] == pytest.approx(expected)
    assert (made[:, 1] == 0.0).all()  # what never changes stays 0, to the last bit
    whole = (times * 1000).astype(np.int64)[:, None]
    assert Inputs.of(whole, [0, 1], images=False).prepare(whole)[:, 0] == pytest.approx(expected)


def test_a_column_of_times_teaches_a_run(tmp_path: Path, capsys: Any) -> None:
    rows = [f"{1.7e9 + 10 * (n % 20)},{int(n % 20 >= 10)}" for n in range(200)]
    (tmp_path / "times.csv").write_text("time,label\n" + "\n".join(rows) + "\n")
    words = ["--hidden", "8", "--epochs", "20", "--lr", "0.05", "--batch-size", "20", "--json"]
    assert main(["train", "--dataset", str(tmp_path / "times.csv"), "--out", str(tmp_path / "run"), *words]) == 0
    assert json.loads(capsys.readouterr().out)["val_acc"] == 1.0
    (tmp_path / "new.csv").write_text("time\n1700000000\n1700000190\n")
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "new.csv"), "--json"]) == 0
    assert [row["class"] for row in json.loads(capsys.readouterr().out)] == [0, 1]


def test_images_are_prepared_without_a_copy_in_float64() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20_000, 64), dtype=np.uint8)
    inputs = Inputs.of(images, [0], images=True)
    assert inputs.mean.dtype == np.float32
    tracemalloc.start()
    try:
        made = inputs.prepare(images)
        assert tracemalloc.get_traced_memory()[1] < 1.4 * made.nbytes
    finally:
        tracemalloc.stop()
    assert (made == (images.astype(np.float32) - inputs.mean) / inputs.scale).all()
