"""The body of an S3 request as its handler reads it: unframed, and proven by the time it ends.

Wraps the body that the edge supplies. Takes aws-chunked framing off, and holds what was promised against what came: the
signed SHA-256, chunk signatures, lengths, Content-MD5 and the x-amz-checksum of header or trailer. Whatever fails is
raised instead of the end of the stream, so a reader that reached the end has the true bytes. Knows no operation.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping

from opentrail.call import Body, HttpRequest
from opentrail.errors import AwsError
from opentrail.wire import checksums, sigv4
from opentrail.wire.chunks import ChunkDecoder, incomplete_body
from opentrail.wire.signature import Verified

LENGTH_DIGITS_MAX = 16
"""Digits of a declared decoded length; S3's largest object needs 14."""

_STREAMING = (sigv4.STREAMING_UNSIGNED_TRAILER, sigv4.STREAMING_SIGNED, sigv4.STREAMING_SIGNED_TRAILER)
_TRAILING = (sigv4.STREAMING_UNSIGNED_TRAILER, sigv4.STREAMING_SIGNED_TRAILER)


def decoded_body(
    request: HttpRequest,
    verified: Verified | None,
    *,
    check: bool = True,
    md5: bool = False,
    compute: Collection[str] = (),
) -> DecodedBody:
    """The payload of a request whose signature holds (`verified` None: anonymous).

    `check` False leaves the x-amz-checksum headers alone, for operations where they speak of something else than the
    body (CompleteMultipartUpload). `md5` also computes the payload's MD5 (`DecodedBody.md5`, lower-case hexadecimal, the
    ETag), `compute` further checksums by name. Raises AwsError for headers that no body could satisfy.
    """
    headers = request.headers
    payload_hash = verified.payload_hash if verified else headers.get("x-amz-content-sha256", "")
    payload_hash = payload_hash or headers.get("x-amz-content-sha256", "")
    body = DecodedBody(request.body)
    if payload_hash in _STREAMING or _is_framed(headers, payload_hash):
        body.length = _decoded_length(headers)
        body.decoder = ChunkDecoder(body.length, _trailers(headers, payload_hash), _signer(payload_hash, verified))
    elif len(payload_hash) == 64:
        body.promise_sha256(payload_hash)
    content_md5 = headers.get("content-md5")
    if content_md5 is not None:
        body.promise_md5(content_md5)
    expected = checksums.expected_checksums(headers) if check else None
    body.promise_checksum(expected, compute)
    if md5:
        body.want_md5()
    return body


def _is_framed(headers: Mapping[str, str], payload_hash: str) -> bool:
    """A client that signs no payload (version 2, presigned, anonymous) says only by its headers that it frames it."""
    if len(payload_hash) == 64 or "x-amz-decoded-content-length" not in headers:
        return False
    return "aws-chunked" in headers.get("content-encoding", "").lower()


def _decoded_length(headers: Mapping[str, str]) -> int:
    text = headers.get("x-amz-decoded-content-length", "")
    if not text:
        raise AwsError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    if not (text.isascii() and text.isdigit() and len(text) <= LENGTH_DIGITS_MAX):
        message = "Value for x-amz-decoded-content-length header is invalid."
        raise AwsError("InvalidArgument", message, 400, ArgumentName="x-amz-decoded-content-length", ArgumentValue=text)
    return int(text)


def _trailers(headers: Mapping[str, str], payload_hash: str) -> list[str]:
    if payload_hash == sigv4.STREAMING_SIGNED:
        return []
    names = checksums.trailer_names(headers.get("x-amz-trailer", ""))
    if payload_hash in _TRAILING and len(names) != len(set(names)):
        raise AwsError("InvalidRequest", "The value specified in the x-amz-trailer header is not supported", 400)
    return names


def _signer(payload_hash: str, verified: Verified | None) -> sigv4.ChunkSigner | None:
    if payload_hash not in (sigv4.STREAMING_SIGNED, sigv4.STREAMING_SIGNED_TRAILER):
        return None
    if verified is None or not verified.signing_key:
        message = "Signed chunks need a request that is signed with version 4 of the signature."
        raise AwsError("InvalidRequest", message, 400)
    return sigv4.ChunkSigner(verified.signing_key, verified.timestamp, verified.scope, verified.seed_signature)


