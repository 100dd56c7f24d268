"""Get and PutBucketAccelerateConfiguration: whether a bucket may be reached by Transfer Acceleration's endpoint.

There are no edge locations here: the endpoint (`BUCKET.s3-accelerate.amazonaws.com`) leads to the same server. Source: API
reference of both; S3 user guide, "Configuring fast, secure file transfers using Amazon S3 Transfer Acceleration".
"""

from __future__ import annotations

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.service import Service
from opentrail.services.s3.documents import malformed, put_document, read_document
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

KIND = "accelerate"

family = Service("s3")


@family.operation("GetBucketAccelerateConfiguration")
async def get_bucket_accelerate_configuration(call: Call, unit: Unit) -> Shape:
    """The state of Transfer Acceleration; empty when it was never set."""
    return read_document(unit, bucket_of(call, unit), KIND)


@family.operation("PutBucketAccelerateConfiguration")
async def put_bucket_accelerate_configuration(call: Call, unit: Unit) -> Shape:
    """Enable or suspend Transfer Acceleration."""
    bucket = bucket_of(call, unit)
    status = (call.input.get("AccelerateConfiguration") or {}).get("Status")
    if "." in bucket.name:
        message = "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names"
        raise AwsError("InvalidRequest", message, 400)
    if status not in ("Enabled", "Suspended"):
        raise malformed()
    put_document(unit, bucket, KIND, {"Status": status})
    return {}
