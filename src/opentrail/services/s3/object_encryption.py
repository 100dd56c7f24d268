"""UpdateObjectEncryption: another KMS key for an object that lies encrypted, without moving a byte of it.

The keys of the object's bytes are opened as a reader would and wrapped anew as a writer would. Source: S3 model and API
reference, UpdateObjectEncryption.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket, ObjectVersion, Part
from opentrail.service import Service
from opentrail.services.s3.encryption import SSE_S3, Envelope, Protection, covered, key_ring, opening
from opentrail.services.s3.kms_key import DSSE, KMS, new_wrapper
from opentrail.services.s3.lock_rules import is_retained
from opentrail.services.s3.objects import bucket_of, readable_version
from opentrail.services.s3.versions import replace_version
from opentrail.state import Unit

KEEPING = "The UpdateObjectEncryption operation "
_ARN = re.compile(r"arn:aws[-a-z0-9]*:kms:[-a-z0-9]*:(\d{12}):key/.+", re.ASCII)

family = Service("s3")


@family.operation("UpdateObjectEncryption")
async def update_object_encryption(call: Call, unit: Unit) -> Shape:
    """Have an encrypted object lie under a key of KMS, or another one, or with a bucket key."""
    bucket = bucket_of(call, unit)
    arn, bucket_key = _wanted(call, bucket)
    version = readable_version(call, unit, bucket)
    _check_source(version)
    if bucket.object_lock:
        _check_lock(unit, version)
    changed = _wrapped_anew(call, unit, bucket, version, arn, bucket_key)
    replace_version(unit, bucket, changed)
    call.evidence.object_size = version.size
    return {}


def _wanted(call: Call, bucket: Bucket) -> tuple[str, bool]:
    """(ARN of the key, with a bucket key) of the request."""
    asked: Any = (call.input.get("ObjectEncryption") or {}).get("SSEKMS")
    if not isinstance(asked, dict):
        message = "Requests that modify an object encryption configuration require a valid new encryption type. Valid "
        raise _invalid(
            message + "values are SSEKMS. Modify the request to specify SSE-KMS for the updated encryption type."
        )
    arn = asked.get("KMSKeyArn") or ""
    found = _ARN.fullmatch(arn)
    if found is None:
        message = (
            "Requests that modify an object's encryption type to SSE-KMS require a valid Amazon Web Services KMS key "
        )
        raise _invalid(message + "Amazon Resource Name (ARN).")
    if found[1] != bucket.owner:
        message = "The Amazon Web Services KMS key in the request must be owned by the same account as the bucket."
        raise AwsError("AccessDenied", message, 403)
    return arn, bool(asked.get("BucketKeyEnabled"))


def _check_source(version: ObjectVersion) -> None:
    if version.customer_mark or version.sse == DSSE:
        message = KEEPING + "doesn't support source objects with the encryption type DSSE-KMS or SSE-C. Only source "
        raise _invalid(message + "objects encrypted with SSE-S3 or SSE-KMS are supported.")
    if version.sse not in (SSE_S3, KMS):
        message = KEEPING + "doesn't support unencrypted source objects. Only source objects encrypted with SSE-S3 or "
        raise _invalid(message + "SSE-KMS are supported.")


def _check_lock(unit: Unit, version: ObjectVersion) -> None:
    if version.legal_hold or is_retained(version, unit.now):
        message = (
            "The encryption type for the specified object can't be updated because that object is protected by S3 "
        )
        raise AwsError("AccessDenied", message + "Object Lock.", 403)


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidRequest", message, 400)


def _wrapped_anew(
    call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion, arn: str, bucket_key: bool
) -> ObjectVersion:
    """The object's row with its data keys, opened and sealed again. Parts of an upload are ten thousand at most."""
    keys = key_ring(unit, bucket, version.key, opening(call, unit, bucket, version.key, version))
    call.input |= {"SSEKMSKeyId": arn, "BucketKeyEnabled": bucket_key}
    wrapper, wrapping = new_wrapper(call, unit, bucket, version.key, KMS)
    protection = Protection(KMS, wrapping=wrapping, wrapper=wrapper)

    def sealed(ref: str, old: bytes) -> bytes:
        return Envelope(keys.open(ref, old), protection).seal(unit, bucket.name, version.key, ref) if old else b""

    parts = tuple(Part(part.ref, part.size, sealed(part.ref, part.sealed_key)) for part in version.parts)
    return covered(replace(version, parts=parts, sealed_key=sealed(version.inline, version.sealed_key)), protection)