class DecodedBody:
    """A `Body` of the payload itself. `checksums`, `md5` and `trailers` are set once it was read to its end."""

    __slots__ = (
        "_expected",
        "_expected_md5",
        "_expected_sha256",
        "_md5",
        "_raw",
        "_running",
        "_sha256",
        "checksums",
        "decoder",
        "length",
        "md5",
        "size",
        "trailers",
    )

    def __init__(self, raw: Body) -> None:
        self.length: int | None = raw.length
        """Bytes of payload, as declared; None when the client does not say."""
        self.size = 0
        """Bytes of payload handed out so far."""
        self.decoder: ChunkDecoder | None = None
        self.checksums: dict[str, str] = {}
        """Algorithm → Base64, of every checksum that was sent or asked for; all checked."""
        self.trailers: dict[str, str] = {}
        self.md5 = ""
        self._raw = raw
        self._expected: checksums.Expected | None = None
        self._expected_md5 = b""
        self._expected_sha256 = ""
        self._md5: checksums.Hasher | None = None
        self._sha256: checksums.Hasher | None = None
        self._running: dict[str, checksums.Checksum] = {}

    @property
    def received(self) -> int:
        """Bytes taken off the wire, framing included."""
        return self._raw.received

    def promise_sha256(self, digest: str) -> None:
        self._expected_sha256 = digest
        self._sha256 = hashlib.sha256()

    def promise_md5(self, text: str) -> None:
        """Content-MD5 as sent; raises AwsError("InvalidDigest") if it is no MD5."""
        try:
            digest = base64.b64decode(text.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            digest = b""
        if len(digest) != 16:
            raise _with_field(AwsError("InvalidDigest", "The Content-MD5 you specified was invalid.", 400), text)
        self._expected_md5 = digest
        self.want_md5()

    def want_md5(self) -> None:
        self._md5 = self._md5 or hashlib.md5(usedforsecurity=False)

    def want_checksum(self, name: str) -> None:
        """Compute one more checksum; before the first byte is read."""
        if name not in self._running:
            self._running[name] = checksums.Checksum(name)

    def promise_checksum(self, expected: checksums.Expected | None, compute: Iterable[str]) -> None:
        self._expected = expected
        names = [expected.algorithm.name, *compute] if expected else compute
        self._running = {name: checksums.Checksum(name) for name in names}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        updates = self._updates()
        decoder = self.decoder
        async for data in self._raw:
            for piece in decoder.feed(data) if decoder else (data,):
                for update in updates:
                    update(piece)
                self.size += len(piece)
                yield piece
        self._finish()

    async def read_all(self, limit: int) -> bytes:
        """The whole payload; raises AwsError("EntityTooLarge") as soon as it is known to exceed `limit` bytes."""
        if self.length is not None and self.length > limit:
            raise _too_large(self.length, limit)
        if self.decoder is None and self.length is not None:
            return await self._read_plain(limit)
        pieces: list[bytes] = []
        async for piece in self:
            pieces.append(piece)
            if self.size > limit:
                raise _too_large(self.size, limit)
        return b"".join(pieces)

    async def _read_plain(self, limit: int) -> bytes:
        """A body without framing whose length fits, in one piece: passing it through two generators costs 7 us."""
        data = await self._raw.read_all(limit)
        for update in self._updates():
            update(data)
        self.size = len(data)
        self._finish()
        return data

    def _updates(self) -> list[Callable[[bytes], None]]:
        return [h.update for h in (self._md5, self._sha256, *self._running.values()) if h is not None]

    def _finish(self) -> None:
        """Hold what came against what was promised; the framing first, as it is what the rest relies on."""
        if self.decoder is not None:
            self.trailers = self.decoder.finish()
        elif self.length is not None and self.size != self.length:
            raise incomplete_body()
        if self._sha256 is not None:
            self._check_sha256(self._sha256.digest().hex())
        if self._md5 is not None:
            self._check_md5(self._md5.digest())
        self.checksums = {name: running.digest() for name, running in self._running.items()}
        self._check_checksum()

    def _check_sha256(self, computed: str) -> None:
        if computed != self._expected_sha256:
            message = "The provided 'x-amz-content-sha256' header does not match what was computed."
            raise AwsError(
                "XAmzContentSHA256Mismatch",
                message,
                400,
                ClientComputedContentSHA256=self._expected_sha256,
                S3ComputedContentSHA256=computed,
            )

    def _check_md5(self, computed: bytes) -> None:
        self.md5 = computed.hex()
        if self._expected_md5 and self._expected_md5 != computed:
            message = "The Content-MD5 you specified did not match what we received."
            given, ours = checksums.encode(self._expected_md5), checksums.encode(computed)
            raise AwsError("BadDigest", message, 400, ExpectedDigest=given, CalculatedDigest=ours)

    def _check_checksum(self) -> None:
        expected = self._expected
        if expected is None:
            return
        value = expected.value
        if not value:
            value = self.trailers.get(expected.algorithm.header, "")
            checksums.decode(expected.algorithm, value)
        checksums.check(expected.algorithm, value, self.checksums[expected.algorithm.name])


def _with_field(error: AwsError, content_md5: str) -> AwsError:
    error.fields["Content-MD5"] = content_md5
    return error


def _too_large(size: int, limit: int) -> AwsError:
    message = "Your proposed upload exceeds the maximum allowed size"
    return AwsError("EntityTooLarge", message, 400, ProposedSize=str(size), MaxSizeAllowed=str(limit))
