"""Module.save and load: every bit comes back, and what does not fit changes nothing."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.files import FileError, read_tensors, tensor_bytes


def network(seed: int, width: int = 6) -> Any:
    return tg.models.FullyConnectedNet([width, 5], 4, 3, normalization="batchnorm", dropout_keep_ratio=0.8, seed=seed)


def bits(module: Any) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in module.state_dict().items()}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    first, second = network(0), network(1)
    first.loss(np.random.default_rng(0).standard_normal((9, 4)), np.arange(9) % 3)  # moves the running statistics
    first.save(tmp_path / "net.safetensors")
    assert second.load(tmp_path / "net.safetensors") == ([], [])
    assert bits(first) == bits(second)
    assert list(tmp_path.iterdir()) == [tmp_path / "net.safetensors"]


def test_any_module_can_be_saved(tmp_path: Path) -> None:
    def make(seed: int) -> Any:
        last = tg.nn.Linear(4, 2, dtype=np.float64, seed=seed)
        return tg.nn.Sequential(tg.nn.Linear(3, 4, seed=seed), tg.nn.LayerNorm(4), last)

    make(0).save(str(tmp_path / "a"))
    other = make(1)
    other.load(str(tmp_path / "a"))
    assert bits(other) == bits(make(0))


def test_a_loaded_network_goes_on_in_its_optimizer(tmp_path: Path) -> None:
    net = network(0)
    optimizer = tg.optim.Optimizer(net, "adam")
    net.save(tmp_path / "a")
    other = network(1)
    tg.optim.Optimizer(other, "adam")
    other.load(tmp_path / "a")
    assert bits(other) == bits(net)
    loss = net.loss_tensor(np.ones((4, 4)), np.zeros(4, int))
    loss.backward()
    optimizer.step()
    net.load(tmp_path / "a")
    assert bits(other) == bits(net)


def test_what_does_not_fit_is_said_with_file_and_path(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    network(0).save(path)
    wide = network(1, width=7)
    before = bits(wide)
    with pytest.raises(FileError, match=r"net\.safetensors: load_state_dict: .*'fc1\.W': given shape \(4, 6\)"):
        wide.load(path)
    assert bits(wide) == before
    linear = tg.nn.Linear(4, 3)
    with pytest.raises(FileError, match=r"missing W .*\(it is of FullyConnectedNet\)"):
        linear.load(path)
    assert linear.load(path, strict=False)[0] == ["W", "b"]


def test_newer_files_and_broken_ones_are_refused(tmp_path: Path) -> None:
    path, net = tmp_path / "net.safetensors", network(0)
    before = bits(net)
    for version in ("2", "1.0", "next"):
        about = {"format": "tinygrad_fc.module", "version": version, "class": "Net"}
        path.write_bytes(tensor_bytes(network(1).state_dict(), about))
        with pytest.raises(FileError, match=rf"net\.safetensors: written by another version .*\(format {version}"):
            net.load(path)
    network(1).save(path)
    content = path.read_bytes()
    for length in range(0, len(content), 41):
        path.write_bytes(content[:length])
        with pytest.raises(FileError, match=r"net\.safetensors: "):
            net.load(path)
    assert bits(net) == before
    with pytest.raises(FileNotFoundError):
        net.load(tmp_path / "none")


def test_a_flipped_bit_anywhere_is_found_or_changes_nothing(tmp_path: Path) -> None:
    """Where the flip makes our words about the file those of nobody, the arrays are as they were saved."""
    path, net, other = tmp_path / "net", tg.nn.Linear(2, 3, seed=0), tg.nn.Linear(2, 3, seed=1)
    net.save(path)
    content, before, found = path.read_bytes(), bits(other), 0
    for at in range(len(content)):
        for bit in range(8):
            broken = bytearray(content)
            broken[at] ^= 1 << bit
            path.write_bytes(bytes(broken))
            try:
                other.load(path, strict=False)
            except FileError as error:
                found += str(error).startswith(f"{path}: ")
                assert bits(other) == before
            else:
                assert bits(other) == bits(net)
                other = tg.nn.Linear(2, 3, seed=1)
    assert found > 8 * len(content) - 1000  # all but those in the words


def test_arrays_of_other_numbers_under_our_words_are_refused(tmp_path: Path) -> None:
    path, net = tmp_path / "net.safetensors", network(0)
    net.save(path)
    arrays, about = read_tensors(path)
    arrays["fc1.W"][0, 0] += 1
    path.write_bytes(tensor_bytes(arrays, about))
    for strict in (True, False):
        with pytest.raises(FileError, match=r"net\.safetensors: damaged: its arrays do not have the digest"):
            net.load(path, strict)
    path.write_bytes(tensor_bytes(arrays, {}))  # of somebody else, who may have changed them
    net.load(path)
    assert net.fc1.W.data[0, 0] == arrays["fc1.W"][0, 0]


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_modules_are_not_run(protocol: int, tmp_path: Path) -> None:
    path, trace, net = tmp_path / "net", tmp_path / "went-off", network(0)

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (trace,))

    before = bits(net)
    path.write_bytes(pickle.dumps(Bomb(), protocol))
    with pytest.raises(FileError, match="no safetensors file, or a damaged one"):
        net.load(path)
    assert not trace.exists()
    assert bits(net) == before
    pickle.loads(path.read_bytes())
    assert trace.exists()  # it would have


def test_checkpoints_hold_such_a_file(tmp_path: Path) -> None:
    from tinygrad_fc.training.checkpoint import write_checkpoint

    net, other = network(0), network(1)
    other.load(write_checkpoint(tmp_path, 1, net.state_dict(), {}) / "weights.safetensors")
    assert bits(other) == bits(net)


def test_what_no_file_can_hold_is_named(tmp_path: Path) -> None:
    class Turned(tg.nn.Module):
        buffers = ("turn",)

        def __init__(self) -> None:
            self.turn = np.zeros(2, complex)

    with pytest.raises(TypeError, match="turn: dtype complex128 cannot be saved"):
        Turned().save(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net"
    network(0).save(path)
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError("full")

    monkeypatch.setattr("tinygrad_fc.files.write_synced", fail)
    other = network(1)
    with pytest.raises(OSError, match="full"):
        other.save(path)
    assert path.read_bytes() == before
    assert read_tensors(path)[1]["class"] == "FullyConnectedNet"


def test_modules_and_tensors_are_copied_and_pickled() -> None:
    net = network(0)
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    for again in (copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))):
        twin = again(net)
        assert bits(twin) == bits(net)
        assert str(twin.generator_state()) == str(net.generator_state())
        X, y = np.ones((5, 4)), np.arange(5) % 3
        assert twin.loss(X, y)[0] == again(net).loss(X, y)[0]
        assert not np.shares_memory(twin.fc1.W.data, net.fc1.W.data)
        other = again(x)
        assert (other.name, other.requires_grad, other.data.tolist()) == ("x", True, [1.0, 2.0])
