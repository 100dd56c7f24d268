"""The words of a record, of this house's own records and of older and odder ones."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from opentrail.record.history_head import head_of
from opentrail.record.history_words import Unplaceable, attribute_word, category_of, found_by, place_word

DATA = os.environ.get("OPENTRAIL_REFERENCE_DATA", "")
OLD = {
    "eventVersion": "1.01",
    "userIdentity": {"type": "IAMUser", "accountId": "111122223333", "arn": "arn:x", "userName": "ann"},
    "eventTime": "2014-03-06T21:22:54Z",
    "eventSource": "s3.amazonaws.com",
    "eventName": "GetObject",
    "awsRegion": "us-east-1",
    "sourceIPAddress": "192.0.2.7",
    "errorCode": "AccessDenied",
    "requestParameters": {"bucketName": "logs", "key": "a/b", "host": ["logs.s3.amazonaws.com"]},
}


def test_an_old_record_is_found_by_all_it_tells():
    found = found_by(head_of(OLD))
    assert (found.time, found.account_id, found.region, found.category) == (
        1394140974,
        "111122223333",
        "us-east-1",
        "D",
    )
    assert found.words == (
        "cD", "a111122223333", "gus-east-1", "nGetObject", "ss3.amazonaws.com", "ofalse", "uann", "parn:x", "i192.0.2.7",
        "eAccessDenied", "E", "blogs",
    )  # fmt: skip
    assert found.ids == ("ka/b", "rlogs")


def test_management_events_have_the_words_of_lookup_events_too():
    found = found_by(
        head_of(OLD | {"eventName": "CreateBucket", "requestParameters": {"bucketName": "logs"}, "eventID": "i-1"})
    )
    place = ("111122223333", "us-east-1", "M")
    assert place_word(*place) in found.words
    for key, value in [("EventName", "CreateBucket"), ("Username", "ann"), ("ReadOnly", "false"),
                       ("ResourceName", "logs"), ("ResourceType", "AWS::S3::Bucket")]:  # fmt: skip
        assert attribute_word(*place, key, value) in found.words
    assert found.ids == ("di-1", "rlogs")
    assert not any(word.startswith("L") for word in found_by(head_of(OLD)).words)


@pytest.mark.parametrize(
    ("told", "category"),
    [
        ({"eventCategory": "Insight"}, "I"),
        ({"eventCategory": "NetworkActivity", "managementEvent": False}, "X"),
        ({"eventCategory": "new", "managementEvent": True}, "M"),
        ({"managementEvent": False}, "D"),
        ({"eventType": "AwsCloudTrailInsight"}, "I"),
        ({"eventSource": "s3.amazonaws.com", "eventName": "ListObjects"}, "D"),
        ({"eventSource": "s3.amazonaws.com", "eventName": "ListBuckets"}, "M"),
        ({"eventSource": "lambda.amazonaws.com", "eventName": "Invoke"}, "D"),
        ({}, "M"),
        ({"eventCategory": 7, "managementEvent": "?", "requestParameters": 3}, "M"),
    ],
)
def test_the_category_is_told_or_worked_out(told, category):
    assert category_of(head_of(told)) == category


@pytest.mark.parametrize("time", [None, "", "noon", "1969-12-31T23:59:59Z", "2999-01-01T00:00:00Z", 12])
def test_a_record_without_a_time_has_no_place(time):
    with pytest.raises(Unplaceable):
        found_by(head_of(OLD | {"eventTime": time}))


def test_times_without_a_zone_are_utc():
    assert found_by(head_of(OLD | {"eventTime": "2014-03-06T21:22:54"})).time == found_by(head_of(OLD)).time


def test_logstash_moves_the_time():
    moved = {name: value for name, value in OLD.items() if name != "eventTime"} | {
        "@timestamp": "2014-03-06T21:22:54.000Z"
    }
    assert found_by(head_of(moved)).time == found_by(head_of(OLD)).time


def test_members_of_odd_types_are_passed_over():
    odd = {"eventTime": "2014-03-06T21:22:54Z", "userIdentity": [], "resources": {"a": 1}, "requestParameters": "x"}
    assert found_by(head_of(odd | {"errorCode": 5, "eventName": None})).category == "M"


@pytest.mark.skipif(not DATA, reason="OPENTRAIL_REFERENCE_DATA names no directory")
def test_every_real_record_has_a_place():
    seen = 0
    for path in Path(DATA, "cloudtrail").glob("*.json.gz"):
        for record in json.loads(gzip.decompress(path.read_bytes()))["Records"]:
            if str(record.get("eventTime") or record.get("@timestamp")).startswith("20"):
                assert len(found_by(head_of(record)).words) > 5
                seen += 1
    assert seen > 3_000
