"""The checker's own judge of what trails log: it has to agree with the one that delivers, on anything."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec

from opentrail.record.event_selectors import wanted_by
from opentrail.record.record_head import read_record
from opentrail.verify_trails import Trails, read_head

ACCOUNT = "111122223333"
ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/t"
BUCKETS, KEYS = ("logs", "data", "data-2"), ("", "a", "a/b", "z")
START = {
    "AWS::S3::Object": "arn:aws:s3:::",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:us-east-1:1:table/",
    "AWS::Lambda::Function": "arn:aws:lambda:us-east-1:1:function:",
}
KINDS = ("AWS::S3::Object", *START)
FIELDS = ("eventName", "eventSource", "readOnly", "eventType", "userIdentity.arn", "sessionCredentialFromConsole")
VALUES = {
    "eventName": ("PutObject", "GetObject", "CreateUser", "Get", "Object"),
    "eventSource": ("s3.amazonaws.com", "iam.amazonaws.com", "kms.amazonaws.com", "s3"),
    "readOnly": ("true", "false"),
    "eventType": ("AwsApiCall", "AwsServiceEvent"),
    "userIdentity.arn": ("arn:aws:iam::1:user/a", "arn:aws:iam::1:user/b", "arn:aws:iam"),
    "sessionCredentialFromConsole": ("true", "false"),
}
Shape = dict[str, Any]


def made(rng: random.Random) -> Shape:
    """Some record."""
    bucket, key = rng.choice(BUCKETS), rng.choice(KEYS)
    kind = rng.choice(KINDS)
    entry = {"type": kind, rng.choice(("ARN", "ARNPrefix")): f"{START[kind]}{bucket}/{key}"}
    identity = rng.choice(({"type": "IAMUser", "arn": rng.choice(VALUES["userIdentity.arn"][:2])},
                           {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}))  # fmt: skip
    record: Shape = {
        "eventName": rng.choice(("PutObject", "GetObject", "CreateUser", "HeadBucket")),
        "eventSource": rng.choice(VALUES["eventSource"][:3]),
        "eventType": rng.choice(VALUES["eventType"]),
        "eventCategory": rng.choice(("Management", "Data", "Insight")),
        "awsRegion": rng.choice(("us-east-1", "eu-west-1")),
        "recipientAccountId": ACCOUNT,
        "readOnly": rng.choice((True, False)),
        "userIdentity": identity,
        "eventID": str(rng.random()),
        "resources": [{"type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{bucket}"}, *rng.choice(([entry], []))],
    }
    if rng.random() < 0.2:
        record["sessionCredentialFromConsole"] = "true"
    if rng.random() < 0.1:
        del record["readOnly"]
    return record


def basic(rng: random.Random) -> Shape:
    management = rng.random() < 0.6
    kind = rng.choice(KINDS)
    values = [f"{START[kind]}{rng.choice(BUCKETS)}/{rng.choice(KEYS)}" for _ in range(rng.randint(0, 2))]
    values += rng.choice(([], [":".join(START[kind].split(":")[:3])]))
    resources = [{"Type": kind, "Values": values}] if values else []
    return {
        "ReadWriteType": rng.choice(("All", "ReadOnly", "WriteOnly")),
        "IncludeManagementEvents": management or not resources,
        "DataResources": resources,
        "ExcludeManagementEventSources": ["kms.amazonaws.com"] if management and rng.random() < 0.3 else [],
    }


def advanced(rng: random.Random) -> Shape:
    category = rng.choice(("Management", "Data"))
    fields: list[Shape] = [{"Field": "eventCategory", "Equals": [category]}]
    if category == "Data":
        fields.append({"Field": "resources.type", "Equals": ["AWS::S3::Object"]})
        if rng.random() < 0.7:
            arns = [f"arn:aws:s3:::{rng.choice(BUCKETS)}/{rng.choice(KEYS)}"]
            fields.append({"Field": "resources.ARN", rng.choice(OPERATORS): arns})
    for name in rng.sample(FIELDS, rng.randint(0, 3)):
        operators = ["Equals"] if name == "readOnly" else rng.sample(OPERATORS, rng.randint(1, 2))
        fields.append({"Field": name} | {each: [rng.choice(VALUES[name])] for each in operators})
    return {"Name": "n", "FieldSelectors": fields}


OPERATORS = ("Equals", "NotEquals", "StartsWith", "NotStartsWith", "EndsWith", "NotEndsWith")


def camel(value: Any) -> Any:
    """A shape as records write it."""
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: camel(each) for name, each in value.items()}
    return [camel(each) for each in value] if isinstance(value, list) else value


def told(name: str, given: Shape, answer: Shape | None, **more: Any) -> bytes:
    """The record of one of CloudTrail's operations."""
    record = {
        "eventName": name, "eventSource": "cloudtrail.amazonaws.com", "eventCategory": "Management",
        "awsRegion": "us-east-1", "recipientAccountId": ACCOUNT, "readOnly": False, "userIdentity": {"type": "Root"},
        "requestParameters": given, "responseElements": answer,
    }  # fmt: skip
    return msgspec.json.encode(record | more)


