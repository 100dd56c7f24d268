"""Block Public Access of a bucket, and how its configuration is read and shown (the account's is `services.s3control`).

Source: S3 user guide, "Blocking public access to your Amazon S3 storage".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS, PublicAccessBlock
from opentrail.service import Service
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

family = Service("s3")


@family.operation("GetPublicAccessBlock")
async def get_public_access_block(call: Call, unit: Unit) -> Shape:
    """What the bucket itself blocks; what its owner's account blocks comes on top."""
    bucket = bucket_of(call, unit)
    if bucket.public_access_block is None:
        raise AwsError("NoSuchPublicAccessBlockConfiguration", "", 404, BucketName=bucket.name)
    return {"PublicAccessBlockConfiguration": shown_block(bucket.public_access_block)}


@family.operation("PutPublicAccessBlock")
async def put_public_access_block(call: Call, unit: Unit) -> Shape:
    """Set what the bucket blocks; what is not named is off."""
    bucket = bucket_of(call, unit)
    block = read_block(call.input.get("PublicAccessBlockConfiguration"))
    BUCKETS.put(unit, replace(bucket, public_access_block=block), bucket.name)
    return {}


@family.operation("DeletePublicAccessBlock")
async def delete_public_access_block(call: Call, unit: Unit) -> Shape:
    """Block nothing in this bucket any more."""
    bucket = bucket_of(call, unit)
    BUCKETS.put(unit, replace(bucket, public_access_block=None), bucket.name)
    return {}


def read_block(given: Mapping[str, Any] | None) -> PublicAccessBlock:
    """The row of a PublicAccessBlockConfiguration; raises AwsError MalformedXML or InvalidRequest (nothing in it)."""
    if given is None:
        raise malformed()
    if not given:
        raise AwsError("InvalidRequest", "Must specify at least one configuration.", 400)
    return PublicAccessBlock(
        given.get("BlockPublicAcls", False),
        given.get("IgnorePublicAcls", False),
        given.get("BlockPublicPolicy", False),
        given.get("RestrictPublicBuckets", False),
    )


def shown_block(block: PublicAccessBlock) -> Shape:
    return {
        "BlockPublicAcls": block.block_public_acls,
        "IgnorePublicAcls": block.ignore_public_acls,
        "BlockPublicPolicy": block.block_public_policy,
        "RestrictPublicBuckets": block.restrict_public_buckets,
    }
