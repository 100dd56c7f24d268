"""Annotations: how they may be named, how their bytes are kept, whether a copy takes them along. Shared by S3's families.

Sources: S3 model, PutObjectAnnotation and CopyObject; S3 user guide, "Annotating your objects".
"""

from __future__ import annotations

from opentrail.call import Call
from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket, ObjectVersion
from opentrail.rows.s3_annotations import SETS
from opentrail.services.s3.encryption import SSE_S3, STASH, Protection
from opentrail.services.s3.kms_key import KMS_ALGORITHMS, new_wrapper
from opentrail.services.s3.payload import REF_ALPHABET, Payload, keep, sealed
from opentrail.state import Unit
from opentrail.wire.route_s3 import parse_query

NAME_BYTES_MAX = 512
PAYLOAD_BYTES_MAX = 1024 * 1024
REF_LENGTH = 26
RESERVED = ("aws", "s3")
DIRECTIVE = "x-amz-object-annotation-directive"
COPY, EXCLUDE = "COPY", "EXCLUDE"
_MARKS = frozenset("0123456789_.-")


def check_name(name: str) -> None:
    """Raise AWS's error for a name that no annotation may have."""
    if len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX:
        raise AwsError("AnnotationNameTooLong", "The annotation name is too long.", 400)
    if not name or not is_spelled_well(name) or name.lower().startswith(RESERVED):
        raise AwsError("InvalidAnnotationName", "The specified annotation name is not valid.", 400)


def is_spelled_well(name: str) -> bool:
    """Letters of any language, digits, `_`, `.`, `-`."""
    return all(each in _MARKS or each.isalpha() for each in name)


def new_ref(unit: Unit) -> str:
    return unit.house.clock.token(REF_LENGTH, REF_ALPHABET)


def inherit_encryption(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion) -> None:
    """Have what the call writes encrypted as the object is, by SSE-S3 where that lies in the clear.

    Raises InvalidRequest for an object under a customer's key, and S3's errors for what KMS refuses."""
    if version.customer_mark:
        raise under_customer_key()
    if version.sse not in KMS_ALGORITHMS:
        call.stash[STASH] = Protection(SSE_S3)
        return
    call.input |= {"SSEKMSKeyId": version.sse_key, "BucketKeyEnabled": version.bucket_key}
    wrapper, wrapping = new_wrapper(call, unit, bucket, version.key, version.sse)
    call.stash[STASH] = Protection(version.sse, wrapping=wrapping, wrapper=wrapper)


def under_customer_key() -> AwsError:
    message = "Objects encrypted with customer-provided keys (SSE-C) cannot have annotations."
    return AwsError("InvalidRequest", message, 400)


def new_row(unit: Unit, bucket: Bucket, key: str, payload: Payload) -> ObjectVersion:
    """The row of an annotation of the object `key`, its bytes put into the unit."""
    inline, parts = keep(unit, payload)
    row = ObjectVersion(
        key=key,
        version_id="",
        order=0,
        modified=unit.now,
        owner="",
        etag=payload.etag,
        size=payload.size,
        inline=inline,
        parts=parts,
        checksums=payload.checksums,
        checksum_type="FULL_OBJECT",
    )
    return row if payload.envelope is None else sealed(unit, bucket.name, row, payload.envelope)


def has_annotations(unit: Unit, version: ObjectVersion) -> bool:
    """Has the version any now?"""
    found = SETS.get(unit, version.annotated) if version.annotated else None
    return found is not None and found.count > 0


def copies_annotations(call: Call) -> bool:
    """What CopyObject says, in a header or in its query; to copy them is the default. Raises InvalidArgument."""
    asked = call.input.get("AnnotationDirective")
    if asked is None and DIRECTIVE in call.request.query:
        asked = parse_query(call.request.query).get(DIRECTIVE)
    if asked not in (None, COPY, EXCLUDE):
        fields = {"ArgumentName": DIRECTIVE, "ArgumentValue": str(asked)}
        raise AwsError("InvalidArgument", "Unknown annotation directive.", 400, headers=None, **fields)
    return asked != EXCLUDE
