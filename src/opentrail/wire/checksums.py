"""S3's object checksums: what a client may send, how each is computed, and how those of parts become one.

Pure arithmetic over bytes and header text; knows no bodies, streams or operations. Algorithms and their header names are
those of `ChecksumAlgorithm` in S3's model. Source: S3 User Guide, "Checking object integrity".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from awscrt import checksums as crt

from opentrail.errors import AwsError

PREFIX = "x-amz-checksum-"
PARTS_MAX = 10_000
"""Parts of one multipart upload."""

Combine = Callable[[int, int, int], int]


class Hasher(Protocol):
    """An incremental checksum."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    """A CRC that goes on from its last value."""

    __slots__ = ("_function", "_size", "_value")

    def __init__(self, function: Callable[[bytes, int], int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


class _XxHash:
    """An XXH whose digest may be asked for once; big-endian, seed 0."""

    __slots__ = ("_state", "update")

    def __init__(self, state: crt.XXHash) -> None:
        self._state = state
        self.update = state.update

    def digest(self) -> bytes:
        return bytes(self._state.finalize())


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One checksum algorithm: its name in the model, digest size in bytes, and how to start and combine it."""

    name: str
    size: int
    start: Callable[[], Hasher]
    combine: Combine | None = None

    @property
    def header(self) -> str:
        return PREFIX + self.name.lower()


ALGORITHMS: Mapping[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("CRC32", 4, lambda: _Crc(crt.crc32, 4), crt.combine_crc32),
        Algorithm("CRC32C", 4, lambda: _Crc(crt.crc32c, 4), crt.combine_crc32c),
        Algorithm("CRC64NVME", 8, lambda: _Crc(crt.crc64nvme, 8), crt.combine_crc64nvme),
        Algorithm("SHA1", 20, lambda: hashlib.sha1(usedforsecurity=False)),
        Algorithm("SHA256", 32, hashlib.sha256),
        Algorithm("SHA512", 64, hashlib.sha512),
        Algorithm("MD5", 16, lambda: hashlib.md5(usedforsecurity=False)),
        Algorithm("XXHASH64", 8, lambda: _XxHash(crt.XXHash.new_xxhash64())),
        Algorithm("XXHASH3", 8, lambda: _XxHash(crt.XXHash.new_xxhash3_64())),
        Algorithm("XXHASH128", 16, lambda: _XxHash(crt.XXHash.new_xxhash3_128())),
    )
}
"""By the names of S3's `ChecksumAlgorithm`."""
BY_HEADER: Mapping[str, Algorithm] = {algorithm.header: algorithm for algorithm in ALGORITHMS.values()}


class Checksum:
    """A running checksum of one algorithm; `digest` gives the Base64 text of the header."""

    __slots__ = ("_digest", "_hasher", "algorithm", "update")

    def __init__(self, algorithm: str) -> None:
        self.algorithm = find(algorithm)
        self._hasher = self.algorithm.start()
        self._digest = ""
        self.update = self._hasher.update

    def digest(self) -> str:
        """Base64 text; nothing may be added afterwards."""
        if not self._digest:
            self._digest = encode(self._hasher.digest())
        return self._digest


def find(algorithm: str) -> Algorithm:
    """The algorithm of that name of the model; raises AwsError("InvalidRequest") if there is none."""
    found = ALGORITHMS.get(algorithm)
    if found is None:
        message = f"Checksum algorithm provided is unsupported. Please try again with any of the valid types: {_NAMES}"
        raise AwsError("InvalidRequest", message, 400)
    return found


_NAMES = "[" + ", ".join(ALGORITHMS) + "]"


def checksum(algorithm: str, data: bytes) -> str:
    """Base64 checksum of bytes at hand."""
    running = Checksum(algorithm)
    running.update(data)
    return running.digest()


def encode(digest: bytes) -> str:
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


