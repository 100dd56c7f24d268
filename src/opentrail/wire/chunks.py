"""The framing of aws-chunked bodies, taken apart byte by byte: chunk headers, signatures, data, trailer.

A state machine that is fed and never reads: it knows no sockets and no requests (`wire.payload` feeds it). Data passes on
as it comes; each chunk's signature is checked at its end, the last one's before `finish` returns, so nobody can take a
forged stream for complete. Source: S3 API Reference, "Transferring Payload in Multiple Chunks (Chunked Upload)".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from hashlib import sha256

from opentrail.errors import AwsError
from opentrail.wire.sigv4 import ChunkSigner, same

CHUNK_HEADER_MAX = 256
"""Bytes of one chunk header line, its end included."""
TRAILER_MAX = 4_096
"""Bytes of the whole trailer."""
SIGNED_CHUNK_MIN = 8_192
"""Bytes every signed chunk but the last must have (S3's rule, which also bounds the work per byte)."""
TRAILER_SIGNATURE = "x-amz-trailer-signature"

_CHUNK_HEADER = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_TRAILER_LINE = re.compile(rb"([A-Za-z0-9\-]{1,64}):([\x20-\x7e]*)")
_NEED_MORE = -1


def incomplete_body() -> AwsError:
    message = "You did not provide the number of bytes specified by the Content-Length HTTP header"
    return AwsError("IncompleteBody", message, 400)


def _malformed(what: str) -> AwsError:
    return AwsError("InvalidRequest", f"The aws-chunked body is malformed: {what}", 400)


def _bad_trailer() -> AwsError:
    message = "The request contained trailing data that was not well-formed or did not conform to our published schema."
    return AwsError("MalformedTrailerError", message, 400)


def _bad_signature(given: str) -> AwsError:
    message = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method."
    )
    return AwsError("SignatureDoesNotMatch", message, 403, SignatureProvided=given)


