"""Who did it: the record of each kind of caller, read back from the delivered log files, member by member."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.clients.server_process import (
    ACCOUNT,
    OTHER_ACCOUNT,
    OTHER_KEY,
    OTHER_SECRET,
    REGION,
    ROOT_KEY,
    ServerProcess,
    key_of,
    user_key,
)
from tests.clients.trail_log import Record, TrailLog, new_trail
from tests.clients.waiting import until

ANYTHING = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}'
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ORDER = [
    "eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress",
    "userAgent", "errorCode", "errorMessage", "requestParameters", "responseElements", "additionalEventData",
    "requestID", "eventID", "readOnly", "resources", "eventType", "apiVersion", "managementEvent",
    "recipientAccountId", "sharedEventID", "vpcEndpointId", "eventCategory", "tlsDetails",
]  # fmt: skip
"""Members in the order of real log files."""


@pytest.fixture(scope="module")
def person(iam: Any) -> dict[str, Any]:
    """A user who may do anything: its row, and its key as `key`."""
    user = iam.create_user(UserName="carol", Path="/people/")["User"]
    iam.put_user_policy(UserName="carol", PolicyName="all", PolicyDocument=ANYTHING)
    return {**user, "key": user_key(iam.create_access_key(UserName="carol"))}


@pytest.fixture(scope="module")
def role(iam: Any) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    made = iam.create_role(
        RoleName="auditor",
        Path="/roles/",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust}),
    )
    iam.put_role_policy(RoleName="auditor", PolicyName="all", PolicyDocument=ANYTHING)
    return made["Role"]


@pytest.fixture(scope="module")
def place(s3: Any) -> str:
    s3.create_bucket(Bucket="identity-of-callers")
    return "identity-of-callers"


def put(server: ServerProcess, trail: TrailLog, key: tuple[str, ...], bucket: str) -> Record:
    """The record of one PutObject under this key."""
    return trail.of(server.client("s3", key).put_object(Bucket=bucket, Key="who", Body=b"me"))


def session_of(identity: Record) -> Record:
    """The attributes of a session, their time checked."""
    attributes = identity["sessionContext"]["attributes"]
    assert TIME.fullmatch(attributes["creationDate"])
    return attributes


def test_every_member_of_a_record(server: ServerProcess, s3: Any, trail: TrailLog, place: str) -> None:
    before = int(time.time())
    answer = s3.put_object(
        Bucket=place, Key="folder/a b", Body=b"12345", ACL="bucket-owner-full-control", StorageClass="STANDARD"
    )
    record = trail.of(answer)
    assert list(record) == [name for name in ORDER if name in record]
    moment = datetime.fromisoformat(record["eventTime"]).timestamp()
    assert before - 1 <= moment <= time.time() + 1
    assert UUID.fullmatch(record["eventID"])
    meta = answer["ResponseMetadata"]
    more = record["additionalEventData"]
    assert record == {
        "eventVersion": record["eventVersion"],
        "userIdentity": {
            "type": "Root",
            "principalId": ACCOUNT,
            "arn": f"arn:aws:iam::{ACCOUNT}:root",
            "accountId": ACCOUNT,
            "accessKeyId": ROOT_KEY,
        },
        "eventTime": record["eventTime"],
        "eventSource": "s3.amazonaws.com",
        "eventName": "PutObject",
        "awsRegion": REGION,
        "sourceIPAddress": "127.0.0.1",
        "userAgent": record["userAgent"],
        "requestParameters": {
            "bucketName": place,
            "key": "folder/a b",
            "Host": server.host,
            "x-amz-acl": "bucket-owner-full-control",
            "x-amz-storage-class": "STANDARD",
        },
        "responseElements": record["responseElements"],
        "additionalEventData": {
            **more,
            "SignatureVersion": "SigV4",
            "AuthenticationMethod": "AuthHeader",
            "bytesTransferredOut": 0,
            "x-amz-id-2": meta["HostId"],
        },
        "requestID": meta["RequestId"],
        "eventID": record["eventID"],
        "readOnly": False,
        "resources": record["resources"],
        "eventType": "AwsApiCall",
        "managementEvent": False,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Data",
    }
    assert record["userAgent"].startswith("[Boto3/")
    assert more["bytesTransferredIn"] >= 5
    assert "CipherSuite" not in more
    assert sorted(record["resources"], key=lambda each: each["type"]) == [
        {"accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{place}"},
        {"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{place}/folder/a b"},
    ]


def test_an_iam_user(server: ServerProcess, trail: TrailLog, place: str, person: dict[str, Any]) -> None:
    assert put(server, trail, person["key"], place)["userIdentity"] == {
        "type": "IAMUser",
        "principalId": person["UserId"],
        "arn": f"arn:aws:iam::{ACCOUNT}:user/people/carol",
        "accountId": ACCOUNT,
        "accessKeyId": person["key"][0],
        "userName": "carol",
    }


def test_a_session_token(server: ServerProcess, trail: TrailLog, place: str, person: dict[str, Any]) -> None:
    key = key_of(server.client("sts", person["key"]).get_session_token())
    identity = put(server, trail, key, place)["userIdentity"]
    assert session_of(identity) == {**session_of(identity), "mfaAuthenticated": "false"}
    assert key[0].startswith("ASIA")
    assert {name: value for name, value in identity.items() if name != "sessionContext"} == {
        "type": "IAMUser",
        "principalId": person["UserId"],
        "arn": f"arn:aws:iam::{ACCOUNT}:user/people/carol",
        "accountId": ACCOUNT,
        "accessKeyId": key[0],
        "userName": "carol",
    }


def test_an_assumed_role(
    server: ServerProcess, trail: TrailLog, place: str, person: dict[str, Any], role: dict[str, Any]
) -> None:
    assumed = server.client("sts", person["key"]).assume_role(RoleArn=role["Arn"], RoleSessionName="night-shift")
    key = key_of(assumed)
    identity = put(server, trail, key, place)["userIdentity"]
    assert identity == {
        "type": "AssumedRole",
        "principalId": f"{role['RoleId']}:night-shift",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/auditor/night-shift",
        "accountId": ACCOUNT,
        "accessKeyId": key[0],
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": role["RoleId"],
                "arn": f"arn:aws:iam::{ACCOUNT}:role/roles/auditor",
                "accountId": ACCOUNT,
                "userName": "auditor",
            },
            "attributes": {**session_of(identity), "mfaAuthenticated": "false"},
        },
    }
    made = trail.of(assumed)
    assert (made["eventSource"], made["eventName"], made["readOnly"]) == ("sts.amazonaws.com", "AssumeRole", True)
    assert made["requestParameters"]["roleSessionName"] == "night-shift"
    shown = made["responseElements"]["credentials"]
    assert shown["accessKeyId"] == key[0]
    assert key[1] not in json.dumps(made)
    assert made["userIdentity"]["userName"] == "carol"


def test_a_federated_user(server: ServerProcess, trail: TrailLog, place: str, person: dict[str, Any]) -> None:
    answer = server.client("sts", person["key"]).get_federation_token(Name="guest", Policy=ANYTHING)
    key = key_of(answer)
    identity = put(server, trail, key, place)["userIdentity"]
    assert identity == {
        "type": "FederatedUser",
        "principalId": f"{ACCOUNT}:guest",
        "arn": f"arn:aws:sts::{ACCOUNT}:federated-user/guest",
        "accountId": ACCOUNT,
        "accessKeyId": key[0],
        "sessionContext": {
            "sessionIssuer": {
                "type": "IAMUser",
                "principalId": person["UserId"],
                "arn": f"arn:aws:iam::{ACCOUNT}:user/people/carol",
                "accountId": ACCOUNT,
                "userName": "carol",
            },
            "attributes": {**session_of(identity), "mfaAuthenticated": "false"},
        },
    }


def test_nobody(server: ServerProcess, s3: Any, trail: TrailLog, place: str) -> None:
    anyone = boto3.client("s3", endpoint_url=server.url, region_name=REGION, config=Config(signature_version=UNSIGNED))
    with pytest.raises(anyone.exceptions.ClientError) as error:
        anyone.get_object(Bucket=place, Key="who")
    record = trail.of(error.value.response)
    assert record["userIdentity"] == {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}
    assert (record["errorCode"], record["errorMessage"]) == ("AccessDenied", "Access Denied")
    assert "SignatureVersion" not in record["additionalEventData"]
    assert "AuthenticationMethod" not in record["additionalEventData"]
    assert UUID.fullmatch(record["sharedEventID"])
    assert (record["readOnly"], record["recipientAccountId"]) == (True, ACCOUNT)
    assert record["responseElements"] is None


def test_a_service(s3: Any, cloudtrail: Any, trail: TrailLog, name: str) -> None:
    """CloudTrail itself, when it delivers another trail's log file."""
    second = new_trail(s3, cloudtrail, name)
    cloudtrail.delete_trail(Name=name)
    for event, read_only in (("PutObject", False), ("GetBucketAcl", True)):
        record = by_cloudtrail(trail, event, second.bucket)[-1]
        assert record["userIdentity"] == {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
        assert (record["userAgent"], record["readOnly"]) == ("cloudtrail.amazonaws.com", read_only)
        assert (record["recipientAccountId"], UUID.fullmatch(record["sharedEventID"]) is None) == (ACCOUNT, False)
        assert "tlsDetails" not in record
    assert by_cloudtrail(trail, "PutObject", second.bucket)[0]["requestParameters"]["x-amz-acl"] == (
        "bucket-owner-full-control"
    )
    assert not cloudtrails_calls(trail, "PutObject", trail.bucket)


def by_cloudtrail(trail: TrailLog, event: str, bucket: str) -> list[Any]:
    """CloudTrail's own calls on one bucket; the server is shared with other tests, and with their trails. Waits for one."""

    def look() -> list[Any]:
        trail.refresh()
        return cloudtrails_calls(trail, event, bucket)

    return list(until(look))


def cloudtrails_calls(trail: TrailLog, event: str, bucket: str) -> list[Any]:
    """Those that are delivered."""
    found = [record for record in trail.records if record["eventName"] == event]
    found = [record for record in found if record["sourceIPAddress"] == "cloudtrail.amazonaws.com"]
    return [record for record in found if record["requestParameters"]["bucketName"] == bucket]


def test_another_account(server: ServerProcess, s3: Any, trail: TrailLog, place: str) -> None:
    """The owner's copy of what another account did tells the account and nothing more of the caller."""
    other = (OTHER_KEY, OTHER_SECRET)
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"},
            "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{place}", f"arn:aws:s3:::{place}/*"],
        },
    }
    s3.put_bucket_policy(Bucket=place, Policy=json.dumps(policy))
    record = put(server, trail, other, place)
    s3.delete_bucket_policy(Bucket=place)
    assert record["userIdentity"] == {"type": "AWSAccount", "principalId": OTHER_ACCOUNT, "accountId": OTHER_ACCOUNT}
    assert (record["recipientAccountId"], record["requestParameters"]["key"]) == (ACCOUNT, "who")
    assert UUID.fullmatch(record["sharedEventID"])


REFUSED: list[tuple[str, Callable[[Any, str], Any]]] = [
    ("GetObject", lambda s3, bucket: s3.get_object(Bucket=bucket, Key="absent")),
    ("GetBucketTagging", lambda s3, bucket: s3.get_bucket_tagging(Bucket=bucket)),
    ("GetBucketWebsite", lambda s3, bucket: s3.get_bucket_website(Bucket=bucket)),
    ("DeleteBucket", lambda s3, bucket: s3.delete_bucket(Bucket=bucket + "-absent")),
]


@pytest.mark.parametrize(("event", "call"), REFUSED, ids=[name for name, _ in REFUSED])
def test_a_failed_call(s3: Any, trail: TrailLog, place: str, event: str, call: Callable[[Any, str], Any]) -> None:
    with pytest.raises(ClientError) as error:
        call(s3, place)
    record = trail.of(error.value.response)
    assert record["errorCode"] == error.value.response["Error"]["Code"]
    assert record["errorMessage"]
    assert (record["eventName"], record["responseElements"]) == (event, None)
