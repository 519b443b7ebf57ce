"""The published archive: read member by member, in any order, and nothing that is odd in it is followed."""

from __future__ import annotations

import gzip
import os
import pickle
import re
import tarfile

import numpy as np
import pytest
from cifar10_made import NAMES, PUBLISHED_ORDER, Call, write_archive

from tinygrad_fc.data import cifar10_files, load_cifar10, read_cifar10

SPLIT = {"num_training": 15, "num_validation": 4, "num_test": 5}


@pytest.mark.parametrize("order", [NAMES, PUBLISHED_ORDER, NAMES[::-1]])
@pytest.mark.parametrize("prefix", ["cifar-10-batches-py/", "./cifar-10-batches-py/", ""])
def test_an_archive_is_read_in_any_order_and_unpacked_nowhere(made, tmp_path, order, prefix):
    folder, truth = made
    place = tmp_path / "alone"
    place.mkdir()
    path = write_archive(place / "cifar-10-python.tar.gz", folder, order, prefix)
    for root in (path, place):
        assert all(np.array_equal(array, truth[name]) for name, array in read_cifar10(root).items())
    expected = load_cifar10(folder, **SPLIT)
    assert all(np.array_equal(array, expected[name]) for name, array in load_cifar10(path, **SPLIT).items())
    assert os.listdir(place) == ["cifar-10-python.tar.gz"]


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_not_followed(made, tmp_path, kind):
    folder, _ = made
    name = "cifar-10-batches-py/data_batch_1"
    odd = member(name, kind, str(folder / "data_batch_1"))
    path = write_archive(tmp_path / "odd.tar.gz", folder, NAMES[1:], extra=[(odd, b"")])
    with pytest.raises(ValueError, match=f"odd.tar.gz is no sound .*'{name}' is a link, a device or a second copy"):
        load_cifar10(path)


def test_a_second_copy_is_refused(made, tmp_path):
    folder, _ = made
    twice = [(member("cifar-10-batches-py/data_batch_1"), b"x")]
    path = write_archive(tmp_path / "twice.tar.gz", folder, extra=twice)
    with pytest.raises(ValueError, match="'cifar-10-batches-py/data_batch_1' is a link, a device or a second copy"):
        load_cifar10(path)


def test_other_members_are_ignored(made, tmp_path):
    folder, truth = made
    names = ["../data_batch_1", "/etc/data_batch_1", "cifar-10-batches-py/../test_batch", "x/data_batch_1", "readme"]
    extra = [(member(name), b"hostile") for name in names]
    extra.append((member("cifar-10-batches-py/link", tarfile.SYMTYPE, "/etc"), b""))
    path = write_archive(tmp_path / "more.tar.gz", folder, extra=extra)
    assert np.array_equal(read_cifar10(path)["X_train"], truth["X_train"])
    path = write_archive(tmp_path / "less.tar.gz", folder, NAMES[1:], extra=extra)
    with pytest.raises(FileNotFoundError, match=r"less.tar.gz has no data_batch_1: part of CIFAR-10 is missing"):
        read_cifar10(path)


def test_a_damaged_batch_in_an_archive_is_named(made, tmp_path):
    folder, _ = made
    (folder / "data_batch_4").write_bytes(pickle.dumps({"labels": [1]}))
    path = write_archive(tmp_path / "a.tar.gz", folder)
    with pytest.raises(ValueError, match=re.escape(f"data_batch_4 in {path} is no sound CIFAR-10 batch")):
        load_cifar10(path)


def test_damaged_archives_are_refused(made, tmp_path):
    folder, _ = made
    path = write_archive(tmp_path / "a.tar.gz", folder)
    whole = path.read_bytes()
    wrong_checksum = bytearray(whole)
    wrong_checksum[-6] ^= 1
    cut_inside = gzip.compress(gzip.decompress(whole)[:40_000], 1)
    no_tar = gzip.compress(b"x" * 999)
    for data in (b"", b"<html>", whole[:1000], whole[:-4], bytes(wrong_checksum), cut_inside, no_tar):
        path.write_bytes(data)
        with pytest.raises((ValueError, FileNotFoundError), match=re.escape(str(path)) + ".*fetch_cifar10"):
            load_cifar10(path)


def test_damaged_headers_raise_nothing_else(made, tmp_path, rng):
    """Whatever is changed in a header: the images, or an error that names the archive."""
    folder, truth = made
    path = write_archive(tmp_path / "a.tar.gz", folder)
    plain = gzip.decompress(path.read_bytes())
    refusals = []
    for _ in range(60):
        damaged = bytearray(plain)
        start = 512 * int(rng.integers(0, 3))
        for at in rng.integers(0, 512, 3):
            damaged[start + at] = rng.integers(0, 256)
        header = damaged[:512]  # with a checksum that is right again, so that the fields are looked at
        header[148:156] = b" " * 8
        damaged[148:156] = f"{sum(header):06o}\0 ".encode()
        path.write_bytes(gzip.compress(bytes(damaged), 1))
        try:
            assert read_cifar10(path)["X_train"].shape == truth["X_train"].shape
        except (ValueError, FileNotFoundError) as error:
            refusals.append(str(path) in str(error))
    assert len(refusals) > 10
    assert all(refusals)


def test_archives_that_unpack_to_too_much_are_refused(made, tmp_path, monkeypatch):
    folder, _ = made
    monkeypatch.setattr(cifar10_files, "MOST_BYTES", 100_000)
    bomb = [(member("readme.html"), b"\0" * 700_000)]
    path = write_archive(tmp_path / "bomb.tar.gz", folder, extra=bomb)
    with pytest.raises(ValueError, match=r"bomb.tar.gz is no sound .* it unpacks to more than 600000 bytes"):
        load_cifar10(path)
    large = [(member("cifar-10-batches-py/data_batch_1"), b"\0" * 200_000)]
    path = write_archive(tmp_path / "large.tar.gz", folder, NAMES[1:], extra=large)
    with pytest.raises(ValueError, match="'cifar-10-batches-py/data_batch_1' has 200000 bytes, and a batch some 31"):
        load_cifar10(path)


def test_a_hostile_batch_in_an_archive_is_refused(made, tmp_path):
    folder, _ = made
    canary = tmp_path / "canary"
    (folder / "data_batch_1").write_bytes(pickle.dumps({"data": Call(os.mkdir, str(canary))}, 2))
    with pytest.raises(ValueError, match="asks for 'mkdir'"):
        read_cifar10(write_archive(tmp_path / "a.tar.gz", folder))
    assert not canary.exists()