class ChunkDecoder:
    """Takes one aws-chunked body apart. Feed it until the body ends, then `finish`.

    `decoded_length` is x-amz-decoded-content-length; `trailer_names` what `x-amz-trailer` announces (lower-case), of which
    all must come and nothing else may. With a `signer` every chunk must be signed, and the trailer too if there is one.
    """

    __slots__ = (
        "_data_hash",
        "_given",
        "_held",
        "_last_size",
        "_left",
        "_limit",
        "_signer",
        "_step",
        "_trailer_lines",
        "_trailer_names",
        "_trailer_size",
        "_trailers",
        "decoded",
    )

    def __init__(
        self, decoded_length: int, trailer_names: Collection[str] = (), signer: ChunkSigner | None = None
    ) -> None:
        self.decoded = 0
        """Bytes of data announced by the chunk headers so far."""
        self._limit = decoded_length
        self._trailer_names = trailer_names
        self._signer = signer
        self._held = b""
        self._left = 0
        self._last_size = SIGNED_CHUNK_MIN
        self._given = ""
        self._data_hash = sha256()
        self._trailers: dict[str, str] = {}
        self._trailer_lines: list[bytes] = []
        self._trailer_size = 0
        self._step: Callable[[ChunkDecoder, bytes, int, list[bytes]], int] = ChunkDecoder._header

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces of payload in the next bytes of the body. Raises AwsError as soon as something is wrong."""
        if self._held:
            data = self._held + data
            self._held = b""
        pieces: list[bytes] = []
        position, end = 0, len(data)
        while position < end:
            position_next = self._step(self, data, position, pieces)
            if position_next == _NEED_MORE:
                self._held = data[position:]
                break
            position = position_next
        return pieces

    def finish(self) -> dict[str, str]:
        """The trailers, once the body has ended; raises AwsError if it ended too early or in the wrong place."""
        if self._step is not ChunkDecoder._garbage or self.decoded != self._limit:
            raise incomplete_body()
        return self._trailers

    def _line(self, data: bytes, position: int, limit: int) -> tuple[bytes, int]:
        """The line at `position` and where the next begins; (b"", _NEED_MORE) when its end has not come."""
        newline = data.find(b"\n", position, position + limit)
        if newline < 0:
            if len(data) - position >= limit:
                raise _malformed("a line is too long")
            return b"", _NEED_MORE
        stop = newline - 1 if data[newline - 1 : newline] == b"\r" and newline > position else newline
        return data[position:stop], newline + 1

    def _header(self, data: bytes, position: int, _pieces: list[bytes]) -> int:
        line, after = self._line(data, position, CHUNK_HEADER_MAX)
        if after == _NEED_MORE:
            return after
        match = _CHUNK_HEADER.fullmatch(line)
        if match is None or (match[2] is None) != (self._signer is None):
            raise _malformed("a chunk header was expected")
        self._left = int(match[1], 16)
        self._given = (match[2] or b"").decode("ascii")
        if self._left == 0:
            self._end_chunk()
            self._step = ChunkDecoder._trailer
            return after
        self.decoded += self._left
        if self.decoded > self._limit:
            raise incomplete_body()
        if self._signer is not None and self._last_size < SIGNED_CHUNK_MIN:
            message = "Only the last chunk is allowed to have a size less than 8192 bytes"
            raise AwsError("InvalidChunkSizeError", message, 403, BadChunkSize=str(self._last_size))
        self._last_size = self._left
        self._step = ChunkDecoder._data
        return after

    def _data(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        piece = data[position : position + self._left]
        pieces.append(piece)
        if self._signer is not None:
            self._data_hash.update(piece)
        self._left -= len(piece)
        if not self._left:
            self._step = ChunkDecoder._data_end
        return position + len(piece)

    def _data_end(self, data: bytes, position: int, _pieces: list[bytes]) -> int:
        if len(data) - position < 2:
            if data[position : position + 1] != b"\r":
                raise _malformed("a chunk is longer than its header says")
            return _NEED_MORE
        if data[position : position + 2] != b"\r\n":
            raise _malformed("a chunk is longer than its header says")
        self._end_chunk()
        self._step = ChunkDecoder._header
        return position + 2

    def _end_chunk(self) -> None:
        if self._signer is None:
            return
        if not same(self._signer.chunk(self._data_hash.hexdigest()), self._given):
            raise _bad_signature(self._given)
        self._data_hash = sha256()

    def _trailer(self, data: bytes, position: int, _pieces: list[bytes]) -> int:
        line, after = self._line(data, position, TRAILER_MAX - self._trailer_size)
        if after == _NEED_MORE:
            return after
        self._trailer_size += after - position
        if line:
            self._add_trailer(line)
        elif not self._awaits_trailer_signature():
            self._end_trailer()
        if self._trailer_size >= TRAILER_MAX:
            raise _bad_trailer()
        return after

    def _awaits_trailer_signature(self) -> bool:
        """Some clients put a blank line between a signed trailer and its signature; the trailer is not over there."""
        signed = self._signer is not None and bool(self._trailer_lines)
        return signed and TRAILER_SIGNATURE not in self._trailers

    def _add_trailer(self, line: bytes) -> None:
        match = _TRAILER_LINE.fullmatch(line)
        if match is None or TRAILER_SIGNATURE in self._trailers:
            raise _bad_trailer()
        name, value = match[1].decode("ascii").lower(), match[2].decode("ascii").strip()
        signature = self._signer is not None and name == TRAILER_SIGNATURE
        if name in self._trailers or not (signature or name in self._trailer_names):
            raise _bad_trailer()
        self._trailers[name] = value
        if not signature:
            self._trailer_lines.append(f"{name}:{value}\n".encode("ascii"))

    def _end_trailer(self) -> None:
        given = self._trailers.pop(TRAILER_SIGNATURE, "") if self._signer is not None else ""
        if len(self._trailers) != len(set(self._trailer_names)):
            raise _bad_trailer()
        if self._signer is not None and self._trailers:
            lines = b"".join(sorted(self._trailer_lines))
            if not same(self._signer.trailer(lines), given):
                raise _bad_signature(given)
        self._step = ChunkDecoder._garbage

    def _garbage(self, _data: bytes, _position: int, _pieces: list[bytes]) -> int:
        raise _malformed("there are bytes after its end")
