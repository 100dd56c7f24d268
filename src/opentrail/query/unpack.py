"""Decompression as the bytes come, in bites: a bomb unfolds bite by bite, and only as fast as it is worked on. Pure."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator

from opentrail.query.faults import QueryFault

BITE_BYTES = 256 * 1024
"""Decompressed bytes handed on at once."""
GZIP_WINDOW = 31
"""zlib's word for gzip with the largest window."""
GZIP_MAGIC, BZIP2_MAGIC = b"\x1f\x8b", b"BZh"


def unpacked(chunks: Iterator[bytes], compression: str) -> Iterator[bytes]:
    """The bytes as they were before; raises QueryFault for what is not in this format, or is cut off."""
    if compression == "NONE":
        return chunks
    return _gunzipped(chunks) if compression == "GZIP" else _bunzipped(chunks)


def _gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Any number of gzip members, one after the other; zeros may follow."""
    member = zlib.decompressobj(GZIP_WINDOW)
    begin = b""
    for chunk in chunks:
        begin += chunk[: len(GZIP_MAGIC) - len(begin)]
        data = chunk
        while data:
            if member.eof:
                data = data.lstrip(b"\0")
                member = zlib.decompressobj(GZIP_WINDOW) if data else member
                continue
            try:
                bite = member.decompress(data, BITE_BYTES)
            except zlib.error as error:
                raise _broken(begin, GZIP_MAGIC) from error
            data = member.unused_data if member.eof else member.unconsumed_tail
            if bite:
                yield bite
    while not member.eof and (bite := member.decompress(b"", BITE_BYTES)):
        yield bite
    if begin and not member.eof:
        raise _broken(begin, GZIP_MAGIC)


def _bunzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Any number of bzip2 streams, one after the other."""
    stream = bz2.BZ2Decompressor()
    begin = b""
    for chunk in chunks:
        begin += chunk[: len(BZIP2_MAGIC) - len(begin)]
        data = chunk
        while data or not (stream.eof or stream.needs_input):
            if stream.eof:
                stream = bz2.BZ2Decompressor()
            try:
                bite = stream.decompress(data, BITE_BYTES)
            except OSError as error:
                raise _broken(begin, BZIP2_MAGIC) from error
            data = stream.unused_data if stream.eof else b""
            if bite:
                yield bite
    if begin and not stream.eof:
        raise _broken(begin, BZIP2_MAGIC)


def _broken(begin: bytes, magic: bytes) -> QueryFault:
    """What is wrong with bytes that begin so."""
    return QueryFault("TruncatedInput" if magic.startswith(begin) else "InvalidCompressionFormat")
