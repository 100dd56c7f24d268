"""Trails by boto3, and their files as the AWS CLI validates them."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ACCOUNT, REGION, ServerProcess
from tests.clients.trail_log import TrailLog, is_sealed, log_bucket_policy, new_trail
from tests.clients.waiting import until


def test_the_life_of_a_trail(s3: Any, cloudtrail: Any, name: str) -> None:
    bucket = f"logs-{name}"
    arn = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{name}"
    with pytest.raises(cloudtrail.exceptions.S3BucketDoesNotExistException):
        cloudtrail.create_trail(Name=name, S3BucketName=bucket)
    s3.create_bucket(Bucket=bucket)
    with pytest.raises(cloudtrail.exceptions.InsufficientS3BucketPolicyException):
        cloudtrail.create_trail(Name=name, S3BucketName=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=log_bucket_policy(bucket, ACCOUNT))
    made = cloudtrail.create_trail(Name=name, S3BucketName=bucket, TagsList=[{"Key": "a", "Value": "b"}])
    assert (made["TrailARN"], made["IsMultiRegionTrail"], made["LogFileValidationEnabled"]) == (arn, False, False)
    with pytest.raises(cloudtrail.exceptions.TrailAlreadyExistsException):
        cloudtrail.create_trail(Name=name, S3BucketName=bucket)
    assert cloudtrail.get_trail_status(Name=name)["IsLogging"] is False
    cloudtrail.start_logging(Name=arn)
    assert cloudtrail.get_trail_status(Name=name)["IsLogging"] is True
    updated = cloudtrail.update_trail(Name=name, IsMultiRegionTrail=True, EnableLogFileValidation=True)
    assert (updated["IsMultiRegionTrail"], updated["LogFileValidationEnabled"]) == (True, True)
    trail = cloudtrail.get_trail(Name=name)["Trail"]
    assert (trail["HomeRegion"], trail["S3BucketName"], trail["HasCustomEventSelectors"]) == (REGION, bucket, False)
    assert name in [each["Name"] for each in cloudtrail.list_trails()["Trails"]]
    assert [each["TrailARN"] for each in cloudtrail.describe_trails(trailNameList=[name])["trailList"]] == [arn]
    selector = {
        "ReadWriteType": "WriteOnly",
        "IncludeManagementEvents": False,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{bucket}/x"]}],
    }
    cloudtrail.put_event_selectors(TrailName=name, EventSelectors=[selector])
    kept = cloudtrail.get_event_selectors(TrailName=name)["EventSelectors"]
    assert {key: kept[0][key] for key in selector} == selector
    cloudtrail.add_tags(ResourceId=arn, TagsList=[{"Key": "c", "Value": "d"}])
    cloudtrail.remove_tags(ResourceId=arn, TagsList=[{"Key": "a"}])
    tags = cloudtrail.list_tags(ResourceIdList=[arn])["ResourceTagList"]
    assert tags == [{"ResourceId": arn, "TagsList": [{"Key": "c", "Value": "d"}]}]
    cloudtrail.stop_logging(Name=name)
    assert cloudtrail.get_trail_status(Name=name)["IsLogging"] is False
    cloudtrail.delete_trail(Name=name)
    with pytest.raises(cloudtrail.exceptions.TrailNotFoundException):
        cloudtrail.get_trail(Name=name)


@pytest.mark.parametrize("bad", ["ab", "-abc", "a..b", "192.168.0.1", "a" * 129, "a b c"])
def test_names_that_no_trail_may_have(cloudtrail: Any, bad: str) -> None:
    with pytest.raises(ClientError) as error:
        cloudtrail.create_trail(Name=bad, S3BucketName="any-bucket")
    assert error.value.response["Error"]["Code"] in ("InvalidTrailNameException", "ValidationException")


def test_selectors_choose(server: ServerProcess, s3: Any, cloudtrail: Any, name: str) -> None:
    """Only what the selectors name is delivered: writes below one prefix, and no management events."""
    trail = new_trail(s3, cloudtrail, name)
    source = f"source-{name}"
    s3.create_bucket(Bucket=source)
    selector = {
        "ReadWriteType": "WriteOnly",
        "IncludeManagementEvents": False,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{source}/in/"]}],
    }
    cloudtrail.put_event_selectors(TrailName=name, EventSelectors=[selector])
    s3.put_object(Bucket=source, Key="out/k", Body=b"x")
    s3.get_object(Bucket=source, Key="out/k")
    wanted = [s3.put_object(Bucket=source, Key=f"in/{number}", Body=b"x") for number in range(3)]
    s3.get_object(Bucket=source, Key="in/0")
    found = [trail.of(answer)["requestParameters"]["key"] for answer in wanted]
    assert found == ["in/0", "in/1", "in/2"]
    ours = [each for each in trail.records if (each["requestParameters"] or {}).get("bucketName") == source]
    assert [each["eventName"] for each in ours if each["eventCategory"] == "Data"] == ["PutObject"] * 3
    cloudtrail.delete_trail(Name=name)


def test_lookup_events(cloudtrail: Any, iam: Any, name: str) -> None:
    iam.create_user(UserName=name)
    iam.delete_user(UserName=name)

    def looked_up(key: str, value: str) -> list[dict[str, Any]]:
        return cloudtrail.lookup_events(LookupAttributes=[{"AttributeKey": key, "AttributeValue": value}])["Events"]

    events = until(lambda: len(found := looked_up("ResourceName", name)) == 2 and found)
    assert [each["EventName"] for each in events] == ["DeleteUser", "CreateUser"]
    newest = events[0]
    assert (newest["EventSource"], newest["Username"], newest["ReadOnly"]) == ("iam.amazonaws.com", "root", "false")
    record = json.loads(newest["CloudTrailEvent"])
    assert (record["eventID"], record["requestParameters"]) == (newest["EventId"], {"userName": name})
    assert looked_up("EventId", newest["EventId"]) == [newest]
    assert {each["EventName"] for each in looked_up("EventSource", "iam.amazonaws.com")} >= {"CreateUser", "DeleteUser"}
    pages = cloudtrail.get_paginator("lookup_events").paginate(PaginationConfig={"PageSize": 2, "MaxItems": 5})
    ids = [each["EventId"] for page in pages for each in page["Events"]]
    assert len(ids) == len(set(ids)) == 5
    with pytest.raises(cloudtrail.exceptions.InvalidMaxResultsException):
        cloudtrail.lookup_events(MaxResults=51)
    with pytest.raises(cloudtrail.exceptions.InvalidTimeRangeException):
        cloudtrail.lookup_events(StartTime=datetime.now(UTC), EndTime=datetime.now(UTC) - timedelta(hours=1))


class Validated:
    """A stopped trail of its own, whose files the test may spoil; what the AWS CLI says to them."""

    def __init__(self, server: ServerProcess, s3: Any, trail: TrailLog, start: str) -> None:
        self.server, self.s3, self.trail, self.start = server, s3, trail, start

    def say(self, status: int = 0) -> str:
        return self.server.aws(
            "cloudtrail", "validate-logs", "--trail-arn", self.trail.arn, "--start-time", self.start, "--verbose",
            status=status,
        )  # fmt: skip

    def get(self, key: str) -> dict[str, Any]:
        found = self.s3.get_object(Bucket=self.trail.bucket, Key=key)
        return {"Body": found["Body"].read(), "Metadata": found["Metadata"]}

    def put(self, key: str, what: dict[str, Any]) -> None:
        self.s3.put_object(
            Bucket=self.trail.bucket, Key=key, ContentType="application/json", ContentEncoding="gzip", **what
        )


@pytest.fixture(scope="module")
def validated(server: ServerProcess, s3: Any, cloudtrail: Any) -> Validated:
    start = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    trail = new_trail(s3, cloudtrail, "to-be-validated")
    until(lambda: len(trail.files()) >= 2 and len(trail.files("CloudTrail-Digest")) >= 2)
    cloudtrail.stop_logging(Name=trail.name)
    until(lambda: is_sealed(server.directory / "data", trail.name))
    assert "LatestDigestDeliveryTime" in cloudtrail.get_trail_status(Name=trail.name)
    texts = [
        gzip.decompress(s3.get_object(Bucket=trail.bucket, Key=key)["Body"].read())
        for key in trail.files("CloudTrail-Digest")
    ]
    told = [each["s3Object"] for text in texts for each in json.loads(text)["logFiles"]]
    assert sorted(told) == trail.files(), "every log file is named by a digest"
    return Validated(server, s3, trail, start)


def test_the_cli_accepts_what_was_delivered(validated: Validated) -> None:
    told = validated.say()
    logs, digests = validated.trail.files(), validated.trail.files("CloudTrail-Digest")
    assert f"{len(logs)}/{len(logs)} log files valid" in told
    assert f"{len(digests)}/{len(digests)} digest files valid" in told
    assert "INVALID" not in told


@pytest.mark.parametrize("what", ["altered", "removed", "exchanged", "digest"])
def test_the_cli_names_a_file_that_is_not_what_it_was(validated: Validated, what: str) -> None:
    first, second = validated.trail.files()[:2]
    digest = validated.trail.files("CloudTrail-Digest")[1]
    kept = {key: validated.get(key) for key in (first, second, digest)}
    if what == "altered":
        text = gzip.decompress(kept[first]["Body"]).replace(b"127.0.0.1", b"127.0.0.2", 1)
        validated.put(first, {"Body": gzip.compress(text)})
    elif what == "removed":
        validated.s3.delete_object(Bucket=validated.trail.bucket, Key=first)
    elif what == "exchanged":
        validated.put(first, kept[second])
    else:
        text = json.loads(gzip.decompress(kept[digest]["Body"]))
        text["logFiles"] = []
        validated.put(digest, {**kept[digest], "Body": gzip.compress(json.dumps(text).encode())})
    try:
        told = validated.say(status=1)
    finally:
        for key, body in kept.items():
            validated.put(key, body)
    kind, key = ("Digest", digest) if what == "digest" else ("Log", first)
    reason = {"removed": "not found", "digest": "signature verification failed"}.get(what, "hash value doesn't match")
    complaints = [line for line in told.splitlines() if "INVALID" in line and line.startswith(kind)]
    assert [line for line in complaints if key in line and reason in line], told
    assert "INVALID" not in validated.say()


def test_public_keys(cloudtrail: Any, validated: Validated) -> None:
    assert validated.trail.name
    [key, *_] = cloudtrail.list_public_keys(
        StartTime=datetime.now(UTC) - timedelta(hours=1), EndTime=datetime.now(UTC)
    )["PublicKeyList"]
    assert set(key) == {"Value", "ValidityStartTime", "ValidityEndTime", "Fingerprint"}


def test_a_trail_that_cannot_deliver_says_so(s3: Any, cloudtrail: Any, name: str) -> None:
    trail = new_trail(s3, cloudtrail, name)
    s3.delete_bucket_policy(Bucket=trail.bucket)
    s3.put_bucket_tagging(Bucket=trail.bucket, Tagging={"TagSet": []})
    error = until(lambda: cloudtrail.get_trail_status(Name=name).get("LatestDeliveryError"))
    assert error == "AccessDenied"
    s3.put_bucket_policy(Bucket=trail.bucket, Policy=log_bucket_policy(trail.bucket, ACCOUNT))
    until(lambda: not cloudtrail.get_trail_status(Name=name).get("LatestDeliveryError"))
    assert trail.find(eventName="DeleteBucketPolicy")[0]["requestParameters"]["bucketName"] == trail.bucket
    cloudtrail.delete_trail(Name=name)
