"""CBOR bodies (smithy-rpc-v2-cbor): bytes to trees and back, and how CBOR writes scalars.

The decoder is our own because it must be narrow: it reads the seven major types and the tag for epoch seconds, and none
of the tags that build cycles, patterns, big numbers or addresses. Nothing is allocated before its bytes are there.
Source: Smithy 2.0, "RPC v2 CBOR protocol"; RFC 8949.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import datetime

import cbor2

from opentrail.model.shapes import Member, ShapeModel
from opentrail.wire.documents import (
    Dialect,
    kind_of,
    read_boolean,
    read_integer,
    read_string,
    read_structure,
    write_structure,
)
from opentrail.wire.scalars import NESTING_MAX, Malformed, Value, decode_utf8
from opentrail.wire.timestamps import parse_epoch, to_epoch

TAG_EPOCH = 1
INDEFINITE = 31
BREAK = 0xFF
BYTES, TEXT, ARRAY, MAP, TAG = 2, 3, 4, 5, 6
SIMPLE: Mapping[int, bool | None] = {20: False, 21: True, 22: None, 23: None}
FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
LENGTH_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}


class _Reader:
    """Takes data items off `data` one after the other."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.data):
            raise Malformed("CBOR ends too early")
        found = self.data[self.at : end]
        self.at = end
        return found

    def head(self) -> tuple[int, int]:
        """(major type, additional information) of the next item."""
        if self.at >= len(self.data):
            raise Malformed("CBOR ends too early")
        byte = self.data[self.at]
        self.at += 1
        return byte >> 5, byte & 0x1F

    def argument(self, info: int) -> int:
        """The number that follows a head."""
        if info < 24:
            return info
        if info not in LENGTH_BYTES:
            raise Malformed("CBOR has an invalid length")
        return int.from_bytes(self.take(LENGTH_BYTES[info]), "big")

    def at_break(self) -> bool:
        """Whether an item of indefinite length ends here; steps over the end."""
        if self.at >= len(self.data):
            raise Malformed("CBOR ends too early")
        if self.data[self.at] != BREAK:
            return False
        self.at += 1
        return True

    def item(self, depth: int) -> Value:
        major, info = self.head()
        if major < BYTES:
            return self.argument(info) if major == 0 else -1 - self.argument(info)
        if major == BYTES:
            return self.string(BYTES, info)
        if major == TEXT:
            return decode_utf8(self.string(TEXT, info))
        if major > TAG:
            return self.simple(info)
        if depth >= NESTING_MAX:
            raise Malformed("CBOR is nested too deep")
        if major == ARRAY:
            return self.array(info, depth + 1)
        return self.map(info, depth + 1) if major == MAP else self.tagged(info, depth + 1)

    def string(self, major: int, info: int) -> bytes:
        if info != INDEFINITE:
            return self.take(self.argument(info))
        chunks = []
        while not self.at_break():
            inner, length = self.head()
            if inner != major:
                raise Malformed("CBOR has a string of mixed chunks")
            chunks.append(self.take(self.argument(length)))
        return b"".join(chunks)

    def array(self, info: int, depth: int) -> list[Value]:
        items = []
        if info == INDEFINITE:
            while not self.at_break():
                items.append(self.item(depth))
            return items
        left = self.count(info)
        while left:
            items.append(self.item(depth))
            left -= 1
        return items

    def map(self, info: int, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        left = -1 if info == INDEFINITE else self.count(info)
        while left and not (left < 0 and self.at_break()):
            key = self.item(depth)
            if not isinstance(key, str):
                raise Malformed("a CBOR map's key is not text")
            found[key] = self.item(depth)
            left -= 1
        return found

    def count(self, info: int) -> int:
        """How many items follow; each takes a byte at least."""
        count = self.argument(info)
        if count > len(self.data) - self.at:
            raise Malformed("CBOR ends too early")
        return count

    def tagged(self, info: int, depth: int) -> datetime:
        if self.argument(info) != TAG_EPOCH:
            raise Malformed("CBOR has a tag that is not read")
        return _epoch(self.item(depth))

    def simple(self, info: int) -> bool | float | None:
        if info in SIMPLE:
            return SIMPLE[info]
        form = FLOATS.get(info)
        if form is None:
            raise Malformed("CBOR has a simple value that is not read")
        value: float = form.unpack(self.take(form.size))[0]
        return value


def _epoch(value: Value) -> datetime:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Malformed("timestamp is not a number")
    return parse_epoch(value)


def decode_cbor(data: bytes) -> Value:
    """One data item. Malformed if it is cut off, followed by more, nested too deep or uses what the protocol does not."""
    reader = _Reader(data)
    tree = reader.item(0)
    if reader.at != len(data):
        raise Malformed("CBOR is followed by more bytes")
    return tree


def encode_cbor(tree: Value) -> bytes:
    """Definite lengths; times must be `CBORTag(1, seconds)` already."""
    encoded: bytes = cbor2.dumps(tree)
    return encoded


def _read_float(_member: Member, value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Malformed(f"{kind_of(value)} can not be converted to a number")
    return float(value)


def _read_blob(_member: Member, value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise Malformed(f"{kind_of(value)} can not be converted to a Blob")
    return value


def _read_timestamp(_member: Member, value: Value) -> datetime:
    return value if isinstance(value, datetime) else _epoch(value)


def _write_blob(value: bytes | str) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else value


def _write_timestamp(value: Value) -> cbor2.CBORTag:
    return cbor2.CBORTag(TAG_EPOCH, to_epoch(value))


CBOR = Dialect(
    readers={
        "string": read_string,
        "boolean": read_boolean,
        "integer": read_integer,
        "long": read_integer,
        "float": _read_float,
        "double": _read_float,
        "blob": _read_blob,
        "timestamp": _read_timestamp,
    },
    writers={
        "float": lambda _: float,
        "double": lambda _: float,
        "blob": lambda _: _write_blob,
        "timestamp": lambda _: _write_timestamp,
    },
    wire_names=False,
)


def parse_cbor(shape: ShapeModel, body: bytes) -> dict[str, Value]:
    """A structure out of a CBOR body; an empty body is an empty structure."""
    return read_structure(shape, decode_cbor(body), CBOR) if body else {}


def render_cbor(shape: ShapeModel | None, value: Mapping[str, Value]) -> bytes:
    """A structure as a CBOR body."""
    return encode_cbor(write_structure(shape, value, CBOR) if shape is not None else {})
