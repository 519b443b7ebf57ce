"""A reader of the pickles that CIFAR-10 batches are. It calls nothing that a file names.

A pickle is a program for a small stack machine, and the machine of the standard library imports and calls what the
program asks for. This one has the steps that a batch needs and no other: numbers, text, bytes, lists, dictionaries,
tuples, and an array of bytes. What a batch calls (NumPy's ``_reconstruct``, ``_frombuffer`` and ``dtype``, and
``_codecs.encode``) is recognised by name, its arguments are checked, and the array is built here. So there is nothing
that a hostile file could reach, however it nests its requests, and memory stays within a few times the file's size.

Read are protocols 2 to 5: the published files (Python 2, protocol 2), and batches saved again by Python 3 and NumPy 1
or 2. The opcodes are described in the standard library's ``pickletools``.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable

import numpy as np

# The published batches have some 31 MB and 32,000 steps; pickled again in the most long-winded way, 46 MB and 92,000.
MOST_BYTES = 64 * 2**20
MOST_STEPS = 250_000
MOST_DIMENSIONS = 8
LONGEST_KEY = 64
PROTOCOLS = range(2, 6)


class _Name:
    """Stands for something of NumPy's or Python's that a batch names. It does nothing."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class _Array:
    """An array whose bytes come in a later step (``BUILD``), or have come."""

    __slots__ = ("values",)

    def __init__(self, values: np.ndarray | None = None) -> None:
        self.values = values

    def __repr__(self) -> str:
        return "an array"


ENCODE = _Name("_codecs.encode")
NDARRAY = _Name("numpy.ndarray")
DTYPE = _Name("numpy.dtype")
RECONSTRUCT = _Name("numpy's _reconstruct")
FROMBUFFER = _Name("numpy's _frombuffer")
UINT8 = _Name("dtype('uint8')")

NAMES = {
    ("_codecs", "encode"): ENCODE,
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): DTYPE,
    ("numpy.core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): FROMBUFFER,
    ("numpy._core.numeric", "_frombuffer"): FROMBUFFER,
}


def read_pickle(data: bytes) -> dict[str, object]:
    """Read the dictionary that a batch is.

    Parameters
    ----------
    data : bytes
        The whole pickle.

    Returns
    -------
    dict
        Keys are text, those that Python 2 wrote as bytes too. Arrays are read-only uint8 arrays. Bytes, and what
        Python 2 called ``str``, are bytes.

    Raises
    ------
    ValueError
        When `data` is no pickle of protocol 2 to 5, is cut short, is larger than 64 MiB, or asks for anything that
        a batch does not need. The message says what; the caller knows the file's name.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has more than the {MOST_BYTES} bytes that are read at most")
    if len(data) < 2 or data[:1] != pickle.PROTO or data[1] not in PROTOCOLS:
        raise ValueError(f"it is no pickle of protocol {PROTOCOLS[0]} to {PROTOCOLS[-1]} (it begins with {data[:8]!r})")
    value = _Machine(data).run()
    if type(value) is not dict:
        raise ValueError(f"it holds {_shown(value)}, and no dictionary")
    content = {}
    for key, item in value.items():
        if type(item) is _Array:
            if item.values is None:
                raise ValueError(f"its array {_shown(key)} has no content")
            item = item.values
        content[key] = item
    return content


def _shown(value: object) -> str:
    """Describe what a file holds in a few words; containers by their kind, since a small file can nest a vast one."""
    if isinstance(value, str | bytes):
        return repr(value[:60]) + ("..." if len(value) > 60 else "")
    if isinstance(value, list | dict | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return repr(value)[:80]


def _text(value: object) -> object:
    """Return Python 2's ``str`` as text; anything else as it is."""
    return value.decode("latin-1") if type(value) is bytes else value


def _opcode(code: int) -> str:
    """Return the name that the standard library gives an opcode."""
    named = (name for name, value in vars(pickle).items() if name.isupper() and value == bytes([code]))
    return next(named, f"0x{code:02x}")


