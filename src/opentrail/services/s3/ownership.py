"""Object Ownership: whether ACLs are in force in a bucket and who owns what others write into it.

Source: S3 user guide, "Controlling ownership of objects and disabling ACLs for your bucket".
"""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS, Acl
from opentrail.service import Service
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.grants import grants_others
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

OWNERSHIPS = frozenset({"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"})

family = Service("s3")


@family.operation("GetBucketOwnershipControls")
async def get_bucket_ownership_controls(call: Call, unit: Unit) -> Shape:
    """Who owns what is written into the bucket."""
    bucket = bucket_of(call, unit)
    if not bucket.ownership:
        raise AwsError("OwnershipControlsNotFoundError", "", 404, BucketName=bucket.name)
    return {"OwnershipControls": {"Rules": [{"ObjectOwnership": bucket.ownership}]}}


@family.operation("PutBucketOwnershipControls")
async def put_bucket_ownership_controls(call: Call, unit: Unit) -> Shape:
    """Set who owns what is written; disabling ACLs needs a bucket whose own list admits nobody else."""
    bucket = bucket_of(call, unit)
    rules = (call.input.get("OwnershipControls") or {}).get("Rules") or []
    wanted = rules[0].get("ObjectOwnership") if len(rules) == 1 else None
    if wanted not in OWNERSHIPS:
        raise malformed()
    if wanted == "BucketOwnerEnforced":
        refuse_foreign_grants(bucket.acl)
    BUCKETS.put(unit, replace(bucket, ownership=wanted), bucket.name)
    return {}


@family.operation("DeleteBucketOwnershipControls")
async def delete_bucket_ownership_controls(call: Call, unit: Unit) -> Shape:
    """Go back to what held before there was a setting: ACLs are in force, writers own their objects."""
    bucket = bucket_of(call, unit)
    BUCKETS.put(unit, replace(bucket, ownership=""), bucket.name)
    return {}


def refuse_foreign_grants(acl: Acl | None) -> None:
    """A bucket whose list admits others cannot have ACLs disabled: they would silently lose their access."""
    if acl is not None and grants_others(acl):
        raise AwsError("InvalidBucketAclWithObjectOwnership", "", 400)
