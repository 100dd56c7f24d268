"""Get and PutBucketAbac: whether a bucket's tags may decide who may do what with it and its objects.

What follows from it is `bucket_tags`'. Source: API reference of both; S3 user guide, "Enabling ABAC in general purpose
buckets": while it is on, tags are managed with S3 Control's TagResource and UntagResource only.
"""

from __future__ import annotations

from opentrail.call import Call, Shape
from opentrail.service import Service
from opentrail.services.s3.bucket_tags import ABAC
from opentrail.services.s3.documents import drop_document, malformed, put_document, read_document
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

family = Service("s3")


@family.operation("GetBucketAbac")
async def get_bucket_abac(call: Call, unit: Unit) -> Shape:
    """Whether tags of the bucket count in policies."""
    return {"AbacStatus": read_document(unit, bucket_of(call, unit), ABAC) or {"Status": "Disabled"}}


@family.operation("PutBucketAbac")
async def put_bucket_abac(call: Call, unit: Unit) -> Shape:
    """Let tags of the bucket count in policies, or no longer."""
    bucket = bucket_of(call, unit)
    status = (call.input.get("AbacStatus") or {}).get("Status")
    if status not in ("Enabled", "Disabled"):
        raise malformed()
    if status == "Enabled":
        put_document(unit, bucket, ABAC, {"Status": status})
    else:
        drop_document(unit, bucket, ABAC)
    return {}
