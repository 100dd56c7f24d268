"""Put, Get and DeleteBucketLifecycle. What the rules do is done by a follower; what they mean is `lifecycle_rules`'."""

from __future__ import annotations

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import LIFECYCLE
from opentrail.service import Service
from opentrail.services.s3.documents import drop_document, malformed, put_document, read_document
from opentrail.services.s3.lifecycle_check import check_minimum, check_rules
from opentrail.services.s3.mfa_delete import ON
from opentrail.services.s3.objects import bucket_of
from opentrail.services.s3.required_digest import require_digest
from opentrail.state import Unit

RULE_ID_RANDOM = 48
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MINIMUM = "TransitionDefaultMinimumObjectSize"

family = Service("s3")


@family.operation("PutBucketLifecycle")
@family.operation("PutBucketLifecycleConfiguration")
async def put_bucket_lifecycle_configuration(call: Call, unit: Unit) -> Shape:
    """Replace the lifecycle rules of a bucket."""
    require_digest(call)
    bucket = bucket_of(call, unit)
    if bucket.mfa_delete == ON:
        message = "Lifecycle configuration is not supported on a bucket with Mfa Authentication enabled."
        raise AwsError("InvalidBucketState", message, 409)
    given = call.input.get("LifecycleConfiguration")
    if given is None:
        raise malformed()
    rules = given.get("Rules") or []
    check_rules(rules)
    minimum = check_minimum(call.input.get(MINIMUM))
    named = [{**rule, "ID": rule.get("ID") or _new_id(unit)} for rule in rules]
    put_document(unit, bucket, LIFECYCLE, {"Rules": named, MINIMUM: minimum})
    return {MINIMUM: minimum}


def _new_id(unit: Unit) -> str:
    return unit.house.clock.token(RULE_ID_RANDOM, _ALPHABET)


@family.operation("GetBucketLifecycle")
@family.operation("GetBucketLifecycleConfiguration")
async def get_bucket_lifecycle_configuration(call: Call, unit: Unit) -> Shape:
    """The lifecycle rules of a bucket."""
    bucket = bucket_of(call, unit)
    document = read_document(unit, bucket, LIFECYCLE)
    if not document:
        raise AwsError("NoSuchLifecycleConfiguration", "", 404, BucketName=bucket.name)
    return document


@family.operation("DeleteBucketLifecycle")
async def delete_bucket_lifecycle(call: Call, unit: Unit) -> Shape:
    """Remove the lifecycle rules of a bucket; it is no error if there are none."""
    drop_document(unit, bucket_of(call, unit), LIFECYCLE)
    return {}
