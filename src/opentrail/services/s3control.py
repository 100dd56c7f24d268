"""S3 Control: Block Public Access of a whole account, which comes on top of what its buckets block; tags of buckets.

The caller must belong to the account it names. Source: API reference, S3 Control, Get/Put/DeletePublicAccessBlock,
TagResource, UntagResource, ListTagsForResource; S3 user guide, "Using tags with S3 general purpose buckets".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec.structs import replace

from opentrail.call import ACCOUNT_ID, Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import ACCOUNT_ACCESS_BLOCKS, BUCKETS, Bucket
from opentrail.service import Service
from opentrail.services.s3.access_block import read_block, shown_block
from opentrail.services.s3.bucket_tags import request_tag_keys
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.guard import question
from opentrail.services.s3.tag_rules import check_tags
from opentrail.services.s3.tagging import BUCKET_TAGS_MAX, Tags, shown_tags
from opentrail.state import Unit

_BUCKET_ARN = re.compile(r"arn:aws[a-z-]{0,20}:s3:::([a-z0-9][a-z0-9.-]{1,62})", re.ASCII)

service = Service("s3control")


@service.operation("GetPublicAccessBlock")
async def get_public_access_block(call: Call, unit: Unit) -> Shape:
    """What the account blocks in all of its buckets."""
    account = _account(call)
    block = ACCOUNT_ACCESS_BLOCKS.get(unit, account)
    if block is None:
        raise AwsError("NoSuchPublicAccessBlockConfiguration", NOT_FOUND, 404, AccountId=account)
    return {"PublicAccessBlockConfiguration": shown_block(block)}


@service.operation("PutPublicAccessBlock")
async def put_public_access_block(call: Call, unit: Unit) -> Shape:
    """Set what the account blocks; what is not named is off."""
    block = read_block(call.input.get("PublicAccessBlockConfiguration"))
    ACCOUNT_ACCESS_BLOCKS.put(unit, block, _account(call))
    return {}


@service.operation("DeletePublicAccessBlock")
async def delete_public_access_block(call: Call, unit: Unit) -> Shape:
    """Block nothing by account any more."""
    ACCOUNT_ACCESS_BLOCKS.delete(unit, _account(call))
    return {}


NOT_FOUND = "The public access block configuration was not found"


def _account(call: Call) -> str:
    """The account that is named, which must be the caller's own."""
    account = call.input.get("AccountId", "")
    if not ACCOUNT_ID.fullmatch(account):
        raise AwsError("InvalidRequest", "Invalid account ID", 400)
    if account != call.principal.account_id:
        raise AwsError("AccessDenied", "Access Denied", 403)
    return str(account)


# Tags of buckets


@service.guard("TagResource", "UntagResource", "ListTagsForResource")
def guard_tags(call: Call, unit: Unit) -> Sequence[Access]:
    """The action on the bucket, which may speak of the tags that it has and of those it would get."""
    bucket = _bucket(call, unit)
    asked = question(call, unit, bucket, f"s3:{call.operation.name}", "")
    return [replace(asked, context={**asked.context, **request_tag_keys(_given_tags(call))})]


@service.operation("TagResource")
async def tag_resource(call: Call, unit: Unit) -> Shape:
    """Add tags to a bucket, or give those it has another value."""
    bucket = _bucket(call, unit)
    tags = tuple((dict(bucket.tags) | dict(_given_tags(call))).items())
    BUCKETS.put(unit, replace(bucket, tags=check_tags(tags, BUCKET_TAGS_MAX)), bucket.name)
    return {}


@service.operation("UntagResource")
async def untag_resource(call: Call, unit: Unit) -> Shape:
    """Take tags away from a bucket; it is no error if it does not have them."""
    bucket, gone = _bucket(call, unit), set(call.input.get("TagKeys") or ())
    kept = tuple((name, value) for name, value in bucket.tags if name not in gone)
    BUCKETS.put(unit, replace(bucket, tags=kept), bucket.name)
    return {}


@service.operation("ListTagsForResource")
async def list_tags_for_resource(call: Call, unit: Unit) -> Shape:
    """The tags of a bucket; empty if it has none."""
    return {"Tags": shown_tags(_bucket(call, unit).tags)}


def _bucket(call: Call, unit: Unit) -> Bucket:
    """The bucket whose ARN is given. Other resources cannot be tagged here."""
    _account(call)
    found = _BUCKET_ARN.fullmatch(call.input.get("ResourceArn", ""))
    bucket = None if found is None else BUCKETS.get(unit, found[1])
    if bucket is None:
        raise AwsError("NoSuchResource", "The specified resource doesn't exist.", 404)
    call.region = bucket.region
    call.evidence.owner_account_id = bucket.owner
    return bucket


def _given_tags(call: Call) -> Tags:
    given = call.input.get("Tags") or ()
    if any(not tag or "Key" not in tag or "Value" not in tag for tag in given):
        raise malformed()
    tags = tuple((tag["Key"], tag["Value"]) for tag in given)
    if len(dict(tags)) < len(tags):
        raise AwsError("InvalidTag", "Cannot provide multiple Tags with the same key", 400)
    return tags
