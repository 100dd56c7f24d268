"""SSE-KMS and DSSE-KMS: the data key that KMS gives a caller for what he writes, and opens for him when he reads.

What KMS gave (the wrapper) is kept with the object as KMS encrypted it; its plaintext wraps the data keys of the object's
bytes. With a bucket key, requesters share no plaintext: each gets one of his own for the bucket, which counts for some
minutes, and KMS's records tell of that alone; his permission and the key's state are looked at every time all the same.
Sources: S3 user guide, "Using server-side encryption with AWS KMS keys", "Reducing the cost of SSE-KMS with Amazon S3
Bucket Keys"; S3's answers. Knows nothing of bytes, rows of objects or headers of answers.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from opentrail.call import Call
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKET_KEYS, Bucket, BucketKeys, BucketKeyUse
from opentrail.services.key_find import S3_ALIAS
from opentrail.services.key_use import Use, new_data_key, open_data_key
from opentrail.state import Unit

KMS, DSSE = "aws:kms", "aws:kms:dsse"
KMS_ALGORITHMS = frozenset({KMS, DSSE})
OBJECT = "aws:s3:arn"
"""The pair of the encryption context that is S3's own: the ARN of the object, or with a bucket key of the bucket."""
CONTEXT_BYTES_MAX = 8 * 1024
"""Bytes of the header that brings an encryption context."""
BUCKET_KEY_SECONDS = 300
"""How long a requester's bucket key counts."""
BUCKET_KEYS_MAX = 32
"""Requesters' bucket keys remembered for a bucket and a KMS key."""
_CODES = {
    "AccessDeniedException": ("AccessDenied", 403),
    "NotFoundException": ("KMS.NotFoundException", 400),
    "DisabledException": ("KMS.DisabledException", 400),
    "KMSInvalidStateException": ("KMS.KMSInvalidStateException", 400),
    "InvalidKeyUsageException": ("KMS.InvalidKeyUsageException", 400),
}
"""KMS's error codes as S3 gives them on."""


class Place(NamedTuple):
    """The object that is written or read. `region` is its bucket's."""

    region: str
    bucket: str
    key: str

    def arn(self, *, of_bucket: bool) -> str:
        return f"arn:aws:s3:::{self.bucket}" if of_bucket else f"arn:aws:s3:::{self.bucket}/{self.key}"


class Wrapper(NamedTuple):
    """What an object's data keys are wrapped with, as KMS encrypted it under the key `arn`; `context` as in its row."""

    arn: str
    blob: bytes
    context: str
    bucket_key: bool


def new_wrapper(call: Call, unit: Unit, bucket: Bucket, key: str, algorithm: str) -> tuple[Wrapper, bytes]:
    """What the call's object is to be wrapped with, and its plaintext. Raises S3's errors for what KMS refuses."""
    check_signed(call)
    given, place = call.input, Place(bucket.region, bucket.name, key)
    default = bucket.encryption_key if bucket.encryption in KMS_ALGORITHMS else ""
    named = given.get("SSEKMSKeyId") or default or S3_ALIAS
    asked = given.get("BucketKeyEnabled")
    shared = bucket.bucket_key if asked is None else bool(asked)
    bucket_key = shared and algorithm == KMS
    context = _given_context(call, place.arn(of_bucket=bucket_key))
    made = _generated(call, unit, place, named, context, bucket_key)
    return Wrapper(made.arn, made.blob, context, bucket_key), made.secret


class _Made(NamedTuple):
    arn: str
    blob: bytes
    secret: bytes


def _generated(call: Call, unit: Unit, place: Place, named: str, context: str, bucket_key: bool) -> _Made:
    use, whole = Use(call, unit, "s3", place.region), _context(place, context, of_bucket=bucket_key)
    with _told_by_s3():
        if not bucket_key:
            return _Made(*new_data_key(use, named, whole))
        uses = _uses(unit, place, named)
        requester = _requester(call)
        known = next((each.blob for each in reversed(uses) if each.requester == requester), b"")
        made = _Made(*new_data_key(use, named, whole, known))
    if made.blob != known:
        _remember(unit, place, named, uses, BucketKeyUse(requester, made.blob, unit.now + BUCKET_KEY_SECONDS))
    return made


def unwrapped(call: Call, unit: Unit, place: Place, wrapper: Wrapper) -> bytes:
    """The plaintext of an object's wrapper, if the caller may decrypt. Raises S3's errors for what KMS refuses."""
    check_signed(call)
    use = Use(call, unit, "s3", place.region)
    context = _context(place, wrapper.context, of_bucket=wrapper.bucket_key)
    with _told_by_s3():
        if not wrapper.bucket_key:
            return open_data_key(use, wrapper.blob, context)
        uses, requester = _uses(unit, place, wrapper.arn), _requester(call)
        known = any(each.requester == requester and each.blob == wrapper.blob for each in uses)
        secret = open_data_key(use, wrapper.blob, context, quiet=known)
    if not known:
        _remember(unit, place, wrapper.arn, uses, BucketKeyUse(requester, wrapper.blob, unit.now + BUCKET_KEY_SECONDS))
    return secret


@contextmanager
def _told_by_s3() -> Iterator[None]:
    try:
        yield
    except AwsError as error:
        code, status = _CODES.get(error.code, (f"KMS.{error.code}", 400))
        raise AwsError(code, error.message, status) from error


def check_signed(call: Call) -> None:
    """KMS knows callers by their signature: S3 refuses anonymous requests. Either version will do (user guide)."""
    if call.principal.type == "Anonymous":
        message = (
            "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4."
        )
        raise AwsError("InvalidArgument", message, 400, ArgumentName="Authorization", ArgumentValue="null")


# The encryption context


def _given_context(call: Call, arn: str) -> str:
    """What x-amz-server-side-encryption-context brings, as compact JSON without S3's own pair; raises InvalidArgument."""
    header = call.input.get("SSEKMSEncryptionContext")
    if header is None:
        return ""
    try:
        if len(header) > CONTEXT_BYTES_MAX:
            raise ValueError
        context = json.loads(base64.b64decode(header, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _bad_context(header) from None
    if not isinstance(context, dict) or not all(isinstance(value, str) for value in context.values()):
        raise _bad_context(header)
    if context.pop(OBJECT, arn) != arn:
        raise _bad_context(header)
    return json.dumps(context, separators=(",", ":"), sort_keys=True) if context else ""


def _bad_context(header: str) -> AwsError:
    message = "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON "
    name = "x-amz-server-side-encryption-context"
    message += "which represents a string-string map"
    return AwsError("InvalidArgument", message, 400, ArgumentName=name, ArgumentValue=header[:256])


def _context(place: Place, given: str, *, of_bucket: bool) -> dict[str, str]:
    own: dict[str, str] = json.loads(given) if given else {}
    return own | {OBJECT: place.arn(of_bucket=of_bucket)}


# Bucket keys


def _requester(call: Call) -> str:
    principal = call.principal
    return principal.arn or f"{principal.invoked_by} {principal.source_arn}"


def _uses(unit: Unit, place: Place, named: str) -> tuple[BucketKeyUse, ...]:
    """Those that still count."""
    row = BUCKET_KEYS.get(unit, place.bucket, named)
    return tuple(each for each in row.uses if each.until > unit.now) if row is not None else ()


def _remember(unit: Unit, place: Place, named: str, uses: tuple[BucketKeyUse, ...], made: BucketKeyUse) -> None:
    kept = (*uses, made)[-BUCKET_KEYS_MAX:]
    BUCKET_KEYS.put(unit, BucketKeys(kept), place.bucket, named)
