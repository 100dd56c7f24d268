"""AWS Signature Version 4 as arithmetic: canonical text in, signature out.

Nothing here knows a request's errors, clocks or keys' owners; `wire.signature` reads the request and says what is wrong.
All text is the latin-1 reading of the bytes on the wire, so that what is hashed is exactly what was sent.
Source of the rules: IAM User Guide, "Create a signed AWS API request"; S3 API Reference, "Authenticating Requests".
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
EMPTY_SHA256 = sha256(b"").hexdigest()
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"

SIGNING_KEYS_MAX = 4_096
"""Derived signing keys kept; each serves one secret, day, region and service."""
TIMES_MAX = 4_096
"""Parsed timestamps kept."""

# `%XX` in capitals, of a byte that has to be escaped: any other escape is not in canonical form.
_ESCAPE = r"%(?!2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])[0-9A-F]{2}"
_WORD = rf"(?:[A-Za-z0-9\-._~]++|{_ESCAPE})*+"
_CANONICAL_QUERY = re.compile(rf"{_WORD}(?:={_WORD})?+(?:&{_WORD}(?:={_WORD})?+)*+")
_CANONICAL_PATH = re.compile(rf"/(?:[A-Za-z0-9\-._~/]++|(?!%2F){_ESCAPE})*+")
_BLANKS = re.compile(r"[ \t\n\v\f\r]+")
_BASIC_TIME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")


def wire_bytes(text: str) -> bytes:
    """The bytes that stood on the wire; text beyond latin-1 (never from the edge) becomes UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=TIMES_MAX)
def parse_time(text: str) -> int | None:
    """Epoch seconds of `yyyyMMdd'T'HHmmss'Z'`, or None if it is no such time."""
    match = _BASIC_TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:
        return None


def format_time(epoch: float) -> str:
    """`yyyyMMdd'T'HHmmss'Z'` of epoch seconds."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y%m%dT%H%M%SZ")


def _reencode(text: str, safe: str = "") -> str:
    return quote(unquote_to_bytes(wire_bytes(text)), safe=safe)


def canonical_pairs(query: str) -> list[tuple[str, str]]:
    """Name and value of every parameter, decoded and encoded again as AWS does, in canonical order.

    A name without `=` has an empty value; `+` is a blank, as S3 reads it; empty pairs (`&&`) do not count.
    """
    if not query:
        return []
    parts = [part.partition("=") for part in query.split("&") if part]
    if _CANONICAL_QUERY.fullmatch(query):
        return sorted([(name, value) for name, _, value in parts])
    return sorted((_reencode(n.replace("+", " ")), _reencode(v.replace("+", " "))) for n, _, v in parts)


def join_pairs(pairs: Iterable[tuple[str, str]], without: str = "") -> str:
    """The canonical query string of canonical pairs; `without` leaves one name out."""
    return "&".join([f"{name}={value}" for name, value in pairs if name != without])


def canonical_query(query: str) -> str:
    return join_pairs(canonical_pairs(query)) if query else ""


def canonical_path(path: str, s3: bool) -> str:
    """S3 encodes the decoded path once and keeps every slash and dot; the others normalise the path as sent and encode
    it a second time."""
    if path in ("/", ""):
        return "/"
    if not s3:
        return quote(wire_bytes(_normalise(path)), safe="/")
    return path if _CANONICAL_PATH.fullmatch(path) else _reencode(path, "/")


def _normalise(path: str) -> str:
    """RFC 3986 §5.2.4, and repeated slashes become one."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment and segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")


def canonical_headers(headers: Mapping[str, str], names: Iterable[str]) -> str:
    """`name:value` lines of the signed headers; a header that is not there counts as empty."""
    lines = []
    for name in names:
        value = headers.get(name, "")
        if "  " in value or "\t" in value:
            value = _BLANKS.sub(" ", value)
        lines.append(f"{name}:{value}\n")
    return "".join(lines)


def canonical_request(
    method: str, path: str, query: str, headers: Mapping[str, str], names: tuple[str, ...], payload_hash: str
) -> str:
    """`path` and `query` already canonical; `names` the signed headers in the order the client lists them."""
    lines = canonical_headers(headers, names)
    return f"{method}\n{path}\n{query}\n{lines}\n{';'.join(names)}\n{payload_hash}"


def scope(date: str, region: str, service: str) -> str:
    return f"{date}/{region}/{service}/{TERMINATOR}"


def string_to_sign(timestamp: str, credential_scope: str, canonical: str) -> str:
    digest = sha256(wire_bytes(canonical)).hexdigest()
    return f"{ALGORITHM}\n{timestamp}\n{credential_scope}\n{digest}"


@lru_cache(maxsize=SIGNING_KEYS_MAX)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one day, region and service (four HMACs, hence kept)."""
    key = hmac.digest(b"AWS4" + secret.encode("utf-8", "surrogatepass"), wire_bytes(date), "sha256")
    for part in (region, service, TERMINATOR):
        key = hmac.digest(key, wire_bytes(part), "sha256")
    return key


@lru_cache(maxsize=SIGNING_KEYS_MAX)
def _pads(key: bytes) -> tuple[Any, Any]:
    """The two SHA-256 states of an HMAC under this key (RFC 2104), each fed its padded key."""
    block = key.ljust(64, b"\0")
    return sha256(block.translate(_INNER)), sha256(block.translate(_OUTER))


_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def sign(key: bytes, text: str) -> str:
    """Signature in lower-case hexadecimal: HMAC-SHA256 from kept states, twice as fast as hmac.digest, which also gives
    the interpreter lock away for nothing. `key` is a signing key of 32 bytes."""
    inner, outer = _pads(key)
    inner, outer = inner.copy(), outer.copy()
    inner.update(wire_bytes(text))
    outer.update(inner.digest())
    signature: str = outer.hexdigest()
    return signature


def same(expected: str, given: str) -> bool:
    """Compare in constant time; `given` may hold anything."""
    return hmac.compare_digest(expected.encode("ascii"), given.encode("utf-8", "surrogatepass"))


class ChunkSigner:
    """The chain of signatures over an aws-chunked body: each chunk's covers the one before it, the first the seed.

    Source: S3 API Reference, "Signature Calculations: Transferring Payload in Multiple Chunks" and "Including Trailing
    Headers".
    """

    __slots__ = ("_key", "_middle", "previous")

    def __init__(self, key: bytes, timestamp: str, credential_scope: str, seed: str) -> None:
        self._key = key
        self._middle = f"{timestamp}\n{credential_scope}\n"
        self.previous = seed

    def chunk(self, data_sha256: str) -> str:
        """Signature expected of the next chunk, which becomes the previous one."""
        text = f"{ALGORITHM}-PAYLOAD\n{self._middle}{self.previous}\n{EMPTY_SHA256}\n{data_sha256}"
        self.previous = sign(self._key, text)
        return self.previous

    def trailer(self, lines: bytes) -> str:
        """Signature expected of the trailer, given its `name:value\\n` lines."""
        text = f"{ALGORITHM}-TRAILER\n{self._middle}{self.previous}\n{sha256(lines).hexdigest()}"
        self.previous = sign(self._key, text)
        return self.previous
