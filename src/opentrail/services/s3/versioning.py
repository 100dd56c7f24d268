"""GetBucketVersioning, PutBucketVersioning. What versions are is `versions`' business."""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS, LIFECYCLE, Bucket
from opentrail.rows.s3_replication import KIND as REPLICATION
from opentrail.service import Service
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.mfa_delete import ON, require_mfa
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
    """Enable or suspend versioning, and switch MFA delete on or off, which takes the root and a code of its MFA device."""
    bucket = bucket_of(call, unit)
    wanted = call.input.get("VersioningConfiguration") or {}
    status, mfa = wanted.get("Status"), wanted.get("MFADelete")
    if status is None and mfa is None:
        raise AwsError("IllegalVersioningConfigurationException", "", 400)
    if (status is not None and status not in STATUSES) or mfa not in (None, "Enabled", "Disabled"):
        raise malformed()
    if ON in (mfa, bucket.mfa_delete):
        require_mfa(call, unit, bucket)
    if mfa == ON:
        _check_mfa(bucket, status)
    if bucket.object_lock and status == "Suspended":
        message = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
        raise AwsError("InvalidBucketState", message, 409)
    if REPLICATION in bucket.configured and status == "Suspended":
        message = "A replication configuration is present on this bucket, so the versioning state cannot be changed."
        raise AwsError("InvalidBucketState", message, 409)
    changed = replace(bucket, versioning=status or bucket.versioning, mfa_delete=mfa or bucket.mfa_delete)
    if changed != bucket:
        BUCKETS.put(unit, changed, bucket.name)
    return {}


def _check_mfa(bucket: Bucket, status: str | None) -> None:
    if not (status or bucket.versioning):
        raise AwsError("IllegalVersioningConfigurationException", "The Versioning element must be specified", 400)
    if LIFECYCLE in bucket.configured:
        message = (
            "Mfa Authentication is not supported on a bucket with lifecycle configuration. "
            "Delete lifecycle configuration before enabling Mfa Authentication."
        )
        raise AwsError("InvalidBucketState", message, 409)
