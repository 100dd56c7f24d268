"""SSE-C: the key a request brings with it, checked as S3 checks it, and how it is recognised when it comes again.

The key itself is never stored, recorded or logged. What is kept of it is a mark: a random salt and an HMAC under the
key; under the same salt the key also gives the wrapping key of the object's data keys, so that the store and the server's
key together do not open the object. Sources: S3 user guide, "Using server-side encryption with customer-provided keys";
S3's answers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import os

from opentrail.call import Call
from opentrail.errors import AwsError

ALGORITHM = "AES256"
KEY_BYTES, SALT_BYTES = 32, 16
MEMBERS = frozenset({"SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5"})
_MARK, _WRAP = b"opentrail s3 sse-c mark", b"opentrail s3 sse-c wrap"
_GIVEN = "Requests specifying Server Side Encryption with Customer provided keys must "
_HEADER = "x-amz-server-side-encryption-customer-"


def requested_key(call: Call, prefix: str = "") -> bytes | None:
    """The customer's key (32 bytes) of the request, None without one; `prefix` is `CopySource` for the source of a copy.

    Raises InvalidRequest where the key came over the network in the clear, InvalidArgument for what is missing or wrong."""
    given = call.input
    algorithm = given.get(prefix + "SSECustomerAlgorithm")
    key, digest = given.get(prefix + "SSECustomerKey"), given.get(prefix + "SSECustomerKeyMD5")
    if algorithm is None and key is None and digest is None:
        return None
    _refuse_clear_text(call)
    start = ("x-amz-copy-source-" + _HEADER.removeprefix("x-amz-")) if prefix else _HEADER
    if not algorithm:
        raise _wrong(start + "algorithm", _GIVEN + "provide a valid encryption algorithm.")
    if algorithm != ALGORITHM:
        raise AwsError("InvalidEncryptionAlgorithmError", "", 400, ArgumentName=start + "algorithm")
    if not key:
        raise _wrong(start + "key", _GIVEN + "provide an appropriate secret key.")
    if not digest:
        raise _wrong(start + "key-MD5", _GIVEN + "provide the client calculated MD5 of the secret key.")
    secret = _decoded(key)
    if len(secret) != KEY_BYTES:
        raise _wrong(start + "key", "The secret key was invalid for the specified algorithm.")
    if not hmac.compare_digest(hashlib.md5(secret, usedforsecurity=False).digest(), _decoded(digest)):
        raise _wrong(start + "key-MD5", "The calculated MD5 hash of the key did not match the hash that was provided.")
    return secret


def _refuse_clear_text(call: Call) -> None:
    """S3 takes keys over TLS alone. Here also in the clear from this very machine, where nobody is in between."""
    if call.request.tls is None and not _is_loopback(call.request.remote_ip):
        raise AwsError("InvalidRequest", _GIVEN + "be made over a secure connection.", 400)


def _is_loopback(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # one of our own services: what it shows is a name
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _wrong(name: str, message: str) -> AwsError:
    """Without ArgumentValue: it might be a key."""
    return AwsError("InvalidArgument", message, 400, ArgumentName=name)


def _decoded(text: str) -> bytes:
    """Base64; empty for what is none."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""


def new_mark(secret: bytes) -> bytes:
    """What is kept of a key."""
    salt = os.urandom(SALT_BYTES)
    return salt + _digest(secret, _MARK, salt)


def fits(secret: bytes, mark: bytes) -> bool:
    """Is it the key that the mark was made of?"""
    salt = mark[:SALT_BYTES]
    return hmac.compare_digest(_digest(secret, _MARK, salt), mark[SALT_BYTES:])


def wrapping_key(secret: bytes, mark: bytes) -> bytes:
    """What data keys of an object with this mark are wrapped with (32 bytes)."""
    return _digest(secret, _WRAP, mark[:SALT_BYTES])


def _digest(secret: bytes, purpose: bytes, salt: bytes) -> bytes:
    return hmac.digest(secret, purpose + salt, "sha256")