def decode(algorithm: Algorithm, text: str) -> bytes:
    """The digest of a header or trailer value; raises AwsError("InvalidRequest") if it cannot be one."""
    try:
        digest = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        digest = b""
    if len(digest) != algorithm.size or encode(digest) != text:
        raise AwsError("InvalidRequest", f"Value for {algorithm.header} header is invalid.", 400)
    return digest


@dataclass(frozen=True, slots=True)
class Expected:
    """The one checksum a request speaks of: its algorithm, and its value unless that comes in the trailer."""

    algorithm: Algorithm
    value: str
    """Base64; empty while it is still to come in the trailer."""


def expected_checksums(headers: Mapping[str, str], trailers: Mapping[str, str] | None = None) -> Expected | None:
    """The checksum that a request's headers, `x-amz-trailer` and (once read) trailers claim for its body.

    Raises AwsError("InvalidRequest") where S3 does: a value of the wrong form, several checksums, an unknown algorithm,
    or `x-amz-sdk-checksum-algorithm` without a checksum or with another one.
    """
    named = [name for name in headers if name.startswith(PREFIX) and name in BY_HEADER]
    announced = headers.get("x-amz-trailer", "")
    sdk = headers.get("x-amz-sdk-checksum-algorithm", "")
    if not (named or announced or sdk):
        return None
    coming = [name for name in trailer_names(announced) if name in BY_HEADER]
    _check_single(named, coming, sdk)
    if named:
        algorithm = BY_HEADER[named[0]]
        decode(algorithm, headers[named[0]])
        return Expected(algorithm, headers[named[0]])
    if not coming:
        return None
    algorithm = BY_HEADER[coming[0]]
    value = (trailers or {}).get(coming[0], "")
    if trailers is not None:
        decode(algorithm, value)
    return Expected(algorithm, value)


def _check_single(named: Sequence[str], coming: Sequence[str], sdk: str) -> None:
    if len(named) + len(coming) > 1:
        message = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        raise AwsError("InvalidRequest", message, 400)
    if not sdk:
        return
    if sdk.upper() not in ALGORITHMS:
        raise AwsError("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.", 400)
    sent = (*named, *coming)
    if not sent:
        message = (
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers "
            "were found."
        )
        raise AwsError("InvalidRequest", message, 400)
    if sent[0] != PREFIX + sdk.lower():
        raise AwsError("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.", 400)


def trailer_names(announced: str) -> list[str]:
    """Names in an `x-amz-trailer` header, lower-case; raises AwsError for a checksum that S3 does not know."""
    names = [name.strip().lower() for name in announced.split(",") if name.strip()]
    for name in names:
        if name.startswith(PREFIX) and name not in BY_HEADER:
            raise AwsError("InvalidRequest", "The value specified in the x-amz-trailer header is not supported", 400)
    return names


def check(algorithm: Algorithm, expected: str, computed: str) -> None:
    """Raise AwsError("BadDigest") unless the checksum sent is the one computed (both Base64)."""
    if expected != computed:
        message = f"The {algorithm.name} you specified did not match the calculated checksum."
        raise AwsError("BadDigest", message, 400)


def composite(algorithm: str, parts: Iterable[str]) -> str:
    """Checksum of the parts' checksums (Base64 each), as S3 shows it: `Base64-N`."""
    found = find(algorithm)
    hasher = found.start()
    count = 0
    for part in parts:
        hasher.update(decode(found, part))
        count += 1
    return f"{encode(hasher.digest())}-{count}"


def combine(algorithm: str, parts: Iterable[tuple[str, int]]) -> str:
    """Checksum of the whole from (Base64 CRC, length in bytes) of its parts in order, without reading them.

    Only the CRCs can do this; any other algorithm raises AwsError("InvalidRequest").
    """
    found = find(algorithm)
    if found.combine is None:
        message = f"The FULL_OBJECT checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        raise AwsError("InvalidRequest", message, 400)
    whole = 0
    for text, length in parts:
        whole = found.combine(whole, int.from_bytes(decode(found, text), "big"), length)
    return encode(whole.to_bytes(found.size, "big"))
