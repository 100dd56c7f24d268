"""An object's bytes as lines: checked to be UTF-8, split at the record delimiter, bounded, in a range if asked. Pure."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from opentrail.query.faults import QueryFault
from opentrail.query.job import RECORD_BYTES_MAX

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def checked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes without a byte order mark; raises InvalidTextEncoding where they are not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    first = True
    try:
        for chunk in chunks:
            decoder.decode(chunk)
            yield chunk.removeprefix(BYTE_ORDER_MARK) if first else chunk
            first = False
        decoder.decode(b"", True)
    except UnicodeDecodeError as error:
        raise QueryFault("InvalidTextEncoding") from error


def lines_of(chunks: Iterator[bytes], delimiter: bytes) -> Iterator[bytes]:
    """What stands between the delimiters; what follows the last one only if it is not empty."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(delimiter)
        yield from lines
        if len(rest) > RECORD_BYTES_MAX:
            raise QueryFault("OverMaxRecordSize")
    if rest:
        yield rest


def within(lines: Iterator[bytes], delimiter: bytes, scan: tuple[int, int], offset: int) -> Iterator[bytes]:
    """The lines that begin in the range (first, last byte); the lines begin at `offset` of the object, which is 0 or the
    byte before the range: what stands there up to the first delimiter is the end of a line that began earlier."""
    first, last = scan
    place = offset
    for line in lines:
        if place > last:
            return
        if place >= first:
            yield line
        place += len(line) + len(delimiter)
