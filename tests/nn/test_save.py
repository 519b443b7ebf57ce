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
    about = {"format": "tinygrad_fc.module", "version": "2", "class": "Net"}
    path.write_bytes(tensor_bytes(network(1).state_dict(), about))
    with pytest.raises(FileError, match=r"net\.safetensors: written by another version .*\(format 2, this one"):
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
