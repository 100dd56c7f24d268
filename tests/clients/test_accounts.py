"""Several accounts and regions in one server: made by `opentrail account create`, kept apart, and told apart in records."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import (
    ACCOUNT,
    OTHER_ACCOUNT,
    OTHER_KEY,
    OTHER_SECRET,
    REGION,
    ServerProcess,
    user_key,
)
from tests.clients.trail_log import TrailLog, new_trail
from tests.clients.waiting import COMMAND_SECONDS_MAX, until

MADE = "210987654321"
OTHER = (OTHER_KEY, OTHER_SECRET)


def opentrail(server: ServerProcess, *arguments: str) -> str:
    command = [sys.executable, "-c", "from opentrail.server.cli import main; main()", *arguments]
    done = subprocess.run(
        command, env=server.environment(), capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_command_that_makes_an_account(server: ServerProcess) -> None:
    """What it prints is a key that works, in an account of its own."""
    told = opentrail(
        server, "account", "create", "--name", "Third", "--email", "third@example.com", "--account-id", MADE
    )
    found = dict(re.findall(r"(AWS_[A-Z_]+)=(\S+)", told))
    key = tuple(
        found[name].strip("'\"")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        if name in found
    )
    assert server.client("sts", key).get_caller_identity()["Account"] == MADE
    server.client("s3", key).create_bucket(Bucket="of-the-third-account")
    assert MADE in opentrail(server, "account", "list")


def test_accounts_see_only_their_own(server: ServerProcess, s3: Any, bucket: str, name: str) -> None:
    there = server.client("s3", OTHER)
    assert server.client("sts", OTHER).get_caller_identity() | {"ResponseMetadata": None} == {
        "UserId": OTHER_ACCOUNT,
        "Account": OTHER_ACCOUNT,
        "Arn": f"arn:aws:iam::{OTHER_ACCOUNT}:root",
        "ResponseMetadata": None,
    }
    there.create_bucket(Bucket=f"{name}-there")
    assert bucket not in [each["Name"] for each in there.list_buckets()["Buckets"]]
    assert f"{name}-there" not in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    with pytest.raises(ClientError) as error:
        there.create_bucket(Bucket=bucket)
    assert error.value.response["Error"]["Code"] == "BucketAlreadyExists"
    for refused in (
        lambda: there.list_objects_v2(Bucket=bucket),
        lambda: there.put_object(Bucket=bucket, Key="k", Body=b"x"),
        lambda: there.put_bucket_policy(Bucket=bucket, Policy="{}"),
        lambda: there.delete_bucket(Bucket=bucket),
    ):
        with pytest.raises(ClientError) as error:
            refused()
        assert error.value.response["Error"]["Code"] == "AccessDenied"
    server.client("iam").create_user(UserName=name)
    server.client("iam", OTHER).create_user(UserName=name)
    for service, call in (("events", "list_rules"), ("codepipeline", "list_pipelines"), ("cloudtrail", "list_trails")):
        assert ACCOUNT not in json.dumps(getattr(server.client(service, OTHER), call)(), default=str)


def test_both_accounts_get_a_record(server: ServerProcess, s3: Any, trail: TrailLog, bucket: str, name: str) -> None:
    """A bucket policy lets another account's user in: one call, two records, which say so."""
    there = server.client("iam", OTHER)
    made = there.create_user(UserName=name)["User"]
    there.put_user_policy(
        UserName=name,
        PolicyName="p",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"},
            }
        ),
    )
    key = user_key(there.create_access_key(UserName=name))
    guest = server.client("s3", key)
    theirs = new_trail(server.client("s3", OTHER), server.client("cloudtrail", OTHER), f"{name}-there", OTHER_ACCOUNT)
    with pytest.raises(ClientError) as error:
        guest.get_object(Bucket=bucket, Key="k")
    refused = error.value.response
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": made["Arn"]},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    s3.put_object(Bucket=bucket, Key="k", Body=b"shared")
    answer = guest.get_object(Bucket=bucket, Key="k")
    assert answer["Body"].read() == b"shared"
    callers, owners = theirs.of(answer), trail.of(answer)
    assert (callers["recipientAccountId"], owners["recipientAccountId"]) == (OTHER_ACCOUNT, ACCOUNT)
    assert callers["sharedEventID"] == owners["sharedEventID"]
    assert callers["eventID"] != owners["eventID"]
    assert callers["requestID"] == owners["requestID"]
    assert callers["userIdentity"] == {
        "type": "IAMUser",
        "principalId": made["UserId"],
        "arn": made["Arn"],
        "accountId": OTHER_ACCOUNT,
        "accessKeyId": key[0],
        "userName": name,
    }
    assert owners["userIdentity"] == {"type": "AWSAccount", "principalId": made["UserId"], "accountId": OTHER_ACCOUNT}
    hidden = theirs.of(refused)
    assert hidden["errorCode"] == trail.of(refused)["errorCode"] == "AccessDenied"
    assert ACCOUNT not in [each.get("accountId") for each in hidden["resources"]]
    server.client("cloudtrail", OTHER).delete_trail(Name=f"{name}-there")


def test_regions(server: ServerProcess, cloudtrail: Any, trail: TrailLog, name: str) -> None:
    """What lives in a region is seen there only; the multi-region trail has a folder for each."""
    west = server.client("events", region="eu-west-1")
    put = west.put_rule(Name=name, EventPattern='{"source":["x"]}')
    assert put["RuleArn"] == f"arn:aws:events:eu-west-1:{ACCOUNT}:rule/{name}"
    assert server.client("events").list_rules(NamePrefix=name)["Rules"] == []
    record = trail.of(put)
    assert record["awsRegion"] == "eu-west-1"
    until(lambda: {REGION, "eu-west-1"} <= {key.split("/")[3] for key in trail.files()})
    shadows = server.client("cloudtrail", region="eu-west-1")
    assert trail.arn in [each["TrailARN"] for each in shadows.describe_trails()["trailList"]]
    assert trail.arn not in [
        each["TrailARN"] for each in shadows.describe_trails(includeShadowTrails=False)["trailList"]
    ]
    with pytest.raises(shadows.exceptions.InvalidHomeRegionException):
        shadows.stop_logging(Name=trail.arn)

    def seen(client: Any) -> list[str]:
        attribute = {"AttributeKey": "ResourceName", "AttributeValue": name}
        return [each["EventName"] for each in client.lookup_events(LookupAttributes=[attribute])["Events"]]

    assert until(lambda: seen(shadows)) == ["PutRule"]
    assert seen(cloudtrail) == []
    made = server.client("iam", region="eu-west-1").create_user(UserName=name)
    assert trail.of(made)["awsRegion"] == "us-east-1"
