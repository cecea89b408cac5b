"""Values between a program and its tests, as text that holds data and no behaviour.

A value of a subclass (a number whose `__eq__` always says yes) becomes one of the plain type. What
is no data, such as an instance of a program's class, stays in the program and is passed as a number
that stands for it.
"""

import json
import os
import struct
from collections.abc import Callable
from typing import Any

LARGEST_BYTES = 64 << 20
PIECE_BYTES = 1 << 20
LENGTH = struct.Struct("<I")
SCALARS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__pos__),
    (float, float.__pos__),
    (str, str.__str__),
)
COLLECTIONS: dict[str, Any] = {"tuple": tuple, "set": set, "frozenset": frozenset}


class Ref:
    """Stands, outside a program, for an object inside it; equal to nothing but itself."""

    def __init__(self, number: int) -> None:
        self.number = number


def to_data(value: Any, kept: list[Any]) -> Any:
    """The value as JSON has it: other types as `{type: content}`, objects as their place in `kept`,
    where they are put."""
    if value is None or isinstance(value, bool):
        return value
    for scalar, plain in SCALARS:
        if isinstance(value, scalar):
            return plain(value)
    if isinstance(value, list):
        return [to_data(item, kept) for item in list.__iter__(value)]
    for name, kind in COLLECTIONS.items():
        if isinstance(value, kind):
            return {name: [to_data(item, kept) for item in kind.__iter__(value)]}
    if isinstance(value, dict):
        pairs = dict.items(value)
        return {"dict": [[to_data(key, kept), to_data(item, kept)] for key, item in pairs]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, Ref):
        return {"ref": value.number}
    if hasattr(value, "tolist"):  # of numpy
        return to_data(value.tolist(), kept)
    kept.append(value)
    return {"ref": len(kept) - 1}


def from_data(data: Any, kept: list[Any] | None = None) -> Any:
    """The value again; an object from `kept`, or a `Ref` without."""
    if isinstance(data, list):
        return [from_data(item, kept) for item in data]
    if not isinstance(data, dict):
        return data
    ((kind, content),) = data.items()
    if kind == "dict":
        return {from_data(key, kept): from_data(item, kept) for key, item in content}
    if kind == "ref":
        return Ref(content) if kept is None else kept[content]
    if kind == "bytes":
        return bytes.fromhex(content)
    if kind == "complex":
        return complex(*content)
    return COLLECTIONS[kind](from_data(content, kept))


class Line:
    """One end of the pair of sockets between program and tests: whole messages, each of JSON."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, text: bytes) -> None:
        """Raises EOFError when the other side has ended."""
        left = memoryview(LENGTH.pack(len(text)) + text)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except OSError:
                raise EOFError from None

    def receive(self) -> Any:
        """The next message; raises EOFError when the other side has ended or sends too much."""
        (length,) = LENGTH.unpack(self._read(LENGTH.size))
        if length > LARGEST_BYTES:
            raise EOFError
        return json.loads(self._read(length))

    def _read(self, length: int) -> bytes:
        pieces = bytearray()
        while len(pieces) < length:
            try:
                piece = os.read(self._descriptor, min(length - len(pieces), PIECE_BYTES))
            except OSError:  # the other side ended and left something unread
                piece = b""
            if not piece:
                raise EOFError
            pieces += piece
        return bytes(pieces)
