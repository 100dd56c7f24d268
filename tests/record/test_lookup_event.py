"""A record's attributes, as LookupEvents finds and shows it."""

from __future__ import annotations

import pytest

from opentrail.record.history_head import head_of
from opentrail.record.lookup_event import RESOURCES_MAX, attributes_of


def resources(**members) -> list[tuple[str, str]]:
    return list(attributes_of(head_of(members)).resources)


@pytest.mark.parametrize(
    ("identity", "username"),
    [
        ({"type": "IAMUser", "userName": "alice"}, "alice"),
        ({"type": "Root", "userName": "alias"}, "root"),
        ({"type": "AssumedRole", "principalId": "AROAEXAMPLE:session"}, "session"),
        ({"type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/deploy/by-arn"}, "by-arn"),
        ({"accountId": "1", "invokedBy": "kms.amazonaws.com"}, "kms.amazonaws.com"),
        ({"type": "FederatedUser", "principalId": "123456789012:bob"}, "bob"),
        ({"type": "AWSService", "invokedBy": "events.amazonaws.com"}, "events.amazonaws.com"),
        ({"type": "AWSAccount", "accountId": "anonymous", "principalId": ""}, ""),
        (None, ""),
        ("odd", ""),
    ],
)
def test_usernames(identity, username):
    assert attributes_of(head_of({"userIdentity": identity})).username == username


def test_a_bucket_is_listed_though_the_record_has_no_resources():
    named = {"bucketName": "b"}
    assert resources(eventSource="s3.amazonaws.com", eventName="CreateBucket", requestParameters=named) == [
        ("AWS::S3::Bucket", "b")
    ]
    accelerate = "GetAccelerateConfiguration"
    assert resources(eventSource="s3.amazonaws.com", eventName=accelerate, requestParameters=named) == []


def test_resources_of_the_record_come_first_and_once():
    found = resources(
        eventSource="s3.amazonaws.com",
        eventName="PutObject",
        requestParameters={"bucketName": "b", "key": "k"},
        resources=[
            {"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::b/k"},
            {"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::b"},
            {"type": "AWS::IAM::Role", "ARN": "arn:aws:iam::1:role/r"},
            {"type": "AWS::S3::Object", "ARNPrefix": "arn:aws:s3:::b/pre"},
        ],
    )
    assert found == [
        ("AWS::S3::Object", "b/k"),
        ("AWS::S3::Bucket", "b"),
        ("AWS::IAM::Role", "arn:aws:iam::1:role/r"),
        ("AWS::S3::Object", "b/pre"),
    ]


def test_odd_records_are_borne():
    odd = attributes_of(head_of({"resources": [None, 7, {"ARN": []}], "requestParameters": [1], "eventName": 5}))
    assert odd.resources == ()
    assert odd.event_name == ""
    many = [{"type": "T", "ARN": f"arn:{n}"} for n in range(1_000)]
    assert len(resources(resources=many)) == RESOURCES_MAX
