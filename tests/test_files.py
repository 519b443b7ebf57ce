"""Files: written whole or not at all, and arrays that come back in every bit; nothing that is read is ever run."""

from __future__ import annotations

import errno
import json
import math
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tinygrad_fc import files
from tinygrad_fc.files import (
    FileError,
    check_writable,
    csv_bytes,
    parse_tensors,
    read_tensors,
    tensor_bytes,
    write_atomically,
)

ARRAYS = npst.arrays(st.sampled_from(sorted(files.DTYPES, key=str)), npst.array_shapes(min_dims=0, min_side=0))


@given(st.dictionaries(st.text(max_size=12).filter(lambda name: name != "__metadata__"), ARRAYS, max_size=4))
def test_arrays_come_back_in_every_bit(arrays: dict[str, np.ndarray]) -> None:
    found, about = parse_tensors(Path("x"), tensor_bytes(arrays, {"a": "b", "c": "d"}))
    assert about == {"a": "b", "c": "d"}
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.writeable


def test_arrays_of_any_layout_are_saved() -> None:
    base = np.arange(24.0).reshape(2, 3, 4)
    arrays = {"strided": base[:, ::2, 1:], "transposed": base.T, "backwards": base[::-1], "big": base.astype(">f8"),
              "one": np.broadcast_to(1.0, (3, 3)), "scalar": np.array(2.5), "empty": np.zeros((0, 3))}  # fmt: skip
    found, _ = parse_tensors(Path("x"), tensor_bytes(arrays, {}))
    for name, array in arrays.items():
        assert np.array_equal(found[name], array)
        assert found[name].shape == array.shape


def test_the_same_content_gives_the_same_file() -> None:
    arrays = {"b": np.ones(3), "a": np.zeros((2, 2), np.float32), "c": np.arange(4)}
    command = "import numpy as np, sys; from tinygrad_fc.files import tensor_bytes; sys.stdout.buffer.write(" \
              "tensor_bytes({'b': np.ones(3), 'a': np.zeros((2, 2), np.float32), 'c': np.arange(4)}, " \
              "{'x': '1', 'y': '2', 'z': '3'}))"  # fmt: skip
    words = [sys.executable, "-c", command]
    done = subprocess.run(words, capture_output=True, check=True, cwd=Path(__file__).parents[1])
    assert done.stdout == tensor_bytes(arrays, {"x": "1", "y": "2", "z": "3"})


@pytest.mark.parametrize("array", [
    np.array([1j]), np.array([object()]), np.array(["a"]), np.zeros(2, np.longdouble), np.zeros(2, "M8[s]"),
    np.zeros(2, [("a", "f8")]), np.array(["a"], np.dtypes.StringDType()), np.zeros(2, "V3"),
])  # fmt: skip
def test_what_cannot_be_saved_is_named(array: Any) -> None:
    with pytest.raises(TypeError, match=r"w: dtype .* cannot be saved; convert it"):
        tensor_bytes({"w": array}, {})
    with pytest.raises(TypeError, match=r"'w': given float, expected an ndarray"):
        tensor_bytes({"w": 3.0}, {})  # type: ignore[dict-item]  # what is tested


@pytest.mark.parametrize("array", [np.ma.masked_array([1.0, 2.0], [True, False]), np.zeros(2).view(np.recarray)])
def test_what_is_more_than_an_array_is_refused(array: Any) -> None:
    with pytest.raises(TypeError, match=r"'w': given (MaskedArray|recarray), expected an ndarray"):
        tensor_bytes({"w": array}, {})


@pytest.mark.parametrize("name", ["__metadata__", "\ud800", "a\udfff"])
def test_names_that_no_file_can_hold_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a file of arrays cannot hold this name"):
        tensor_bytes({name: np.zeros(2)}, {})