class _Machine:
    """Runs one pickle. A step takes what it needs from the data and the stack, and refuses what a batch has no need of.

    Nothing here compares, hashes or prints a container that came from the file, so that neither nesting nor sharing
    costs more than the file's own length.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 2  # after the protocol
        self.stack: list[object] = []
        self.outer: list[list[object]] = []  # the stacks below the marks
        self.memo: dict[int, object] = {}
        self.to_encode = len(data)  # characters; a batch encodes each piece of its text once

    def run(self) -> object:
        """Run the steps up to ``STOP`` and return what is then on the stack."""
        data, length = self.data, len(self.data)
        for _ in range(MOST_STEPS):
            if self.at >= length:
                raise ValueError(f"it is cut short: it ends after {length} bytes without the mark of a pickle's end")
            code = data[self.at]
            self.at += 1
            step = STEPS.get(code)
            if step is not None:
                step(self)
            elif code == pickle.STOP[0]:
                return self.finish()
            else:
                raise ValueError(f"at byte {self.at - 1} it has the opcode {_opcode(code)}, which no batch needs")
        raise ValueError(f"it takes more than {MOST_STEPS} steps to read, and a batch fewer than half as many")

    def finish(self) -> object:
        value = self.pop()
        if self.stack or self.outer:
            raise ValueError("it is no sound pickle: values are left over at its end")
        if self.at != len(self.data):
            raise ValueError(f"{len(self.data) - self.at} bytes follow after its end")
        return value

    # From the data

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.data) - self.at:
            raise ValueError(f"it is cut short: {size} bytes should follow byte {self.at}, and it has {len(self.data)}")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def characters(self, size: int) -> str:
        try:
            return self.take(size).decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"the text before byte {self.at} is no UTF-8") from None

    def line(self) -> str:
        end = self.data.find(b"\n", self.at, self.at + 256)
        if end < 0:
            raise ValueError(f"no name ends within 256 bytes of byte {self.at}")
        return self.take(end + 1 - self.at)[:-1].decode("latin-1")

    # On the stack

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        if not self.stack:
            raise ValueError(f"it is no sound pickle: nothing is on the stack at byte {self.at - 1}")
        return self.stack.pop()

    def last(self) -> object:
        self.push(value := self.pop())
        return value

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[object]:
        if not self.outer:
            raise ValueError(f"it is no sound pickle: no mark is set at byte {self.at - 1}")
        values, self.stack = self.stack, self.outer.pop()
        return values

    def pack(self, count: int) -> None:
        """Make a tuple of the last `count` values."""
        self.push(tuple([self.pop() for _ in range(count)][::-1]))

    def remember(self, index: int) -> None:
        self.memo[index] = self.last()

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise ValueError(f"it is no sound pickle: nothing was remembered as {index}")
        self.push(self.memo[index])

    def extend(self, values: list[object]) -> None:
        target = self.last()
        if type(target) is not list:
            raise ValueError(f"it appends to {_shown(target)}, and no list")
        target.extend(values)

    def update(self, values: list[object]) -> None:
        target = self.last()
        if type(target) is not dict or len(values) % 2:
            raise ValueError(f"it sets {len(values)} keys and values in {_shown(target)}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Decoding and hashing a long key again and again would cost a small file much time.
            if not isinstance(key, str | bytes) or len(key) > LONGEST_KEY:
                raise ValueError(f"it has the key {_shown(key)}; keys are texts of up to {LONGEST_KEY} characters")
            target[_text(key)] = value

    # What a batch names, calls and builds

    def name(self, module: object, name: object) -> None:
        if type(module) is not str or type(name) is not str:
            raise ValueError(f"it names something by {_shown(module)} and {_shown(name)}, and names are text")
        if (module, name) not in NAMES:
            raise ValueError(f"it asks for {_shown(name)} of {_shown(module)}, which no batch needs; nothing was run")
        self.push(NAMES[module, name])

    def name_from_stack(self) -> None:
        name = self.pop()
        self.name(self.pop(), name)

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if type(arguments) is tuple:
            texts = tuple(map(_text, arguments)) if len(arguments) <= 3 else ()
            if function is ENCODE and len(texts) == 2 and type(texts[0]) is str and texts[1] in ("latin1", "latin-1"):
                return self.push(self.encode(texts[0]))
            if function is DTYPE and texts == ("u1", 0, 1):
                return self.push(UINT8)
            if function is RECONSTRUCT and texts == (NDARRAY, (0,), "b"):
                return self.push(_Array())
            if function is FROMBUFFER and len(arguments) == 4 and arguments[1] is UINT8:
                buffer, _, shape, order = arguments
                return self.push(_Array(self.array(buffer, shape, _text(order))))
        what = ", ".join(map(_shown, arguments[:5])) if type(arguments) is tuple else _shown(arguments)
        raise ValueError(f"it calls {_shown(function)} with ({what}), which no batch needs; nothing was run")

    def build(self) -> None:
        state, target = self.pop(), self.last()
        if type(state) is tuple:
            if target is UINT8 and len(state) == 8:
                if tuple(map(_text, state)) == (3, "|", None, None, None, -1, -1, 0):
                    return
            if type(target) is _Array and target.values is None and len(state) == 5:
                version, shape, dtype, fortran, buffer = state
                if version == 1 and dtype is UINT8:
                    target.values = self.array(buffer, shape, "F" if fortran is True or fortran == 1 else "C")
                    return
        what = ", ".join(map(_shown, state[:8])) if type(state) is tuple else _shown(state)
        raise ValueError(f"it gives {_shown(target)} the state ({what}), which no batch needs; nothing was run")

    def encode(self, text: str) -> bytes:
        """Return Latin-1 bytes, as protocol 2 of Python 3 spells bytes; never more in sum than the file is long."""
        self.to_encode -= len(text)
        if self.to_encode < 0:
            raise ValueError("it encodes more text than it holds")
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError("it encodes text that is no Latin-1") from None

    def array(self, buffer: object, shape: object, order: object) -> np.ndarray:
        """Return a read-only uint8 array over `buffer`, once its shape is known to fit."""
        if type(buffer) is not bytes:
            raise ValueError(f"its array is made of {_shown(buffer)}, and no bytes")
        if order not in ("C", "F"):
            raise ValueError(f"its array has the order {_shown(order)}, expected 'C' or 'F'")
        if (
            type(shape) is not tuple
            or not 1 <= len(shape) <= MOST_DIMENSIONS
            or not all(type(size) is int and 1 <= size <= len(buffer) for size in shape)
            or math.prod(shape) != len(buffer)
        ):
            sizes = ", ".join(map(_shown, shape[:5])) if type(shape) is tuple else _shown(shape)
            raise ValueError(f"its array has {len(buffer)} bytes, which the shape ({sizes}) does not fit")
        return np.frombuffer(buffer, np.uint8).reshape(shape, order="F" if order == "F" else "C")


# Every step there is. A pickle that needs another is refused: extension codes, persistent ids, instances, classes,
# sets, floats, buffers from elsewhere, the text-based protocols.
STEPS: dict[int, Callable[[_Machine], object]] = {
    opcode[0]: step
    for opcode, step in (
        (pickle.FRAME, lambda m: m.number(8)),
        # atoms
        (pickle.NONE, lambda m: m.push(None)),
        (pickle.NEWTRUE, lambda m: m.push(True)),
        (pickle.NEWFALSE, lambda m: m.push(False)),
        (pickle.BININT, lambda m: m.push(m.number(4, signed=True))),
        (pickle.BININT1, lambda m: m.push(m.number(1))),
        (pickle.BININT2, lambda m: m.push(m.number(2))),
        (pickle.LONG1, lambda m: m.push(m.number(m.number(1), signed=True))),
        (pickle.SHORT_BINSTRING, lambda m: m.push(m.take(m.number(1)))),
        (pickle.BINSTRING, lambda m: m.push(m.take(m.number(4, signed=True)))),
        (pickle.SHORT_BINBYTES, lambda m: m.push(m.take(m.number(1)))),
        (pickle.BINBYTES, lambda m: m.push(m.take(m.number(4)))),
        (pickle.BINBYTES8, lambda m: m.push(m.take(m.number(8)))),
        (pickle.BYTEARRAY8, lambda m: m.push(m.take(m.number(8)))),
        (pickle.SHORT_BINUNICODE, lambda m: m.push(m.characters(m.number(1)))),
        (pickle.BINUNICODE, lambda m: m.push(m.characters(m.number(4)))),
        (pickle.BINUNICODE8, lambda m: m.push(m.characters(m.number(8)))),
        # containers
        (pickle.MARK, lambda m: m.mark()),
        (pickle.EMPTY_TUPLE, lambda m: m.push(())),
        (pickle.TUPLE1, lambda m: m.pack(1)),
        (pickle.TUPLE2, lambda m: m.pack(2)),
        (pickle.TUPLE3, lambda m: m.pack(3)),
        (pickle.TUPLE, lambda m: m.push(tuple(m.since_mark()))),
        (pickle.EMPTY_LIST, lambda m: m.push([])),
        (pickle.APPEND, lambda m: m.extend([m.pop()])),
        (pickle.APPENDS, lambda m: m.extend(m.since_mark())),
        (pickle.EMPTY_DICT, lambda m: m.push({})),
        (pickle.SETITEM, lambda m: m.update([m.pop(), m.pop()][::-1])),
        (pickle.SETITEMS, lambda m: m.update(m.since_mark())),
        # the memo
        (pickle.BINPUT, lambda m: m.remember(m.number(1))),
        (pickle.LONG_BINPUT, lambda m: m.remember(m.number(4))),
        (pickle.MEMOIZE, lambda m: m.remember(len(m.memo))),
        (pickle.BINGET, lambda m: m.recall(m.number(1))),
        (pickle.LONG_BINGET, lambda m: m.recall(m.number(4))),
        # names, calls, states: by name, and from a closed list
        (pickle.GLOBAL, lambda m: m.name(m.line(), m.line())),
        (pickle.STACK_GLOBAL, lambda m: m.name_from_stack()),
        (pickle.REDUCE, lambda m: m.call()),
        (pickle.BUILD, lambda m: m.build()),
    )
}
