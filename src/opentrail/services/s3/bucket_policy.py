"""Put, Get and DeleteBucketPolicy, GetBucketPolicyStatus. What a policy means is `access`' business.

Source: API reference, PutBucketPolicy; S3 user guide, "Blocking public access", "The meaning of 'public'".
"""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.access.policy import validate_policy
from opentrail.access.public import policy_is_public
from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import missing_principal
from opentrail.rows.s3 import BUCKETS, Bucket
from opentrail.service import Service
from opentrail.services.s3.grants import blocked
from opentrail.services.s3.guard import effective_access_block
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

family = Service("s3")


@family.operation("PutBucketPolicy")
async def put_bucket_policy(call: Call, unit: Unit) -> Shape:
    """Set the policy of a bucket."""
    bucket = _own_bucket(call, unit)
    text = call.input.get("Policy", "")
    if not text.strip():
        raise AwsError("MissingRequestBodyError", "", 400)
    policy = validate_policy(text, "bucket", bucket.name)
    missing = missing_principal(unit, policy)
    if missing:
        raise AwsError("MalformedPolicy", "Invalid principal in policy", 400, Detail=missing)
    block = effective_access_block(unit, bucket)
    if block is not None and block.block_public_policy and policy_is_public(text):
        raise blocked(call, "public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access")
    BUCKETS.put(unit, replace(bucket, policy=text), bucket.name)
    call.status = 204
    return {}


@family.operation("GetBucketPolicy")
async def get_bucket_policy(call: Call, unit: Unit) -> Shape:
    """The policy of a bucket, as it was put."""
    return {"Policy": _policy(_own_bucket(call, unit))}


@family.operation("GetBucketPolicyStatus")
async def get_bucket_policy_status(call: Call, unit: Unit) -> Shape:
    """Whether the policy of a bucket is public."""
    text = _policy(bucket_of(call, unit))
    return {"PolicyStatus": {"IsPublic": policy_is_public(text)}}


@family.operation("DeleteBucketPolicy")
async def delete_bucket_policy(call: Call, unit: Unit) -> Shape:
    """Remove the policy of a bucket; it is no error if there is none."""
    bucket = _own_bucket(call, unit)
    if bucket.policy:
        BUCKETS.put(unit, replace(bucket, policy=""), bucket.name)
    return {}


def _own_bucket(call: Call, unit: Unit) -> Bucket:
    """The bucket; strangers never handle its policy, even where it allows them to."""
    bucket = bucket_of(call, unit)
    if call.principal.account_id != bucket.owner:
        message = "The specified method is not allowed against this resource."
        raise AwsError("MethodNotAllowed", message, 405, Method=call.request.method, ResourceType="BUCKETPOLICY")
    return bucket


def _policy(bucket: Bucket) -> str:
    if not bucket.policy:
        raise AwsError("NoSuchBucketPolicy", "The bucket policy does not exist", 404, BucketName=bucket.name)
    return bucket.policy
