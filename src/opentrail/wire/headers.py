"""What one HTTP header holds: text beyond ASCII, lists, times, JSON values; both ways.

Header values are latin-1 text here, as `HttpRequest` has them. Knows one member at a time, never an operation.
Source: RFC 2047 and the S3 user guide, "User-defined object metadata", for metadata beyond ASCII; Smithy 2.0, "HTTP
binding traits", for lists.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from collections.abc import Mapping

from opentrail.model.shapes import Member
from opentrail.wire.json_codec import decode_json, encode_json
from opentrail.wire.scalars import (
    Malformed,
    Value,
    format_blob,
    format_boolean,
    format_float,
    parse_blob,
)
from opentrail.wire.timestamps import format_timestamp, parse_timestamp
from opentrail.wire.xml_codec import TEXT_READERS

HEADER_LIST_MAX = 1_000
"""Items in one header."""
CHARSETS: Mapping[str, str] = {"utf-8": "utf-8", "us-ascii": "ascii", "iso-8859-1": "latin-1"}

_ENCODED_WORD = re.compile(r"=\?([A-Za-z0-9-]{1,40})(?:\*[A-Za-z-]{1,20})?\?([BbQq])\?([^? ]{0,8192})\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)[ \t]+(?==\?)")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LIST_ITEM = re.compile(r'[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^",]*))[ \t]*(?:,|$)')


def decode_text(text: str) -> str:
    """Header text as the client meant it: UTF-8 where the bytes are UTF-8, else latin-1."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def decode_metadata(text: str) -> str:
    """As `decode_text`, with RFC 2047 encoded words decoded. A word that cannot be decoded stays as it is."""
    if "=?" in text:
        return decode_text(_ENCODED_WORD.sub(_decode_word, _BETWEEN_WORDS.sub(r"\1", text)))
    return text if text.isascii() else decode_text(text)


def _decode_word(found: re.Match[str]) -> str:
    charset, encoding, word = found.groups()
    codec = CHARSETS.get(charset.lower())
    if codec is None or not word.isascii():
        return found[0]
    try:
        data = base64.b64decode(word, validate=True) if encoding in "Bb" else quopri.decodestring(word, header=True)
        return data.decode(codec).encode("utf-8").decode("latin-1")
    except (binascii.Error, UnicodeError):
        return found[0]


def encode_text(text: str) -> str:
    """Latin-1 text that carries UTF-8; control characters become blanks, so that no value can end its own header."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(" ", text).encode("utf-8", "replace").decode("latin-1")


def encode_metadata(text: str) -> str:
    """ASCII as it is, anything else as one RFC 2047 word, as S3 answers."""
    if text.isascii() and text.isprintable():
        return text
    word = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    return f"=?UTF-8?B?{word}?="


def read_header(member: Member, text: str) -> Value:
    """A member's value out of its header."""
    kind = member.shape.type
    if kind == "string":
        return _read_json_value(text) if member.jsonvalue else decode_text(text)
    if kind == "list":
        return _read_list(member, text)
    return TEXT_READERS[kind](member, text)


def _read_json_value(text: str) -> Value:
    return decode_json(parse_blob(text))


def _read_list(member: Member, text: str) -> list[Value]:
    item = member.shape.item
    if item is None:
        return []
    if item.shape.type == "timestamp" and item.timestamp_format.lower() in ("", "rfc822"):
        return _read_http_dates(text)
    values: list[Value] = []
    at = 0
    while at < len(text):
        found = _LIST_ITEM.match(text, at)
        if found is None or len(values) >= HEADER_LIST_MAX:
            raise Malformed("the header is not a list")
        quoted, plain = found.groups()
        at = found.end()
        if quoted is not None:
            values.append(read_header(item, re.sub(r"\\(.)", r"\1", quoted)))
        elif plain.strip():
            values.append(read_header(item, plain.strip()))
    return values


def _read_http_dates(text: str) -> list[Value]:
    """HTTP dates have a comma of their own after the day's name."""
    parts = [part.strip() for part in text.split(",", 2 * HEADER_LIST_MAX)]
    if len(parts) % 2 or len(parts) > 2 * HEADER_LIST_MAX:
        raise Malformed("the header is not a list of dates")
    return [parse_timestamp(f"{day}, {rest}") for day, rest in zip(parts[::2], parts[1::2], strict=True)]


def write_header(member: Member, value: Value) -> str:
    """A member's value as header text. A time that is text already stays as it is."""
    kind = member.shape.type
    if member.jsonvalue:
        return format_blob(encode_json(value))
    if isinstance(value, str):
        return encode_text(value)
    if kind == "list":
        return _write_list(member, value)
    return write_text(member, value, "rfc822")


def write_text(member: Member, value: Value, timestamp_format: str) -> str:
    """A scalar as text; times in the member's own format, else in `timestamp_format`; text stays as it is."""
    kind = member.shape.type
    if kind == "boolean":
        return format_boolean(value)
    if kind == "timestamp":
        return format_timestamp(value, member.timestamp_format or timestamp_format)
    if kind == "blob":
        return format_blob(value)
    return format_float(value) if kind in ("float", "double") else str(value)


def _write_list(member: Member, value: Value) -> str:
    item = member.shape.item
    if item is None:
        return ""
    return ",".join(_list_item(item, each) for each in value if each is not None)


def _list_item(item: Member, value: Value) -> str:
    text = write_header(item, value)
    if item.shape.type == "string" and ("," in text or '"' in text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text
