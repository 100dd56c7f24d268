"""JSON bodies: text to trees and back, and how JSON writes scalars (JSON 1.0, 1.1 and rest-json).

Decoding never fails in another way than `Malformed`: depth and numbers are bounded, NaN and lone surrogates refused;
of duplicate keys the last counts. Source: Smithy 2.0, "AWS JSON 1.1 protocol".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from opentrail.model.shapes import Member, ShapeModel
from opentrail.wire.documents import (
    Dialect,
    kind_of,
    read,
    read_boolean,
    read_integer,
    read_string,
    read_structure,
    write,
    write_structure,
)
from opentrail.wire.scalars import NESTING_MAX, SPECIAL_FLOATS, Malformed, Value, format_blob, format_float, parse_blob
from opentrail.wire.timestamps import format_timestamp, parse_epoch, parse_http_date, parse_iso8601, to_epoch

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def decode_json(data: bytes) -> Value:
    """Value JSON value. Malformed if it is not JSON in UTF-8, or is nested deeper than NESTING_MAX."""
    try:
        tree = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("the body is not well-formed JSON") from None
    except RecursionError:
        raise Malformed("JSON is nested too deep") from None
    if data.count(b"[") + data.count(b"{") > NESTING_MAX:
        check_depth(tree)
    return tree


def encode_json(tree: Value) -> bytes:
    """Compact JSON in UTF-8."""
    return _encode(tree)


def check_depth(tree: Value) -> None:
    """Malformed if lists and maps lie deeper in one another than NESTING_MAX. Walks level by level, without recursion."""
    level = [tree]
    for _ in range(NESTING_MAX):
        inner: list[Value] = []
        for node in level:
            if isinstance(node, dict):
                inner.extend(each for each in node.values() if isinstance(each, (dict, list)))
            elif isinstance(node, list):
                inner.extend(each for each in node if isinstance(each, (dict, list)))
        if not inner:
            return
        level = inner
    raise Malformed("JSON is nested too deep")


def _read_float(_member: Member, value: Value) -> float:
    if isinstance(value, str) and value in SPECIAL_FLOATS:
        return SPECIAL_FLOATS[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Malformed(f"{kind_of(value)} can not be converted to a number")
    try:
        return float(value)
    except OverflowError:
        raise Malformed("NUMBER_VALUE can not be converted to a number") from None


def _read_blob(member: Member, value: Value) -> bytes:
    return parse_blob(read_string(member, value))


def _read_timestamp(member: Member, value: Value) -> datetime:
    form = member.timestamp_format.lower()
    if form in ("iso8601", "rfc822"):
        text = read_string(member, value)
        return parse_iso8601(text) if form == "iso8601" else parse_http_date(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Malformed(f"{kind_of(value)} can not be converted to milliseconds since epoch")
    if isinstance(value, int) and value.bit_length() > 64:
        raise Malformed("timestamp is out of range")
    return parse_epoch(value)


def _write_float(value: float) -> float | str:
    return value if math.isfinite(value) else format_float(value)


def _timestamp_writer(member: Member) -> Callable[[Value], str | int | float]:
    form = member.timestamp_format.lower()
    return (lambda value: format_timestamp(value, form)) if form in ("iso8601", "rfc822") else to_epoch


JSON = Dialect(
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
        "float": lambda _: _write_float,
        "double": lambda _: _write_float,
        "blob": lambda _: format_blob,
        "timestamp": _timestamp_writer,
    },
    wire_names=True,
)


def parse_json(shape: ShapeModel, body: bytes) -> dict[str, Value]:
    """A structure out of a JSON body; an empty body is an empty structure."""
    return read_structure(shape, decode_json(body), JSON) if body.strip() else {}


def parse_json_member(member: Member, body: bytes) -> Value:
    """A member of any shape out of a JSON body."""
    return read(member, decode_json(body), JSON)


def render_json(shape: ShapeModel | None, value: Mapping[str, Value]) -> bytes:
    """A structure as a JSON body."""
    return encode_json(write_structure(shape, value, JSON) if shape is not None else {})


def render_json_member(member: Member, value: Value) -> bytes:
    return encode_json(write(member, value, JSON))
