"""The default encryption of a bucket: what is encrypted although its writer does not ask.

The KMS key is kept as it was named and looked for when something is written, as S3 does. Source: S3 API reference,
PutBucketEncryption. Here a bucket has no default until it is given one, unless the house encrypts all new buckets.
"""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS
from opentrail.service import Service
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.encryption import SSE_S3, first_encryption, not_implemented
from opentrail.services.s3.kms_key import KMS_ALGORITHMS
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

family = Service("s3")


@family.operation("GetBucketEncryption")
async def get_bucket_encryption(call: Call, unit: Unit) -> Shape:
    """The default encryption of a bucket."""
    bucket = bucket_of(call, unit)
    if not bucket.encryption:
        message = "The server side encryption configuration was not found"
        raise AwsError("ServerSideEncryptionConfigurationNotFoundError", message, 404, BucketName=bucket.name)
    default = {"SSEAlgorithm": bucket.encryption}
    if bucket.encryption_key:
        default["KMSMasterKeyID"] = bucket.encryption_key
    rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": bucket.bucket_key}
    return {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}


@family.operation("PutBucketEncryption")
async def put_bucket_encryption(call: Call, unit: Unit) -> Shape:
    """Set the default encryption of a bucket; it holds for what is written from now on."""
    bucket = bucket_of(call, unit)
    rules = (call.input.get("ServerSideEncryptionConfiguration") or {}).get("Rules")
    if not rules or len(rules) != 1 or not isinstance(rules[0], dict):
        raise malformed()
    default = rules[0].get("ApplyServerSideEncryptionByDefault") or {}
    algorithm = default.get("SSEAlgorithm")
    if algorithm == "aws:fsx":
        raise not_implemented("SSEAlgorithm")
    if algorithm != SSE_S3 and algorithm not in KMS_ALGORITHMS:
        raise malformed()
    key = default.get("KMSMasterKeyID") or ""
    if key and algorithm == SSE_S3:
        message = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
        raise AwsError("InvalidArgument", message, 400, ArgumentName="ApplyServerSideEncryptionByDefault")
    if (rules[0].get("BlockedEncryptionTypes") or {}).get("EncryptionType") not in (None, [], ["NONE"]):
        raise not_implemented("BlockedEncryptionTypes")
    uses_bucket_key = bool(rules[0].get("BucketKeyEnabled"))
    kept = replace(bucket, encryption=algorithm, encryption_key=key, bucket_key=uses_bucket_key)
    BUCKETS.put(unit, kept, bucket.name)
    return {}


@family.operation("DeleteBucketEncryption")
async def delete_bucket_encryption(call: Call, unit: Unit) -> Shape:
    """Go back to what a new bucket has; what was encrypted stays so."""
    bucket = bucket_of(call, unit)
    kept = replace(bucket, encryption=first_encryption(unit), encryption_key="", bucket_key=False)
    BUCKETS.put(unit, kept, bucket.name)
    return {}
