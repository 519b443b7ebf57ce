"""Nothing is lost: 200 kills at random moments, and a disk that is full."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from solver_models import make_model, solve

from tinygrad_fc.training import Callback, CheckpointWarning, Solver
from tinygrad_fc.training.checkpoint import checkpoints, read_checkpoint

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def test_200_kills_lose_no_checkpoint_and_change_no_bit(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(HERE / "killed_run.py"), str(tmp_path), "200", "0"]
    # One thread: a process that forks must not have others.
    given = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report.get("failure") is None
    assert (report["kills"], report["wrong"], report["left"]) == (200, [], [])
    # The kills fell all over the runs: at their beginnings, in their middles, near their ends. How many runs it took
    # says only how fast the machine was.
    assert len({step // 40 for step in report["resumed"]}) >= 8


class Fill(Callback):
    """Fills the disk after a step, until a few kilobytes are left."""

    def __init__(self, folder: Path, step: int) -> None:
        self.folder, self.last = folder, step

    def on_step_end(self, solver: Solver) -> None:
        if solver.step == self.last:
            with (self.folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(512))


@pytest.fixture(params=["a disk", "its word"])
def small_disk(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder on a disk of 256 KiB: a tmpfs where one may be mounted, else one that is said to be full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    real_one = request.param == "a disk" and shutil.which("mount")
    if real_one and not subprocess.run(command, capture_output=True, check=False).returncode:
        yield folder
        subprocess.run(["umount", str(folder)], check=True)
        return
    real = os.fsync

    def fsync(handle: int) -> None:
        if (folder / "ballast").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    def fill(self: Fill, solver: Solver) -> None:
        if solver.step == self.last:
            (folder / "ballast").touch()

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Fill, "on_step_end", fill)
    yield folder


def test_a_full_disk_loses_nothing_that_was_saved(data: Any, small_disk: Path) -> None:
    solver = solve(make_model(), data, num_epochs=4, checkpoint_dir=small_disk / "run", checkpoint_every=3,
                   callbacks=[Fill(small_disk, 7)])  # fmt: skip
    with (
        pytest.warns(CheckpointWarning, match=r"no checkpoint of step (9|12|15) in .*goes on: .*No space left"),
        pytest.raises(OSError, match="the checkpoint of step 16 was not written .*those before it are untouched"),
    ):
        solver.train()
    assert solver.step == 16  # the training itself went to its end
    found = checkpoints(small_disk / "run")
    assert [read_checkpoint(path)[0] for path in found] == [3, 6]
    assert sorted((small_disk / "run").iterdir()) == found
    (small_disk / "ballast").unlink()
    resumed = Solver.resume(small_disk / "run", make_model(), data)
    assert resumed.step == 6
    resumed.train()
    assert resumed.loss_history == solver.loss_history
    assert read_checkpoint(checkpoints(small_disk / "run")[-1])[0] == 16


def test_a_damaged_checkpoint_is_passed_over_aloud(data: Any, tmp_path: Path) -> None:
    whole = solve(make_model(), data, num_epochs=4, checkpoint_dir=tmp_path, checkpoint_every=3)
    whole.train()
    newest = checkpoints(tmp_path)[-1]
    weights = newest / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.warns(CheckpointWarning, match=r"step-000000016.weights\.safetensors: damaged.*going on from step-"):
        solver = Solver.resume(tmp_path, make_model(), data)
    assert solver.step == 15
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solver.train()
    assert solver.loss_history == whole.loss_history
    assert np.array_equal(solver.model.params["W1"], whole.model.params["W1"])
