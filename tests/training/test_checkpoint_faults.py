"""Writes that are cut off anywhere, disks that are full, and files that cannot be read: what was saved stays."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.training import CheckpointError, CheckpointWarning
from tinygrad_fc.training.checkpoint import checkpoints, newest, read_checkpoint, write_checkpoint

HERE = Path(__file__).parent


def small(folder: Path, step: int, mark: str = "") -> Path:
    return write_checkpoint(folder, step, {"w": np.arange(3.0)}, {"mark": mark, "v": np.ones(2)})


def in_a_process(*words: str) -> str:
    given = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, "-W", "error", *words]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("mode", ["kill", "full"])
def test_a_write_that_is_cut_off_at_any_operation_loses_nothing(mode: str, tmp_path: Path) -> None:
    report = json.loads(in_a_process(str(HERE / "faulty_writes.py"), mode, str(tmp_path)))
    assert report.pop("faults") == []
    # Three files and a folder are opened, synced and renamed: each of these was an end.
    assert min(report["first"], report["another"], report["again"]) > 10
    assert report["whole_file"] > 3


def test_everything_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    fsync, rename = os.fsync, os.rename

    def noted_sync(handle: int) -> None:
        fsync(handle)
        done.append(os.fstat(handle).st_ino)

    def noted_rename(source: Path, target: Path) -> None:
        rename(source, target)
        done.append(Path(target).name)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "rename", noted_rename)
    path = small(tmp_path, 3)
    inodes = [part.stat().st_ino for part in (*path.iterdir(), path)]
    named = done.index(path.name)
    assert sorted(done[:named]) == sorted(inodes)
    assert done[named + 1 :] == [tmp_path.stat().st_ino]
    done.clear()
    small(tmp_path / "new", 3)
    assert done[0] == tmp_path.stat().st_ino  # which has the new folder in it


def test_one_that_cannot_be_replaced_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = small(tmp_path, 3, "old"), os.rename

    def rename(source: Path, target: Path) -> None:
        if Path(source).suffix == ".tmp":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="the checkpoint of step 3 was not written .*those before it are untouched"):
        small(tmp_path, 3, "new")
    assert list(tmp_path.iterdir()) == [path]
    assert read_checkpoint(path)[2]["mark"] == "old"


def test_a_process_that_may_write_no_more_leaves_what_was_there(tmp_path: Path) -> None:
    """A real write that fails in the middle of the arrays: files of this process have 4,096 bytes at most."""
    said = in_a_process("-c", (
        "import resource, signal, sys; import numpy as np; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from tinygrad_fc.training.checkpoint import write_checkpoint\n"
        "for step in (1, 2): write_checkpoint(sys.argv[1], step, {'w': np.ones(2000)}, {})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_checkpoint(sys.argv[1], 3, {'w': np.ones(2000)}, {})\n"
        "except OSError as error: print(error)\n"
    ), str(tmp_path / "run"))  # fmt: skip
    assert f"the checkpoint of step 3 was not written ({os.strerror(errno.EFBIG)})" in said
    assert str(tmp_path / "run") in said
    assert sorted((tmp_path / "run").iterdir()) == checkpoints(tmp_path / "run")
    assert [read_checkpoint(path)[0] for path in checkpoints(tmp_path / "run")] == [1, 2]


@pytest.mark.parametrize("name", ["state.json", "state.safetensors", "weights.safetensors"])
def test_what_may_not_be_read_is_passed_over(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path, 1)
    path, real = small(tmp_path, 2), Path.read_bytes

    def read(self: Path) -> bytes:
        if self == path / name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", read)
    with pytest.raises(CheckpointError, match=rf"step-000000002.{name}: cannot be read .*Permission denied"):
        read_checkpoint(path)
    with pytest.warns(CheckpointWarning, match=rf"{name}: cannot be read .*going on from step-000000001"):
        assert newest(tmp_path)[1] == 1


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(CheckpointError, match=rf"{tmp_path}: the folder cannot be read \(Permission denied\)"):
        newest(tmp_path)


@pytest.mark.parametrize("name", ["state.safetensors", "weights.safetensors"])
def test_files_as_large_as_a_disk_are_not_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = small(tmp_path, 1), Path.read_bytes
    with (path / name).open("r+b") as file:
        file.truncate(2**40)  # sparse: it takes no space

    def read(self: Path) -> bytes:
        assert self.stat().st_size < 2**20
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", read)
    with pytest.raises(CheckpointError, match=f"{name}: damaged, cut off or of another checkpoint"):
        read_checkpoint(path)


def test_files_larger_than_the_memory_are_refused_by_name(tmp_path: Path) -> None:
    path = small(tmp_path, 1)
    with (path / "state.json").open("r+b") as file:
        file.truncate(2**37)
    said = in_a_process("-c", (
        "import resource, sys; import tinygrad_fc as tg; from tinygrad_fc.training.checkpoint import read_checkpoint\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**35, 2**35))\n"
        "for read in (read_checkpoint, lambda path: tg.nn.Linear(2, 2).load(path + '/state.json')):\n"
        "    try: read(sys.argv[1])\n"
        "    except ValueError as error: print(error)\n"
    ), str(path))  # fmt: skip
    first, second = said.splitlines()
    assert "state.json: cannot be read" in first
    assert f"its {2**37} bytes are more than the memory holds" in first
    assert second.startswith(f"{path}/state.json: its {2**37} bytes")


def test_links_that_are_removed_take_nothing_along(tmp_path: Path) -> None:
    """A link under the name of an old checkpoint goes itself; what it points to stays."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    run = tmp_path / "run"
    run.mkdir()
    for name in ("step-000000001", ".step-000000001-abc.tmp"):
        (run / name).symlink_to(outside)
    write_checkpoint(run, 2, {}, {}, keep=1)
    write_checkpoint(run, 3, {}, {}, keep=1)
    assert (outside / "precious").exists()
    assert [path.name for path in checkpoints(run)] == ["step-000000003"]
