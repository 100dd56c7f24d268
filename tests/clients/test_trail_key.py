"""A trail with a KMS key: how it is set, what is delivered under it, and what happens when the key is switched off."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ACCOUNT, REGION, ServerProcess
from tests.clients.trail_log import log_bucket_policy, new_trail
from tests.clients.waiting import until

ROOT = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}


def key_policy(trail: str) -> str:
    """The documented policy of a trail's key."""
    encrypting = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudtrail.amazonaws.com"},
        "Action": "kms:GenerateDataKey*",
        "Resource": "*",
        "Condition": {
            "StringEquals": {"aws:SourceArn": f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{trail}"},
            "StringLike": {"kms:EncryptionContext:aws:cloudtrail:arn": f"arn:aws:cloudtrail:*:{ACCOUNT}:trail/*"},
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [ROOT, encrypting]})


@pytest.fixture(scope="module")
def kms(server: ServerProcess) -> Any:
    return server.client("kms")


def code(call: Any, **given: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**given)
    found: str = error.value.response["Error"]["Code"]
    return found


def test_a_trail_delivers_under_its_key(server: ServerProcess, s3: Any, cloudtrail: Any, kms: Any, name: str) -> None:
    start = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    key = kms.create_key(Policy=key_policy(name))["KeyMetadata"]["Arn"]
    trail = new_trail(s3, cloudtrail, name, KmsKeyId=key.rpartition("/")[2])
    assert cloudtrail.get_trail(Name=name)["Trail"]["KmsKeyId"] == key
    until(lambda: trail.files() and len(trail.files("CloudTrail-Digest")) >= 2)
    head = s3.head_object(Bucket=trail.bucket, Key=trail.files()[0])
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)
    digest = s3.head_object(Bucket=trail.bucket, Key=trail.files("CloudTrail-Digest")[-1])
    assert digest["ServerSideEncryption"] == "AES256"
    told = server.aws("cloudtrail", "validate-logs", "--trail-arn", trail.arn, "--start-time", start, "--verbose")
    assert "INVALID" not in told
    [use, *_] = _uses(cloudtrail, key)
    context = use["requestParameters"]["encryptionContext"]
    assert context["aws:cloudtrail:arn"] == trail.arn
    assert context["aws:s3:arn"].startswith(f"arn:aws:s3:::{trail.bucket}/AWSLogs/{ACCOUNT}/CloudTrail/")
    assert use["userIdentity"] == {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
    cloudtrail.delete_trail(Name=name)


def _uses(cloudtrail: Any, key: str) -> list[dict[str, Any]]:
    wanted = [{"AttributeKey": "ResourceName", "AttributeValue": key}]
    found = [
        json.loads(each["CloudTrailEvent"]) for each in cloudtrail.lookup_events(LookupAttributes=wanted)["Events"]
    ]
    return [each for each in found if each["eventName"] == "GenerateDataKey"]


def test_a_key_that_is_switched_off_delays_delivery(s3: Any, cloudtrail: Any, kms: Any, name: str) -> None:
    key = kms.create_key(Policy=key_policy(name))["KeyMetadata"]["Arn"]
    trail = new_trail(s3, cloudtrail, name, KmsKeyId=key)
    until(trail.files)
    kms.disable_key(KeyId=key)
    error = until(lambda: cloudtrail.get_trail_status(Name=name).get("LatestDeliveryError"))
    assert error == "KMS.DisabledException"
    kms.enable_key(KeyId=key)
    until(lambda: not cloudtrail.get_trail_status(Name=name).get("LatestDeliveryError"))
    assert trail.find(eventName="DisableKey")[0]["requestParameters"]["keyId"] == key
    cloudtrail.update_trail(Name=name, KmsKeyId="")
    assert "KmsKeyId" not in cloudtrail.get_trail(Name=name)["Trail"]
    cloudtrail.delete_trail(Name=name)


def test_keys_that_no_trail_may_have(server: ServerProcess, s3: Any, cloudtrail: Any, kms: Any, name: str) -> None:
    bucket = f"logs-{name}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=log_bucket_policy(bucket, ACCOUNT))
    given = {"Name": name, "S3BucketName": bucket}
    closed = kms.create_key()["KeyMetadata"]["Arn"]
    assert code(cloudtrail.create_trail, **given, KmsKeyId=closed) == "InsufficientEncryptionPolicyException"
    assert code(cloudtrail.create_trail, **given, KmsKeyId="alias/none") == "KmsKeyNotFoundException"
    assert code(cloudtrail.create_trail, **given, KmsKeyId="no key") == "InvalidKmsKeyIdException"
    assert code(cloudtrail.create_trail, **given, KmsKeyId=closed[:-4] + "0000") == "KmsKeyNotFoundException"
    far = server.client("kms", region="eu-west-1").create_key(Policy=key_policy(name))["KeyMetadata"]["Arn"]
    assert code(cloudtrail.create_trail, **given, KmsKeyId=far) == "KmsKeyNotFoundException"
    off = kms.create_key(Policy=key_policy(name))["KeyMetadata"]["Arn"]
    kms.disable_key(KeyId=off)
    assert code(cloudtrail.create_trail, **given, KmsKeyId=off) == "KmsException"
    assert code(cloudtrail.get_trail, Name=name) == "TrailNotFoundException"
    cloudtrail.create_trail(**given)
    assert code(cloudtrail.update_trail, Name=name, KmsKeyId=closed) == "InsufficientEncryptionPolicyException"
    assert "KmsKeyId" not in cloudtrail.get_trail(Name=name)["Trail"]
    cloudtrail.delete_trail(Name=name)
