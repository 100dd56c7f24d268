"""Digest files: what was delivered in an hour, chained to the hour before and signed.

Format and algorithm are those of the CloudTrail user guide (digest file structure; custom implementation of validation)
and of `aws cloudtrail validate-logs`: SHA-256 of uncompressed bytes, RSASSA-PKCS1-v1_5 over four lines. Pure: times and
keys are passed in. Checking is `opentrail.verify`'s, which shares no code with this.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from opentrail.record.log_file import folder, in_utc, sha256_hex

KEY_BITS: Final = 2_048
"""Length of the RSA keys that AWS signs digests with."""
SIGNATURE_ALGORITHM: Final = "SHA256withRSA"
HASH_ALGORITHM: Final = "SHA-256"
METADATA_SIGNATURE: Final = "signature"
METADATA_ALGORITHM: Final = "signature-algorithm"
METADATA_BACKFILL: Final = "backfill-generation-timestamp"


@dataclass(frozen=True, slots=True)
class DeliveredFile:
    """A log file that a digest names. `hash_value` is of the uncompressed bytes; times are ISO seconds (`…Z`)."""

    s3_bucket: str
    s3_object: str
    hash_value: str
    newest_event_time: str
    oldest_event_time: str


@dataclass(frozen=True, slots=True)
class PreviousDigest:
    """The digest before: its place, the hash of its uncompressed bytes, its signature in hexadecimal."""

    s3_bucket: str
    s3_object: str
    hash_value: str
    signature: str


@dataclass(frozen=True, slots=True)
class DigestPlace:
    """Whose digest it is and where it lies. `region` is that of the events, `home_region` the trail's."""

    account: str
    region: str
    trail_name: str
    home_region: str
    s3_bucket: str
    s3_prefix: str = ""
    org_id: str = ""


def digest_time(moment: datetime.datetime) -> str:
    """`2024-05-01T13:00:00Z`."""
    return in_utc(moment).strftime("%Y-%m-%dT%H:%M:%SZ")


def digest_key(place: DigestPlace, end: datetime.datetime, backfill: bool = False) -> str:
    """The key of the digest that ends at `end`. Its stamp stands 24 characters before the end, where clients look."""
    moment = in_utc(end)
    stamp = moment.strftime("%Y%m%dT%H%M%SZ") + ("_backfill" if backfill else "")
    owner = f"{place.account}_CloudTrail-Digest_{place.region}_{place.trail_name}_{place.home_region}"
    path = folder(place.s3_prefix, place.org_id, place.account, "CloudTrail-Digest", place.region, moment)
    return f"{path}{owner}_{stamp}.json.gz"


def public_key_der(key: RSAPublicKey) -> bytes:
    """The key as DER of PKCS#1 RSAPublicKey: the `Value` of ListPublicKeys."""
    return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)


def fingerprint(der: bytes) -> str:
    """Lower-case hexadecimal MD5 of the DER: a name, not a protection."""
    return hashlib.md5(der, usedforsecurity=False).hexdigest()


def _file(entry: DeliveredFile) -> dict[str, str]:
    return {
        "s3Bucket": entry.s3_bucket,
        "s3Object": entry.s3_object,
        "hashValue": entry.hash_value,
        "hashAlgorithm": HASH_ALGORITHM,
        "newestEventTime": entry.newest_event_time,
        "oldestEventTime": entry.oldest_event_time,
    }


def digest_document(
    place: DigestPlace,
    start: datetime.datetime,
    end: datetime.datetime,
    key_fingerprint: str,
    files: Sequence[DeliveredFile],
    previous: PreviousDigest | None,
    backfill: bool = False,
) -> bytes:
    """The digest as compact JSON, keys in AWS's order.

    `files` are those delivered from `start` to `end` (whatever the time of their events); none is a digest too. Without
    `previous` it is a starting digest, whose five fields about the previous one are null.
    """
    document: dict[str, Any] = {
        "awsAccountId": place.account,
        "digestStartTime": digest_time(start),
        "digestEndTime": digest_time(end),
        "digestS3Bucket": place.s3_bucket,
        "digestS3Object": digest_key(place, end, backfill),
        "digestPublicKeyFingerprint": key_fingerprint,
        "digestSignatureAlgorithm": SIGNATURE_ALGORITHM,
        "newestEventTime": max((file.newest_event_time for file in files), default=None),
        "oldestEventTime": min((file.oldest_event_time for file in files), default=None),
        "previousDigestS3Bucket": previous.s3_bucket if previous else None,
        "previousDigestS3Object": previous.s3_object if previous else None,
        "previousDigestHashValue": previous.hash_value if previous else None,
        "previousDigestHashAlgorithm": HASH_ALGORITHM if previous else None,
        "previousDigestSignature": previous.signature if previous else None,
        "logFiles": [_file(file) for file in files],
    }
    return msgspec.json.encode(document)


def string_to_sign(end_time: str, bucket: str, key: str, document: bytes, previous_signature: str | None) -> str:
    """The four lines that are signed; a starting digest says `null` for the previous signature."""
    previous = "null" if previous_signature is None else previous_signature
    return "\n".join((end_time, f"{bucket}/{key}", sha256_hex(document), previous))


def sign(key: RSAPrivateKey, text: str) -> str:
    """The signature of a `string_to_sign` in lower-case hexadecimal, as it goes into the object's metadata."""
    return key.sign(text.encode(), padding.PKCS1v15(), SHA256()).hex()


@dataclass(frozen=True, slots=True)
class SealedDigest:
    """A signed digest: where it goes, its uncompressed bytes, its signature in hexadecimal."""

    s3_bucket: str
    s3_object: str
    document: bytes
    signature: str


def seal_digest(
    key: RSAPrivateKey,
    place: DigestPlace,
    start: datetime.datetime,
    end: datetime.datetime,
    files: Sequence[DeliveredFile],
    previous: PreviousDigest | None,
    backfill: bool = False,
) -> SealedDigest:
    """Write and sign the digest of `start` to `end`; see `digest_document`. The same input gives the same bytes."""
    key_fingerprint = fingerprint(public_key_der(key.public_key()))
    document = digest_document(place, start, end, key_fingerprint, files, previous, backfill)
    object_key = digest_key(place, end, backfill)
    signature = previous.signature if previous else None
    text = string_to_sign(digest_time(end), place.s3_bucket, object_key, document, signature)
    return SealedDigest(place.s3_bucket, object_key, document, sign(key, text))


def digest_metadata(signature: str, backfilled_at: datetime.datetime | None = None) -> dict[str, str]:
    """User metadata of the digest's object, without the `x-amz-meta-` prefix."""
    metadata = {METADATA_SIGNATURE: signature, METADATA_ALGORITHM: SIGNATURE_ALGORITHM}
    if backfilled_at is not None:
        metadata[METADATA_BACKFILL] = digest_time(backfilled_at)
    return metadata
