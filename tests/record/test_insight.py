"""What counts, what is unusual, and the record that says so."""

from __future__ import annotations

import json

import pytest

from opentrail.record.insight import CALL_RATE, ERROR_RATE, Moment, Subject, insight_record, is_unusual, subjects


@pytest.mark.parametrize(
    ("read_only", "error", "types"),
    [
        (False, "", [CALL_RATE]),
        (True, "", []),
        (False, "AccessDenied", [CALL_RATE, ERROR_RATE]),
        (True, "AccessDenied", [ERROR_RATE]),
    ],
)
def test_writes_count_for_calls_and_failures_for_errors(read_only, error, types):
    found = subjects("Management", "ec2.amazonaws.com", "RunInstances", read_only, error)
    assert [subject.type for subject in found] == types
    assert Subject(*found[-1].key.split("|")) == found[-1] if found else True


@pytest.mark.parametrize(
    ("calls", "average", "verdict"),
    [
        (4, 0.0, False),
        (5, 0.0, True),
        (5, 0.5, True),
        (5, 1.0, False),
        (15, 5.0, False),
        (19, 5.0, True),
        (1_190, 1_000.0, False),
        (3_001, 1_000.0, True),
    ],
)
def test_unusual_is_many_times_and_many_deviations_more(calls, average, verdict):
    assert is_unusual(calls, average) is verdict


def test_the_record_has_the_members_of_the_guide_in_their_order():
    subject = Subject(ERROR_RATE, "Management", "iam.amazonaws.com", "CreateUser", "AccessDenied")
    before = {"userIdentityArn": {f"arn:aws:iam::1:user/{n}": n for n in range(1, 8)}, "errorCode": {"": 9}}
    during = {"userAgent": {"aws-cli": 30}, "errorCode": {"AccessDenied": 30}}
    moment = Moment("End", 29_833_333, "123456789012", "eu-west-1", "id", "shared", 0.01, 10_080, 10, 3, before, during)
    record = json.loads(insight_record(subject, moment))
    assert list(record) == [
        "eventVersion",
        "eventTime",
        "awsRegion",
        "eventID",
        "eventType",
        "recipientAccountId",
        "sharedEventID",
        "insightDetails",
        "eventCategory",
    ]
    assert (record["eventType"], record["eventCategory"]) == ("AwsCloudTrailInsight", "Insight")
    details = record["insightDetails"]
    assert list(details) == ["state", "eventSource", "eventName", "insightType", "errorCode", "insightContext"]
    assert details["insightContext"]["statistics"] == {
        "baseline": {"average": 0.01},
        "insight": {"average": 10},
        "insightDuration": 3,
        "baselineDuration": 10_080,
    }
    arns, agents, codes = details["insightContext"]["attributions"]
    assert [len(arns["insight"]), len(arns["baseline"])] == [0, 5]
    assert arns["baseline"][0]["value"] == "arn:aws:iam::1:user/7"
    assert agents["insight"] == [{"value": "aws-cli", "average": 10}]
    assert codes["baseline"][0]["value"] == "null"
