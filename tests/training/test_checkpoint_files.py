"""Checkpoints on disk: every bit comes back, damage is found wherever it is, and nothing in them is run."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import shutil
from collections import OrderedDict
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tinygrad_fc.training import CheckpointError, CheckpointWarning
from tinygrad_fc.training.checkpoint import checkpoints, newest, read_checkpoint, write_checkpoint

FILES = ("state.json", "state.safetensors", "weights.safetensors")
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    npst.arrays(st.sampled_from([np.float32, np.float64, np.int64, np.uint32, np.bool_]),
                npst.array_shapes(min_dims=0, min_side=0, max_side=3)),
)  # fmt: skip
KEYS = st.text(max_size=8).filter(lambda key: not key.startswith("$"))
TREES = st.dictionaries(
    KEYS, st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
                       max_leaves=8), max_size=4,
)  # fmt: skip


class Number(IntEnum):
    ONE = 1


def small(folder: Path, step: int = 7, **state: Any) -> Path:
    return write_checkpoint(folder, step, {"w": np.arange(3.0)}, {"step": step, "v": np.ones(2), **state})


def alike(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    if isinstance(one, float):
        return np.float64(one).tobytes() == np.float64(other).tobytes() or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


@given(TREES)
def test_trees_come_back_in_every_bit(tmp_path_factory: pytest.TempPathFactory, tree: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("c")
    weights = {"fc1.W": np.arange(6.0).reshape(2, 3), "../../etc/passwd": np.zeros(1)}  # names are names, never paths
    path = write_checkpoint(folder, 12, weights, tree)
    assert path == folder / "step-000000012"
    assert sorted(part.name for part in path.iterdir()) == list(FILES)
    step, found, state = read_checkpoint(path)
    assert step == 12
    assert alike(found, weights)
    assert alike(state, tree)
    shutil.rmtree(folder)


def test_large_states_of_generators_come_back(tmp_path: Path) -> None:
    for bits in (np.random.PCG64(1), np.random.MT19937(1), np.random.Philox(1), np.random.SFC64(1)):
        state = bits.state
        assert alike(read_checkpoint(write_checkpoint(tmp_path, 1, {}, {"g": state}))[2]["g"], state)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ((1, 2), r"state\.a\.b: tuple cannot be saved"),
        ([1, np.float64(2.0)], r"state\.a\.b\[1\]: float64 cannot be saved"),
        ({1: 2}, r"state\.a\.b: key 1, expected a string"),
        ({"$array": "x"}, r"state\.a\.b: key '\$array', expected a string that does not begin with \$"),
        (object(), r"state\.a\.b: object cannot be saved"),
        (lambda: None, r"state\.a\.b: function cannot be saved"),
        (np.array([1j]), r"state\.a\.b: dtype complex128 cannot be saved"),
        (np.array([None]), r"state\.a\.b: dtype object cannot be saved"),
        (np.ma.masked_array([1.0], [True]), r"'state\.a\.b': given MaskedArray, expected an ndarray"),
        (OrderedDict(), r"state\.a\.b: OrderedDict cannot be saved"),
        (Number.ONE, r"state\.a\.b: Number cannot be saved"),
    ],
)
def test_what_a_tree_cannot_hold_is_named_and_nothing_written(value: Any, match: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=match):
        write_checkpoint(tmp_path / "c", 1, {}, {"a": {"b": value}})
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"state": [1]}, TypeError, "state: given list, expected a dict"),
        ({"state": {"a": [2**2048]}}, ValueError, r"state\.a\[0\]: an integer of 2049 bits cannot be saved"),
        ({"state": {"\ud800": np.ones(1)}}, ValueError, r"'state\.\\ud800': a file of arrays cannot hold this name"),
        ({"weights": {"__metadata__": np.ones(1)}}, ValueError, "'__metadata__': a file of arrays cannot hold this"),
        ({"weights": {"w": np.ones(1, complex)}}, TypeError, "w: dtype complex128 cannot be saved"),
        ({"weights": {3: np.ones(1)}}, TypeError, "3: given ndarray, expected an ndarray under a name"),
        ({"step": -1}, ValueError, "step: given -1, expected an integer from 0 to"),
        ({"step": 10**18}, ValueError, "step: given 10{18}, expected an integer from 0 to"),
        ({"step": True}, ValueError, "step: given True, expected an integer from 0 to"),
        ({"step": 2.0}, ValueError, r"step: given 2\.0, expected an integer from 0 to"),
        ({"keep": 0}, ValueError, "keep: given 0, expected an integer from 1 to"),
    ],
)
def test_what_no_checkpoint_can_be_of_is_refused(change: Any, error: Any, match: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=match):
        write_checkpoint(**{"folder": tmp_path / "c", "step": 1, "weights": {}, "state": {}, **change})
    assert not (tmp_path / "c").exists()


def test_the_largest_numbers_come_back(tmp_path: Path) -> None:
    tree = {"a": [2**2048 - 1, 1 - 2**2048, -0.0, 5e-324, 1.7976931348623157e308, True, 0, "\ud800", "\x00"]}
    for step in (0, 10**18 - 1):
        path = write_checkpoint(tmp_path, step, {}, tree)
        assert alike(read_checkpoint(path)[2], tree)
        assert newest(tmp_path)[1] == step


def test_arrays_whose_paths_read_alike_are_kept_apart(tmp_path: Path) -> None:
    """{"a.b": x} and {"a": {"b": y}} have one path, and so do {"a[0]": x} and {"a": [y]}."""
    tree = {"a.b": np.zeros(2), "a": {"b": np.ones(3), "b'": np.ones(4), "c": [np.ones(5)]}, "a.b'": np.zeros(6),
            "a.c[0]": np.zeros(7), "state": {"a": {"b": np.ones(8)}}}  # fmt: skip
    assert alike(read_checkpoint(write_checkpoint(tmp_path, 1, {}, tree))[2], tree)


def test_a_tree_too_deep_is_refused(tmp_path: Path) -> None:
    tree: Any = {}
    for _ in range(60):
        tree = {"a": tree}
    with pytest.raises(TypeError, match="nested more than 50 deep"):
        write_checkpoint(tmp_path, 1, {}, tree)


def test_the_last_ones_are_kept(tmp_path: Path) -> None:
    for step in range(1, 7):
        write_checkpoint(tmp_path, step, {}, {}, keep=2)
        assert [path.name for path in checkpoints(tmp_path)] == [f"step-{n:09d}" for n in (step - 1, step) if n]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000005", "step-000000006"]
    # A run that goes on from an earlier step replaces what an abandoned one left.
    write_checkpoint(tmp_path, 3, {}, {}, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000000003"]


def test_leftovers_of_killed_runs_go_and_nothing_else(tmp_path: Path) -> None:
    for name in (".step-000000004-abc_1xyz.tmp", ".step-000000002-q.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.safetensors").touch()
    kept = [tmp_path / name for name in ("notes.txt", ".hidden", "step-3", "step-000000001.bak", ".step-mine.tmp")]
    for path in kept:
        path.touch()
    small(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / "step-000000007"])


def test_one_that_was_being_replaced_is_found(tmp_path: Path) -> None:
    """Killed between the two renames of a replacement, a folder has the old one under its hidden name alone."""
    small(tmp_path, mark="old").rename(tmp_path / ".step-000000007-x.old")
    assert newest(tmp_path)[3]["mark"] == "old"
    small(tmp_path, step=8, mark="new")
    assert newest(tmp_path)[3]["mark"] == "new"


def test_one_that_was_being_replaced_is_newer_than_those_before_it(tmp_path: Path) -> None:
    small(tmp_path, step=7, mark="old").rename(tmp_path / ".step-000000007-x.old")
    write_checkpoint(tmp_path / "else", 6, {}, {"mark": "before"}).rename(tmp_path / "step-000000006")
    assert newest(tmp_path)[1] == 7
    (tmp_path / ".step-000000008-x.old").mkdir()  # being removed, with nothing in it any more
    (tmp_path / ".step-000000009-x.tmp").mkdir()
    assert newest(tmp_path)[1] == 7


def test_a_step_is_replaced(tmp_path: Path) -> None:
    small(tmp_path, mark=1)
    small(tmp_path, mark=2)
    assert newest(tmp_path)[3]["mark"] == 2
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", FILES)
def test_truncation_anywhere_is_found(name: str, tmp_path: Path) -> None:
    path = small(tmp_path)
    content = (path / name).read_bytes()
    for length in range(len(content)):
        (path / name).write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
            read_checkpoint(path)
    (path / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: missing"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere_is_found(name: str, tmp_path: Path) -> None:
    path = small(tmp_path)
    content = (path / name).read_bytes()
    bits = np.random.default_rng(0).integers(0, 8, len(content))
    for at, bit in enumerate(bits):
        broken = bytearray(content)
        broken[at] ^= 1 << int(bit)
        (path / name).write_bytes(bytes(broken))
        with pytest.raises(CheckpointError, match=r"step-000000007"):
            read_checkpoint(path)


def signed(content: dict[str, Any]) -> bytes:
    """Return a state.json with the digest that belongs to it, as an attacker would make it."""
    content = {key: value for key, value in content.items() if key != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return json.dumps({**content, "digest": hashlib.sha256(text.encode()).hexdigest()}).encode()


CHANGES: dict[str, tuple[Any, str]] = {
    "a newer version": ({"version": 2}, "written by a newer version of tinygrad_fc .*update tinygrad_fc"),
    "no version": ({"version": "1"}, "version '1' is none"),
    "version 0": ({"version": 0}, "version 0 is none"),
    "another format": ({"format": "other"}, "no checkpoint of tinygrad_fc"),
    "another step": ({"step": 8}, "it is of step 8, and its folder of step 7"),
    "a step that is none": ({"step": "7"}, "no step, or files other than"),
    "a path with dots": ({"files": {"../../x": {}, "state.safetensors": {}}}, "no step, or files other than"),
    "more files": ({"files": {"weights.safetensors": {}, "state.safetensors": {}, "x.py": {}}}, "files other than"),
    "no files": ({"files": []}, "no step, or files other than"),
    "a size of 2^60": ({"files": {name: {"bytes": 2**60, "sha256": "0" * 64} for name in FILES[1:]}}, "damaged, cut"),
    "an array that is not there": ({"state": {"a": {"$array": "none"}}}, "its tree is none"),
    "an array by a list": ({"state": {"a": {"$array": [1]}}}, "its tree is none"),
    "an unknown float": ({"state": {"a": {"$float": "2**10"}}}, "its tree is none"),
    "a deep tree": ({"state": {"a": json.loads("[" * 60 + "]" * 60)}}, "its tree is none"),
    "an array and more": ({"state": {"a": {"$array": "state.v", "b": 1}}}, "its tree is none"),
    "a key of ours": ({"state": {"a": {"$float": "nan", "$array": "state.v"}}}, "its tree is none"),
    "a size that is a list": ({"files": {name: [1] for name in FILES[1:]}}, "damaged, cut"),
    "a size that is a text": ({"files": {name: {"bytes": "9", "sha256": ""} for name in FILES[1:]}}, "damaged, cut"),
    "no tree": ({"state": [1]}, "its state is no tree"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_well_signed_lies_are_refused(case: str, tmp_path: Path) -> None:
    change, match = CHANGES[case]
    path = small(tmp_path)
    content = json.loads((path / "state.json").read_bytes())
    (path / "state.json").write_bytes(signed({**content, **change}))
    with pytest.raises(CheckpointError, match=rf"step-000000007.*{match}"):
        read_checkpoint(path)


@pytest.mark.parametrize("text", [
    "", "[", "[" * 100_000, "null", "1" * 5000, '{"format": NaN}', "\x80\x04.", "\ud800",
    '{"format": "tinygrad_fc.checkpoint", "version": 1, "x": NaN}',
    '{"format": "tinygrad_fc.checkpoint", "version": 1, "x": 1e999}',  # one bit off 1e-99
    '{"format": "tinygrad_fc.checkpoint", "version": 1, "x": -Infinity}',
])  # fmt: skip
def test_text_that_is_no_state_is_refused(text: str, tmp_path: Path) -> None:
    path = small(tmp_path)
    (path / "state.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CheckpointError, match=r"state\.json: "):
        read_checkpoint(path)


@pytest.mark.parametrize(("opening", "closing"), ["[]", ('{"a":', "}")])
def test_no_depth_is_too_much(opening: str, closing: str, tmp_path: Path) -> None:
    """Reading and checking have limits of their own, which are not at the same depth."""
    path = small(tmp_path)
    for depth in [*range(1, 900, 50), *range(900, 1100)]:
        text = f'{{"format": "tinygrad_fc.checkpoint", "version": 1, "x": {opening * depth}1{closing * depth}}}'
        (path / "state.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"state\.json: "):
            read_checkpoint(path)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", FILES)
def test_pickles_under_our_names_are_not_run(name: str, tmp_path: Path) -> None:
    path, trace = small(tmp_path), tmp_path / "went-off"
    content = pickle.dumps(Bomb(trace))
    (path / name).write_bytes(content)
    if name != "state.json":  # with the right size and digest, too
        state = json.loads((path / "state.json").read_bytes())
        state["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (path / "state.json").write_bytes(signed(state))
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        read_checkpoint(path)
    assert not trace.exists()
    pickle.loads(content)
    assert trace.exists()  # it would have


def test_links_are_not_followed(tmp_path: Path) -> None:
    path = small(tmp_path / "run")
    outside = tmp_path / "weights.safetensors"
    (path / "weights.safetensors").rename(outside)
    (path / "weights.safetensors").symlink_to(outside)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: a link"):
        read_checkpoint(path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "step-000000007").symlink_to(small(tmp_path / "whole"))
    with pytest.raises(CheckpointError, match="a link"):
        read_checkpoint(other / "step-000000007")


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    path = small(tmp_path)
    (path / "weights.safetensors").unlink()
    (path / "weights.safetensors").mkdir()
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: cannot be read"):
        read_checkpoint(path)
    (path / "weights.safetensors").rmdir()
    os.mkfifo(path / "weights.safetensors")  # reading it would wait for ever
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: cannot be read"):
        read_checkpoint(path)


def test_parts_of_two_checkpoints_do_not_go_together(tmp_path: Path) -> None:
    first, second = small(tmp_path), write_checkpoint(tmp_path, 8, {"w": np.zeros(3)}, {"v": np.ones(2)})
    shutil.copy(first / "weights.safetensors", second / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: damaged, cut off or of another checkpoint"):
        read_checkpoint(second)


def test_the_newest_good_one_is_taken_and_others_named(tmp_path: Path) -> None:
    paths = [small(tmp_path, step) for step in (1, 2, 3)]
    assert newest(tmp_path)[1] == 3
    (paths[2] / "state.json").write_text("{")
    (paths[1] / "state.safetensors").unlink()
    with pytest.warns(CheckpointWarning) as said:
        assert newest(tmp_path)[:2] == (paths[0], 1)
    texts = [str(warning.message) for warning in said]
    assert ["step-000000003" in texts[0], "step-000000002" in texts[1], len(texts)] == [True, True, 2]
    assert all("going on from step-000000001" in text for text in texts)
    shutil.rmtree(paths[0])
    with pytest.raises(CheckpointError, match=r"none of its 2 checkpoints can be read: .*step-000000003.*step-0"):
        newest(tmp_path)


def test_folders_without_checkpoints_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder; a Solver with checkpoint_dir=.* makes it"):
        newest(tmp_path / "none")
    with pytest.raises(CheckpointError, match="there is no checkpoint in it"):
        newest(tmp_path)
    path = small(tmp_path)
    with pytest.raises(CheckpointError, match=f"it is a checkpoint itself; give the folder that it is in: {tmp_path}"):
        newest(path)
    (tmp_path / "step-000000008").touch()  # no folder
    with pytest.warns(CheckpointWarning, match=r"step-000000008.state\.json: missing; going on from step-000000007"):
        assert newest(tmp_path)[0] == path
