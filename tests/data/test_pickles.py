"""The reader of batch pickles: it reads what a batch may be, and runs, builds and allocates nothing else."""

from __future__ import annotations

import builtins
import codecs
import collections
import io
import operator
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from cifar10_made import Call, Python2, as_bytes, content, samples
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_fc.data import pickles
from tinygrad_fc.data.pickles import read_pickle

PIXELS, LABELS = samples(np.random.default_rng(0), 3)
SOUND = Python2().batch(PIXELS, LABELS.tolist(), "training batch 1 of 5")
RECONSTRUCT, RECONSTRUCT_ARGUMENTS, STATE = PIXELS.__reduce__()  # type: ignore[misc]  # NumPy returns these three


def pickled(*codes: bytes, protocol: int = 2) -> bytes:
    return pickle.PROTO + bytes([protocol]) + b"".join(codes) + pickle.STOP


def short(text: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(text)]) + text.encode()


def test_what_python_2_wrote_is_read():
    # The sample is sound: the standard library, which runs what it is told to, reads the same.
    theirs = pickle.loads(SOUND, encoding="latin1")
    ours = read_pickle(SOUND)
    assert list(ours) == list(theirs) == ["batch_label", "labels", "data", "filenames"]
    assert ours["data"].dtype == np.uint8
    assert np.array_equal(ours["data"], PIXELS)
    assert np.array_equal(theirs["data"], PIXELS)
    assert ours["labels"] == theirs["labels"] == LABELS.tolist()
    assert ours["batch_label"] == b"training batch 1 of 5"
    assert ours["filenames"] == [name.encode() for name in theirs["filenames"]]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("keys", ["text", "bytes"])
@pytest.mark.parametrize("order", ["C", "F", "read-only"])
def test_what_python_3_writes_is_read(protocol, keys, order):
    pixels = np.asfortranarray(PIXELS) if order == "F" else PIXELS.copy()
    pixels.flags.writeable = order != "read-only"
    value = content(pixels, LABELS.tolist())
    read = read_pickle(pickle.dumps(as_bytes(value) if keys == "bytes" else value, protocol))
    assert set(read) == set(value)
    assert np.array_equal(read["data"], PIXELS)
    assert read["labels"] == value["labels"]
    assert not read["data"].flags.writeable


def test_numpy_1_names_are_read():
    written = pickle.dumps(content(PIXELS, LABELS.tolist()), 5)
    old = written.replace(short("numpy._core.numeric"), short("numpy.core.numeric"))
    assert old != written
    assert np.array_equal(read_pickle(old)["data"], PIXELS)


def test_shared_and_long_integers_are_read():
    shared = [1, 2]
    assert read_pickle(pickle.dumps({"a": shared, "b": shared, "c": 2**70, "d": None, "e": True, "f": ()}, 4)) == {
        "a": [1, 2], "b": [1, 2], "c": 2**70, "d": None, "e": True, "f": (),
    }  # fmt: skip
    assert read_pickle(pickled(b"}", b"U\x01k", b"M\x00\x01", b"s")) == {"k": 256}
    assert read_pickle(pickled(b"}", b"U\x01k", b"]", b"K\x07", b"a", b"s")) == {"k": [7]}


