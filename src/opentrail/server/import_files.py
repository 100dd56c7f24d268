"""What lies in a file of CloudTrail's: gzip or plain, `{"Records": […]}` or one record a line, of any event version.

Hostile files end in Unreadable: nothing is inflated beyond a bound, and no member of a record is believed. Pure: bytes in,
records' bytes out, each exactly as it stood in the file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import msgspec

INFLATED_MAX = 256 * 1024 * 1024
"""Bytes of a file when inflated. CloudTrail's own end at 50 MB."""
FILE_MAX = 256 * 1024 * 1024
"""Bytes of a file as it lies there."""
RECORD_MAX = 1024 * 1024
"""Bytes of a record; CloudTrail's largest have 1 MB."""
INFLATE_STEP = 4 * 1024 * 1024
GZIP = b"\x1f\x8b"


class Unreadable(Exception):
    """The file is not a log file, or only a part of one; the text says what is wrong with it."""


class _LogFile(msgspec.Struct):
    Records: list[msgspec.Raw]


def records_in(data: bytes) -> list[bytes]:
    """The records of a file, in order. Raises Unreadable: a file is read whole or not at all."""
    text = inflated(data) if data.startswith(GZIP) else data
    if len(text) > INFLATED_MAX:
        raise Unreadable(f"it is larger than {INFLATED_MAX:,} bytes")
    try:
        raw = msgspec.json.decode(text, type=_LogFile).Records
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        lines = _lines(text)
        if lines is None:
            raise Unreadable(_reason(error)) from error
        return lines
    records = [bytes(each) for each in raw]
    if any(len(record) > RECORD_MAX for record in records):
        raise Unreadable(f"a record of it is larger than {RECORD_MAX:,} bytes")
    return records


def _reason(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return "it holds no list of Records"
    return f"it is no JSON: {error}"


def _lines(text: bytes) -> list[bytes] | None:
    """The records of a file that has one a line (JSON Lines); None if it is something else.

    A file whose first line is a record is meant as one: a line of it that is no object makes the file Unreadable.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    decode = msgspec.json.Decoder(_Line).decode
    told = False
    for number, line in enumerate(lines):
        try:
            told = bool(decode(line).eventTime) or told
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            if not told:
                return None
            raise Unreadable(f"record {number + 1:,} of it, one a line, is no JSON object: {error}") from error
        if len(line) > RECORD_MAX:
            if not told:
                return None
            raise Unreadable(f"a record of it is larger than {RECORD_MAX:,} bytes")
    return lines if told else None


class _Line(msgspec.Struct):
    eventTime: str = ""


def inflated(data: bytes) -> bytes:
    """What a gzip file holds, of one or several members. Raises Unreadable."""
    pieces = list(_inflate(data))
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _inflate(data: bytes) -> Iterator[bytes]:
    size, rest = 0, data
    while rest:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not stream.eof:
            try:
                piece = stream.decompress(rest, INFLATE_STEP)
            except zlib.error as error:
                raise Unreadable(f"it is damaged: {error}") from error
            rest = stream.unconsumed_tail
            size += len(piece)
            if size > INFLATED_MAX:
                raise Unreadable(f"it is larger than {INFLATED_MAX:,} bytes when inflated")
            if not (piece or rest or stream.eof):
                raise Unreadable("it is cut off")
            yield piece
        rest = stream.unused_data.lstrip(b"\0")  # some tools pad the end
