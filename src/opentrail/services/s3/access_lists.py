"""GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl."""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.access.acl import canonical_id
from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS, Acl, Bucket
from opentrail.service import Service
from opentrail.services.s3.grants import (
    ACL_MEMBERS,
    acls_disabled,
    document_acl,
    headers_acl,
    refuse_public_acl,
    shown_acl,
)
from opentrail.services.s3.guard import effective_access_block, owner_alone
from opentrail.services.s3.objects import bucket_of, readable_version
from opentrail.services.s3.versions import replace_version
from opentrail.state import Unit

family = Service("s3")


@family.operation("GetBucketAcl")
async def get_bucket_acl(call: Call, unit: Unit) -> Shape:
    """The access control list of a bucket."""
    bucket = bucket_of(call, unit)
    return shown_acl(_in_force(bucket, bucket.acl, bucket.owner))


@family.operation("PutBucketAcl")
async def put_bucket_acl(call: Call, unit: Unit) -> Shape:
    """Replace the access control list of a bucket."""
    bucket = bucket_of(call, unit)
    acl = _wanted(call, unit, bucket, canonical_id(bucket.owner), "")
    BUCKETS.put(unit, replace(bucket, acl=acl), bucket.name)
    return {}


@family.operation("GetObjectAcl")
async def get_object_acl(call: Call, unit: Unit) -> Shape:
    """The access control list of an object, or of one version of it."""
    bucket = bucket_of(call, unit)
    version = readable_version(call, unit, bucket)
    return shown_acl(_in_force(bucket, version.acl, version.owner))


@family.operation("PutObjectAcl")
async def put_object_acl(call: Call, unit: Unit) -> Shape:
    """Replace the access control list of an object, or of one version of it."""
    bucket = bucket_of(call, unit)
    version = readable_version(call, unit, bucket)
    acl = _wanted(call, unit, bucket, canonical_id(version.owner), canonical_id(bucket.owner))
    replace_version(unit, bucket, replace(version, acl=acl))
    return {}


def _in_force(bucket: Bucket, acl: Acl | None, owner: str) -> Acl:
    """Where ACLs are disabled the bucket's owner owns everything alone, whatever was once put."""
    if bucket.ownership == "BucketOwnerEnforced":
        return owner_alone(canonical_id(bucket.owner))
    return acl or owner_alone(canonical_id(owner))


def _wanted(call: Call, unit: Unit, bucket: Bucket, owner_id: str, bucket_owner_id: str) -> Acl:
    """The list that the request gives, by headers or by document but not by both."""
    document = call.input.get("AccessControlPolicy")
    by_headers = not ACL_MEMBERS.isdisjoint(call.input)
    if document is None and not by_headers:
        raise AwsError("MissingSecurityHeader", "", 400, MissingHeaderName="x-amz-acl")
    if document is not None and by_headers:
        raise AwsError("UnexpectedContent", "This request does not support content", 400)
    if bucket.ownership == "BucketOwnerEnforced":
        raise acls_disabled()
    if document is not None:
        acl = document_acl(unit, document, owner_id)
    else:
        acl = headers_acl(call, unit, owner_id, bucket_owner_id)
    refuse_public_acl(call, effective_access_block(unit, bucket), acl)
    return acl
