"""GetBucketVersioning, PutBucketVersioning. What versions are is `versions`' business."""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS
from opentrail.rows.s3_replication import KIND as REPLICATION
from opentrail.service import Service
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

STATUSES = frozenset({"Enabled", "Suspended"})

family = Service("s3")


@family.operation("GetBucketVersioning")
async def get_bucket_versioning(call: Call, unit: Unit) -> Shape:
    """The versioning state; empty when it was never set."""
    bucket = bucket_of(call, unit)
    output: Shape = {}
    if bucket.versioning:
        output["Status"] = bucket.versioning
    if bucket.mfa_delete:
        output["MFADelete"] = bucket.mfa_delete
    return output


@family.operation("PutBucketVersioning")
async def put_bucket_versioning(call: Call, unit: Unit) -> Shape:
    """Enable or suspend versioning. MFA delete cannot be switched on: there are no MFA devices to delete with."""
    bucket = bucket_of(call, unit)
    wanted = call.input.get("VersioningConfiguration") or {}
    status, mfa = wanted.get("Status"), wanted.get("MFADelete")
    if status is None and mfa is None:
        raise AwsError("IllegalVersioningConfigurationException", "", 400)
    if (status is not None and status not in STATUSES) or mfa not in (None, "Enabled", "Disabled"):
        raise AwsError("MalformedXML", "", 400)
    if mfa == "Enabled":
        if call.input.get("MFA"):
            raise AwsError("NotImplemented", "", 501, Header="x-amz-mfa")
        raise AwsError("AccessDenied", "Mfa Authentication must be used for this request", 403)
    if bucket.object_lock and status == "Suspended":
        message = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
        raise AwsError("InvalidBucketState", message, 409)
    if REPLICATION in bucket.configured and status == "Suspended":
        message = "A replication configuration is present on this bucket, so the versioning state cannot be changed."
        raise AwsError("InvalidBucketState", message, 409)
    if status is not None and status != bucket.versioning:
        BUCKETS.put(unit, replace(bucket, versioning=status), bucket.name)
    return {}
