"""Buckets through boto3 against a real server: what is put is read back, and strangers are kept out until let in."""

from __future__ import annotations

import json
import uuid
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

GROUP = "http://acs.amazonaws.com/groups/global/AllUsers"


def client(server: Any, service: str = "s3", *, region: str = "us-east-1", **config: Any) -> Any:
    """A client of the account's root; `signature_version=UNSIGNED` for one that is nobody."""
    return boto3.client(
        service,
        endpoint_url=server.endpoint,
        region_name=region,
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


@pytest.fixture
def s3(server: Any) -> Any:
    return client(server)


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"bucket-{uuid.uuid4()}"
    s3.create_bucket(Bucket=name)
    return name


def refused(code: str, function: Any, **given: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        function(**given)
    error = caught.value.response
    assert error["Error"]["Code"] == code, error
    return error


def test_a_bucket_from_beginning_to_end(s3: Any, bucket: str):
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"
    assert bucket in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    listed = s3.get_paginator("list_buckets").paginate(Prefix=bucket, PaginationConfig={"PageSize": 1})
    assert [each["BucketRegion"] for page in listed for each in page["Buckets"]] == ["us-east-1"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    refused("BucketNotEmpty", s3.delete_bucket, Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    assert refused("404", s3.head_bucket, Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 404
    refused("NoSuchBucket", s3.get_bucket_location, Bucket=bucket)


def test_a_bucket_in_another_region(server: Any):
    there = client(server, region="eu-central-1")
    name = f"bucket-{uuid.uuid4()}"
    refused("IllegalLocationConstraintException", there.create_bucket, Bucket=name)
    there.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    assert there.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-central-1"
    refused(
        "BucketAlreadyOwnedByYou",
        there.create_bucket,
        Bucket=name,
        CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
    )


def test_settings_are_read_back(s3: Any, bucket: str):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "größe", "Value": "a b"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "größe", "Value": "a b"}]
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "Requester"
    s3.delete_bucket_tagging(Bucket=bucket)
    refused("NoSuchTagSet", s3.get_bucket_tagging, Bucket=bucket)
    refused("NoSuchCORSConfiguration", s3.get_bucket_cors, Bucket=bucket)


def test_a_public_bucket_takes_several_deliberate_steps(server: Any, s3: Any, bucket: str):
    stranger = client(server, signature_version=UNSIGNED)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    refused("AccessDenied", s3.put_bucket_policy, Bucket=bucket, Policy=policy)
    refused("AccessControlListNotSupported", s3.put_object_acl, Bucket=bucket, Key="k", ACL="public-read")
    s3.delete_public_access_block(Bucket=bucket)
    refused("AccessDenied", stranger.get_object, Bucket=bucket, Key="k")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"] == [statement]
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    assert stranger.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    s3.delete_bucket_policy(Bucket=bucket)
    refused("AccessDenied", stranger.get_object, Bucket=bucket, Key="k")
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    s3.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")
    assert stranger.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    grants = s3.get_object_acl(Bucket=bucket, Key="k")["Grants"]
    assert grants[1] == {"Grantee": {"Type": "Group", "URI": GROUP}, "Permission": "READ"}
    s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy=_without_metadata(s3.get_bucket_acl(Bucket=bucket)))


def _without_metadata(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def test_the_account_blocks_public_access_everywhere(server: Any, s3: Any, bucket: str):
    account = client(server, "sts").get_caller_identity()["Account"]
    control = client(server, "s3control")

    def without_account_in_host(request: Any, **_rest: Any) -> None:
        """SDKs put the account before the endpoint's host, where an address has no place for it."""
        request.url = request.url.replace(f"//{account}.", "//")

    control.meta.events.register("before-sign.s3-control", without_account_in_host)
    wanted = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": False,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": False,
    }
    control.put_public_access_block(AccountId=account, PublicAccessBlockConfiguration=wanted)
    try:
        shown = control.get_public_access_block(AccountId=account)["PublicAccessBlockConfiguration"]
        assert shown == wanted
        s3.delete_public_access_block(Bucket=bucket)
        s3.delete_bucket_ownership_controls(Bucket=bucket)
        refused("AccessDenied", s3.put_bucket_acl, Bucket=bucket, ACL="public-read")
    finally:
        control.delete_public_access_block(AccountId=account)
    refused("NoSuchPublicAccessBlockConfiguration", control.get_public_access_block, AccountId=account)
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    assert client(server, signature_version=UNSIGNED).list_objects_v2(Bucket=bucket)["KeyCount"] == 0