def trail(**more: Any) -> Shape:
    return {
        "trailARN": ARN, "s3BucketName": "logs", "isMultiRegionTrail": True, "includeGlobalServiceEvents": True,
    } | more  # fmt: skip


def logging(trails: Trails, line: bytes) -> list[str]:
    return [each.arn for each in trails.see(read_head(line))]


def test_both_judges_agree_on_any_selectors_and_records():
    rng = random.Random(7)
    for _ in range(400):
        kind, draw = rng.choice((("EventSelectors", basic), ("AdvancedEventSelectors", advanced)))
        selectors = [draw(rng) for _ in range(rng.randint(1, 3))]
        wants = wanted_by(*((selectors, []) if draw is basic else ([], selectors)))
        trails = Trails()
        trails.see(read_head(told("CreateTrail", {"name": "t"}, trail(recursiveLogging=True))))
        answer = {"trailARN": ARN, kind[0].lower() + kind[1:]: camel(selectors)}
        trails.see(read_head(told("PutEventSelectors", {"trailName": "t"}, answer)))
        trails.see(read_head(told("StartLogging", {"name": "t"}, None)))
        for _ in range(25):
            line = msgspec.json.encode(made(rng))
            assert bool(logging(trails, line)) is wants(read_record(line)), (selectors, json.loads(line))


def test_a_change_counts_from_its_own_record_and_for_both_sides():
    trails = Trails()
    assert logging(trails, told("CreateTrail", {"name": "t"}, trail())) == []
    some = told("CreateUser", {}, None, eventSource="iam.amazonaws.com")
    assert logging(trails, some) == []
    assert logging(trails, told("StartLogging", {"name": "t"}, None, errorCode="AccessDenied")) == []
    assert logging(trails, some) == []
    assert logging(trails, told("StartLogging", {"name": ARN}, None)) == [ARN]
    assert logging(trails, some) == [ARN]
    assert logging(trails, told("StopLogging", {"name": "t"}, None)) == [ARN]
    assert logging(trails, some) == []
    assert logging(trails, told("DeleteTrail", {"name": "t"}, None)) == []


def test_regions_global_events_and_the_trails_own_deliveries():
    trails = Trails()
    trails.see(read_head(told("CreateTrail", {}, trail(isMultiRegionTrail=False, includeGlobalServiceEvents=False))))
    trails.see(read_head(told("StartLogging", {"name": "t"}, None)))
    there = told("CreateTopic", {}, None, awsRegion="eu-west-1", eventSource="sns.amazonaws.com")
    assert logging(trails, there) == []
    assert logging(trails, told("CreateUser", {}, None, eventSource="iam.amazonaws.com")) == []
    assert logging(trails, told("CreateTopic", {}, None, recipientAccountId="999999999999")) == []
    everything = {
        "trailARN": ARN,
        "eventSelectors": [{"dataResources": [{"type": "AWS::S3::Object", "values": ["arn"]}]}],
    }
    trails.see(read_head(told("PutEventSelectors", {}, everything)))
    identity = {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
    resources = [{"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::logs"}, {"type": "AWS::S3::Object", "ARN": "arn:x"}]
    own = told("PutObject", {}, None, eventCategory="Data", userIdentity=identity, resources=resources)
    assert logging(trails, own) == []
    group = "arn:aws:logs:us-east-1:111122223333:log-group:events"
    trails.see(read_head(told("UpdateTrail", {}, trail(cloudWatchLogsLogGroupArn=f"{group}:*"))))
    put = told(
        "PutLogEvents", {}, None, userIdentity=identity, resources=[{"type": "AWS::Logs::LogGroup", "ARN": group}]
    )
    assert logging(trails, put) == []
    trails.see(read_head(told("UpdateTrail", {}, trail(recursiveLogging=True))))
    assert logging(trails, own) == logging(trails, put) == [ARN]


def test_what_cannot_be_known_is_told():
    trails = Trails()
    trails.see(read_head(told("StartLogging", {"name": "t"}, None)))
    assert trails.unknown == {ARN}
    assert logging(trails, told("CreateTopic", {}, None)) == []
    trails = Trails()
    trails.see(read_head(told("CreateTrail", {}, {"omitted": True}, requestParameters={"name": "t"})))
    assert trails.unknown == {ARN}
    trails = Trails()
    trails.see(read_head(told("CreateTrail", {}, trail(isOrganizationTrail=True))))
    assert trails.unknown == {ARN}, "of which organization, no record tells"


def test_insight_events_belong_to_the_trails_that_want_their_type():
    trails = Trails()
    trails.see(read_head(told("CreateTrail", {}, trail())))
    trails.see(read_head(told("StartLogging", {"name": "t"}, None)))
    kinds = [{"insightType": "ApiErrorRateInsight"}]
    wanted = {"eventCategory": "Insight", "insightDetails": {"insightType": "ApiErrorRateInsight"}, "eventName": ""}
    other = wanted | {"insightDetails": {"insightType": "ApiCallRateInsight"}}
    assert logging(trails, told("x", {}, None, **wanted)) == []
    trails.see(read_head(told("PutInsightSelectors", {"trailName": "t"}, {"insightSelectors": kinds})))
    assert logging(trails, told("x", {}, None, **wanted)) == [ARN]
    assert logging(trails, told("x", {}, None, **other)) == []
