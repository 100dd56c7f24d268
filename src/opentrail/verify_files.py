"""What the checker checks: files by key, their metadata, public keys, and the bytes within a gzip file.

Bounded against hostile files: nothing is inflated beyond a limit or held whole when its hash is enough.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

LOG_FILE_MAX = 1 << 30
"""Bytes of a log file when inflated, at the most; it is hashed in pieces."""
DIGEST_MAX = 1 << 26
"""Bytes of a digest when inflated, at the most."""
INFLATE_STEP = 1 << 20
SIDECAR = ".metadata.json"
"""In a folder, the object metadata of FILE lies beside it in FILE.metadata.json, as {"signature": …}."""


class Unreadable(Exception):
    """A file that is not one gzip member, or is too large."""


class Files(Protocol):
    """The files to check, by key."""

    def keys(self) -> Iterator[str]:
        """Every key, in any order."""
        ...

    def read(self, key: str) -> bytes | None:
        """The file as it lies there (gzip); None if there is none."""
        ...

    def metadata(self, key: str) -> Mapping[str, str]:
        """The object's own metadata, lower-case names without `x-amz-meta-`; empty if it was not kept."""
        ...


class Folder:
    """A copy of a bucket in a directory. Keys are paths below it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keys(self) -> Iterator[str]:
        for path in self._root.rglob("*.json.gz"):
            if path.is_file():
                yield path.relative_to(self._root).as_posix()

    def read(self, key: str) -> bytes | None:
        path = self._inside(key)
        return path.read_bytes() if path is not None and path.is_file() else None

    def metadata(self, key: str) -> Mapping[str, str]:
        path = self._inside(key + SIDECAR)
        if path is None or not path.is_file():
            return {}
        found = json_object(path.read_bytes())
        return {name.lower(): value for name, value in found.items() if isinstance(value, str)}

    def _inside(self, key: str) -> Path | None:
        """The path of a key; None for keys that lead out of the folder or cannot be paths."""
        if "\0" in key or any("\ud800" <= letter <= "\udfff" for letter in key):
            return None
        path = (self._root / key).resolve()
        return path if path.is_relative_to(self._root.resolve()) else None


def load_public_keys(listing: bytes) -> dict[str, rsa.RSAPublicKey]:
    """Public keys by fingerprint from the JSON that `aws cloudtrail list-public-keys` prints.

    The fingerprints are computed, not read. Raises ValueError if a key cannot be read.
    """
    found = json_object(listing)
    entries = found.get("PublicKeyList")
    if not isinstance(entries, list):
        raise ValueError("no PublicKeyList in the file of public keys")
    keys = {}
    for entry in entries:
        try:
            der = base64.b64decode(entry["Value"], validate=True)
        except (TypeError, KeyError, binascii.Error) as error:
            raise ValueError("a public key has no readable Value") from error
        keys.update(public_key(der))
    return keys


def public_key(der: bytes) -> dict[str, rsa.RSAPublicKey]:
    """{fingerprint: key} of a DER PKCS#1 key; raises ValueError for anything else."""
    try:
        key = load_der_public_key(der)
    except UnsupportedAlgorithm as error:
        raise ValueError("a public key is of an unknown kind") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("a public key is not an RSA key")
    return {hashlib.md5(der, usedforsecurity=False).hexdigest(): key}


def inflate(raw: bytes, limit: int) -> Iterator[bytes]:
    """What a gzip file of one member holds, in pieces; raises Unreadable, also for anything behind the member."""
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    size, rest = 0, raw
    while not stream.eof:
        try:
            piece = stream.decompress(rest, INFLATE_STEP)
        except zlib.error as error:
            raise Unreadable("not gzip") from error
        rest = stream.unconsumed_tail
        size += len(piece)
        if size > limit or not (piece or rest or stream.eof):
            raise Unreadable("cut off, or too large")
        yield piece
    if stream.unused_data:
        raise Unreadable("something follows the gzip member")


def content_hash(raw: bytes) -> str:
    """Lower-case hex SHA-256 of what a gzip file holds; empty if it cannot be read."""
    digest = hashlib.sha256()
    try:
        for piece in inflate(raw, LOG_FILE_MAX):
            digest.update(piece)
    except Unreadable:
        return ""
    return digest.hexdigest()


def digest_text(raw: bytes) -> bytes:
    """The text of a digest; empty if it cannot be read."""
    try:
        return b"".join(inflate(raw, DIGEST_MAX))
    except Unreadable:
        return b""


def json_object(text: bytes) -> dict[str, Any]:
    """The object that a JSON text holds; empty if it holds none."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