FOREIGN = {
    "eval": Call(builtins.eval, "1 + 1"),
    "getattr": Call(getattr, Call(__import__, "os"), "system"),
    "getattr of numpy": Call(getattr, np.ndarray, "tofile"),
    "import": Call(__import__, "antigravity"),
    "attrgetter": Call(operator.attrgetter, "x"),
    "open": Call(io.open, "/dev/null"),
    "numpy.load": Call(np.load, "/dev/null", None, True),
    "numpy.fromfile": Call(np.fromfile, "/dev/null"),
    "an instance": Path("x"),
    "a class": collections.OrderedDict,
    "an ordered dictionary": collections.OrderedDict(a=1),
    "a set": {1},
    "a float": 1.5,
    "a complex number": 1j,
    "another codec": Call(codecs.encode, "x", "rot13"),
    "a codec for good text": Call(codecs.encode, "x", "utf-8"),
    "decode": Call(codecs.decode, b"x", "latin1"),
    "other numbers": np.arange(3.0),
    "signed bytes": np.arange(3, dtype=np.int8),
    "truth values": np.array([True]),
    "objects": np.array([Call(os.getcwd)], dtype=object),
    "a record": np.zeros(2, dtype=[("a", "u1")]),
    "a number of NumPy's": np.uint8(3),
    "a foreign array class": Call(RECONSTRUCT, np.memmap, (0,), b"b", state=STATE),
    "an array of some size": Call(RECONSTRUCT, np.ndarray, (10**9,), b"b", state=STATE),
    "an array of another type": Call(RECONSTRUCT, np.ndarray, (0,), b"O", state=STATE),
    "an array called by its class": Call(np.ndarray, (10**9,)),
    "a dtype of objects": np.dtype(object),
    "a dtype from a dictionary": Call(np.dtype, {"names": ["a"], "formats": ["O"]}),
    "a dtype with a state of its own": Call(np.dtype, "u1", False, True, state=(3, "|", None, ("a",), {}, 1, 1, 0)),
    "a dtype with metadata": Call(np.dtype, "u1", False, True, state=(4, "|", None, None, None, -1, -1, 0, {"a": 1})),
}
STATES = {
    "a call instead of bytes": (1, (3, 3072), np.dtype(np.uint8), False, [Call(os.getcwd)]),
    "no bytes": (1, (3,), np.dtype(np.uint8), False, [1, 2, 3]),
    "too few bytes": (1, (3, 3072), np.dtype(np.uint8), False, b"123"),
    "a vast shape": (1, (2**40, 2**40), np.dtype(np.uint8), False, b"123"),
    "a shape that cancels out": (1, (2**80, 0), np.dtype(np.uint8), False, b""),
    "a negative shape": (1, (-1, -3), np.dtype(np.uint8), False, b"123"),
    "truth values in the shape": (1, (True, 3), np.dtype(np.uint8), False, b"123"),
    "no tuple as shape": (1, [3], np.dtype(np.uint8), False, b"123"),
    "too many axes": (1, (1,) * 40, np.dtype(np.uint8), False, b"1"),
    "another dtype": (1, (3,), "u1", False, b"123"),
    "another version": (2, (3,), np.dtype(np.uint8), False, b"123"),
    "too long": (1, (3,), np.dtype(np.uint8), False, b"123", None),
    "a dictionary": {"__class__": 1},
    "a pair for slots": (None, {"x": 1}),
}
FOREIGN |= {f"state, {name}": Call(RECONSTRUCT, *RECONSTRUCT_ARGUMENTS, state=STATES[name]) for name in STATES}
PLACES = {
    "alone": lambda value: value,
    "as data": lambda value: {**content(PIXELS, LABELS.tolist()), "data": value},
    "in a list": lambda value: {**content(PIXELS, LABELS.tolist()), "filenames": ["a", [({"x": [value]},)]]},
    "in a dictionary of its own": lambda value: {**content(PIXELS, LABELS.tolist()), "extra": {"x": value}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FOREIGN)
def test_what_no_batch_needs_is_refused(name, place):
    for protocol in (2, 3, 4, 5):
        with pytest.raises(ValueError, match="needs|no bytes|does not fit"):
            read_pickle(pickle.dumps(PLACES[place](FOREIGN[name]), protocol))


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_run(place, tmp_path):
    canary = tmp_path / "canary"
    for protocol in (2, 3, 4, 5):
        hostile = pickle.dumps(PLACES[place](Call(os.mkdir, str(canary))), protocol)
        with pytest.raises(ValueError, match=r"it asks for 'mkdir' of '(posix|nt)', which no batch needs; nothing was"):
            read_pickle(hostile)
        assert not canary.exists()
        pickle.loads(hostile)  # the file is alive: a reader that obeys it is caught
        canary.rmdir()


NAME = pickle.GLOBAL + b"numpy\nndarray\n"
OPCODES = {
    "an extension code": (pickle.EXT1 + b"\x01", "EXT1"),
    "a longer extension code": (pickle.EXT4 + b"\x01\0\0\0", "EXT4"),
    "a persistent id": (pickle.NONE + pickle.BINPERSID, "BINPERSID"),
    "a persistent id as text": (pickle.PERSID + b"1\n", "PERSID"),
    "a new object": (NAME + b")" + pickle.NEWOBJ, "NEWOBJ"),
    "a new object with keywords": (NAME + b")}" + pickle.NEWOBJ_EX, "NEWOBJ_EX"),
    "an instance": (b"(" + pickle.INST + b"os\nsystem\n", "INST"),
    "an instance from the stack": (b"(" + NAME + pickle.OBJ, "OBJ"),
    "a buffer from elsewhere": (pickle.NEXT_BUFFER, "NEXT_BUFFER"),
    "duplication": (b"]" + pickle.DUP, "DUP"),
    "protocol 0": (pickle.INT + b"1\n", "INT"),
    "a vast integer": (pickle.LONG4 + b"\1\0\0\0\1", "LONG4"),
    "a second protocol": (pickle.PROTO + b"\x02", "PROTO"),
    "no opcode": (b"\xff", "0xff"),
}


@pytest.mark.parametrize("name", OPCODES)
def test_opcodes_that_no_batch_needs_are_refused(name):
    code, opcode = OPCODES[name]
    with pytest.raises(ValueError, match=f"it has the opcode {opcode}, which no batch needs"):
        read_pickle(pickled(b"}U\x01k", code, b"s"))


BROKEN = {
    "a name of no text": (b"K\x01" + short("system") + pickle.STACK_GLOBAL, "names are text"),
    "a dotted name": (short("numpy") + short("ndarray.tofile") + pickle.STACK_GLOBAL, "asks for 'ndarray.tofile'"),
    "a name in a list": (b"]" + short("system") + pickle.STACK_GLOBAL, "a list of 0"),
    "a name without an end": (pickle.GLOBAL + b"x" * 1000, "no name ends"),
    "a call of a number": (b"K\x01)R", "it calls 1 with"),
    "a call with a list": (NAME + b"]R", "with .a list of 0."),
    "a state for a name": (NAME + b"}b", "it gives numpy.ndarray the state"),
    "a state for a dictionary": (b"}}b", "it gives a dict of 0 the state"),
    "a state for the dictionary": (b"}}U\x01ks", "keys and values|left over|keys are"),
    "a list as key": (b"}]Ns", "it has the key a list of 0"),
    "a number as key": (b"}K\x01Ns", "it has the key 1; keys are texts"),
    "a key too long": (b"}U\x41" + b"k" * 65 + b"Ns", "keys are texts of up to 64"),
    "keys without values": (b"}(Nu", "it sets 1 keys and values"),
    "an append to nothing": (b"}Na", "it appends to a dict of 0"),
    "an item of nothing": (b"]NNs", "it sets 2 keys and values in a list"),
    "an empty stack": (b"a", "nothing is on the stack"),
    "a stack below a mark": (b"N(a", "nothing is on the stack"),
    "no mark": (b"Nt", "no mark is set"),
    "values left over": (b"NN", "values are left over"),
    "a mark left over": (b"(N", "values are left over"),
    "an unknown memory": (b"h\x05", "nothing was remembered as 5"),
    "no dictionary": (b"]", "holds a list of 0, and no dictionary"),
    "negative length": (pickle.BINSTRING + b"\xff\xff\xff\xff", "cut short"),
    "no UTF-8": (b"X\x01\0\0\0\xff", "no UTF-8"),
    "an array without content": (
        b"}U\x04data" + pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n" + NAME + b"K\0\x85U\x01b\x87Rs",
        "its array 'data' has no content",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_pickles_are_refused(name):
    code, message = BROKEN[name]
    with pytest.raises(ValueError, match=message):
        read_pickle(pickled(code))


def test_an_array_gets_its_content_once():
    built = Python2().array(PIXELS[:1, :4])
    assert read_pickle(pickled(b"}U\x01k", built, b"s"))["k"].shape == (1, 4)
    state = built[built.index(pickle.MARK) :]
    with pytest.raises(ValueError, match="it gives an array the state"):
        read_pickle(pickled(b"}U\x01k", built, state, b"s"))


def test_an_array_has_a_known_order():
    written = pickle.dumps({"k": PIXELS}, 5)
    assert short("C") in written
    with pytest.raises(ValueError, match="its array has the order 'K', expected 'C' or 'F'"):
        read_pickle(written.replace(short("C"), short("K")))


def test_encoding_takes_latin_1_only():
    written = pickle.dumps({"k": b"\xff"}, 2)
    assert read_pickle(written) == {"k": b"\xff"}
    with pytest.raises(ValueError, match="no Latin-1"):
        read_pickle(pickle.dumps({"k": Call(codecs.encode, "\u0394", "latin1")}, 2))


@pytest.mark.parametrize("data", [b"", b"\x80", b"hello", b"(dp0\n.", b"\x80\x01}.", b"\x80\x06}.", b"\x1f\x8b\x08\0"])
def test_no_pickle_of_these_protocols(data):
    with pytest.raises(ValueError, match="it is no pickle of protocol 2 to 5"):
        read_pickle(data)


def test_every_cut_is_noticed_and_so_is_what_follows():
    for end in [*range(2, 400), *range(len(SOUND) - 200, len(SOUND))]:
        with pytest.raises(ValueError, match="cut short|no name ends"):
            read_pickle(SOUND[:end])
    with pytest.raises(ValueError, match="3 bytes follow after its end"):
        read_pickle(SOUND + b"abc")


ENCODE = b"c_codecs\nencode\n" + pickle.BINPUT + b"\0"
LONG_TEXT = b"X" + struct.pack("<I", 10**6) + b"a" * 10**6 + pickle.BINPUT + b"\1" + short("latin1") + b"q\2\x87"
BOMBS = {
    "bytes of a vast length": pickle.BINBYTES8 + struct.pack("<Q", 2**62),
    "a bytearray of a vast length": pickle.BYTEARRAY8 + struct.pack("<Q", 2**40),
    "text of a vast length": pickle.BINUNICODE8 + struct.pack("<Q", 2**63),
    "more steps than a batch has": b"]" * 10**6,
    "the same text encoded again and again": ENCODE + LONG_TEXT + b"h\0h\1h\2\x86R" * 1000,
    "a vast place in the memo": b"}" + pickle.LONG_BINPUT + b"\xff\xff\xff\xff" + b"K\x01N" + b"s",
    "a billion laughs": b"]q\0" + b"".join(b"](" + b"h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1])
                                          for n in range(200)),
    "a nest of lists": b"]" * 50_000 + b"a" * 49_999,
    "a nest of tuples as key": b"}" + b")" + b"\x85" * 50_000 + b"Ns",
    "a list that holds itself": b"]q\0h\0a" + b"h\0b",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_fail_cheaply(name):
    data = pickled(BOMBS[name])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"^it |values are left over"):
            read_pickle(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30e6 + 5 * len(data)


def test_what_is_too_large_is_refused_unread(monkeypatch):
    monkeypatch.setattr(pickles, "MOST_BYTES", len(SOUND) - 1)
    with pytest.raises(ValueError, match="more than the"):
        read_pickle(SOUND)
    monkeypatch.setattr(pickles, "MOST_BYTES", len(SOUND))
    assert len(read_pickle(SOUND)) == 4


SMALL = [
    Python2().batch(PIXELS[:2, :4], [1, 2], "training batch 1 of 5"),
    *(pickle.dumps(content(PIXELS[:2, :4], [1, 2]), protocol) for protocol in (2, 4, 5)),
]


@given(st.sampled_from(SMALL), st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=4))
def test_any_bytes_are_read_or_refused(data, changes):
    """Whatever is changed in a file: a dictionary or a ``ValueError``, and nothing else."""
    damaged = bytearray(data)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    try:
        read = read_pickle(bytes(damaged))
    except ValueError:
        return
    assert all(type(key) is str for key in read)