def test_mapped_files_are_saved(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6.0).reshape(2, 3))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    found, _ = parse_tensors(Path("x"), tensor_bytes({"a": mapped, "b": mapped.T}, {}))
    assert found["a"].tolist() == found["b"].T.tolist() == mapped.tolist()


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def header(text: str, body: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + body


def one(dtype: str, shape: list[int], first: int, last: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


HOSTILE = {
    "empty": b"",
    "text": b"hello, this is no tensor",
    "a header of 2^60 bytes": (2**60).to_bytes(8, "little") + b"{}",
    "a header of 2^64 - 1 bytes": b"\xff" * 8 + b"{}",
    "an array of 2^60 elements": header(json.dumps({"w": one("F64", [2**60], 0, 2**63)})),
    "a shape that does not fit its bytes": header(json.dumps({"w": one("F64", [2**60], 0, 8)}), bytes(8)),
    "offsets that overlap": header(json.dumps({"a": one("F64", [1], 0, 8), "b": one("F64", [1], 0, 8)}), bytes(8)),
    "negative offsets": header(json.dumps({"w": one("F64", [1], -8, 0)}), bytes(8)),
    "bytes behind the end": header(json.dumps({"w": one("F64", [1], 0, 8)}), bytes(16)),
    "an unknown dtype": header(json.dumps({"w": one("F65", [1], 0, 8)}), bytes(8)),
    **{f"{name}, which NumPy has not": header(json.dumps({"w": one(name, [4], 0, 4 * size)}), bytes(4 * size))
       for name, size in (("BF16", 2), ("F8_E4M3", 1), ("F8_E5M2", 1), ("F8_E8M0", 1))},
    "no JSON": header("{" * 8),
    "deep JSON": header("[" * 100_000),
    "a header that is no object": header("[1, 2]"),
    "metadata that is no text": header(json.dumps({"__metadata__": {"tinygrad_fc": "[1]"}})),
    "metadata that is no JSON": header(json.dumps({"__metadata__": {"tinygrad_fc": "{"}})),
    "metadata that is deep": header(json.dumps({"__metadata__": {"tinygrad_fc": "[" * 100_000}})),
    "a zip": b"PK\x03\x04" + bytes(60),
    "NumPy's": b"\x93NUMPY\x01\x00" + bytes(60),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_by_name(case: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(HOSTILE[case])
    with pytest.raises(FileError, match=r"w\.safetensors: "):
        read_tensors(path)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_are_not_run(protocol: int, tmp_path: Path) -> None:
    path, trace = tmp_path / "w.safetensors", tmp_path / "went-off"
    path.write_bytes(pickle.dumps(Bomb(trace), protocol))
    with pytest.raises(FileError, match=r"w\.safetensors: no safetensors file"):
        read_tensors(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes())
    assert trace.exists()  # it would have


def test_other_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_tensors(tmp_path / "none")
    with pytest.raises(FileError, match="it is no regular file"):
        read_tensors(tmp_path)
    with pytest.raises(FileError, match="it is no regular file"):
        read_tensors("/dev/zero")  # which never ends


def test_files_of_others_are_read(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"w": np.ones(3)}, tmp_path / "w", {"format": "pt"})
    arrays, about = read_tensors(tmp_path / "w")
    assert arrays["w"].tolist() == [1.0] * 3
    assert about == {}
    (tmp_path / "w").write_bytes(header(json.dumps({"__metadata__": None, "w": one("F64", [1], 0, 8)}), bytes(8)))
    assert read_tensors(tmp_path / "w")[1] == {}


@pytest.mark.parametrize("step", ["fsync", "replace", "write"])
def test_a_write_that_fails_leaves_what_was_there(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "write":
        monkeypatch.setattr(files, "write_synced", fail)
    else:
        monkeypatch.setattr(os, step, fail)
    said = r"the file was not written \(No space left on device\); what was there .*a\.bin'"
    with pytest.raises(OSError, match=said):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_that_cannot_be_synced_are_no_error_where_the_system_does_not_know_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, code = os.fsync, errno.EINVAL

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(code, os.strerror(code))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(tmp_path / "a", b"1")
    code = errno.EIO
    with pytest.raises(OSError, match="the file is there, but a power cut may undo it .*Input/output error.*a'"):
        write_atomically(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"2"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_names_as_long_as_a_name_may_be_are_written(tmp_path: Path) -> None:
    for name in ("a" * 255, "\N{GRINNING FACE}" * 63):
        write_atomically(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"


def test_a_file_too_large_for_its_limit_leaves_what_was_there(tmp_path: Path) -> None:
    """A real write that fails in the middle: the process may write 4,096 bytes to a file, and no more."""
    path = tmp_path / "a.bin"
    command = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from tinygrad_fc.files import write_atomically\n"
        "write_atomically(sys.argv[1], b'old')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_atomically(sys.argv[1], bytes(100_000))\n"
        "except OSError as error: print(error.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", command, str(path)], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[1])  # fmt: skip
    assert done.stdout.strip() == str(errno.EFBIG)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "a.bin", tmp_path):
        with pytest.raises(FileNotFoundError, match="it is a folder, or its folder is missing"):
            write_atomically(path, b"")


def test_permissions_are_those_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "ours", b"")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_folders_are_tried_before_they_are_needed(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", Path("/proc/nowhere")):
        with pytest.raises(OSError, match="the folder cannot be written to"):
            check_writable(folder)


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither these permissions nor, for all, links and pipes")
def test_links_permissions_and_pipes_stay_what_they_are(tmp_path: Path) -> None:
    path, link, pipe = tmp_path / "a", tmp_path / "deep" / "link", tmp_path / "pipe"
    path.touch(0o600)
    link.parent.mkdir()
    link.symlink_to(path)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()


def test_a_table_is_written_as_csv() -> None:
    rows = [(1, None, 0.1), ("a,b", 'say "no"', math.nan), ("ü", "two\nlines", math.inf)]
    table = csv_bytes(["a", "b c", "d"], rows).decode()
    assert table == 'a,b c,d\n1,,0.1\n"a,b","say ""no""",nan\nü,"two\nlines",inf\n'
