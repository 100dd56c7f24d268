"""The rules that CloudTrail keeps when trails are made and changed: in which order it checks, and what fits together."""

from __future__ import annotations

import pytest

from opentrail.errors import AwsError
from opentrail.record.record_head import read_record
from opentrail.rows.timelines import Timelines
from tests.followers.trail_house import ACCOUNT, BUCKET, invoke, record, refused, trail_house

ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"


def made(name: str = "main", **given) -> dict:
    return {"Name": name, "S3BucketName": BUCKET} | given


async def test_the_checks_come_in_awss_order():
    """Name, bucket there, topic's name, key, bucket's policy, topic's policy (cloudtrail.md, section 7.3)."""
    house = trail_house()
    wrong = {"SnsTopicName": "topic.fifo", "KmsKeyId": "no key"}
    house.road.refuse[BUCKET] = AwsError("NoSuchBucket", status=404)
    assert await refused(house, "CreateTrail", made("x", **wrong)) == "InvalidTrailNameException"
    assert await refused(house, "CreateTrail", made(**wrong)) == "S3BucketDoesNotExistException"
    house.road.refuse[BUCKET] = AwsError("AccessDenied", status=403)
    assert await refused(house, "CreateTrail", made(**wrong)) == "InvalidSnsTopicNameException"
    assert await refused(house, "CreateTrail", made(KmsKeyId="no key")) == "InvalidKmsKeyIdException"
    assert await refused(house, "CreateTrail", made(SnsTopicName="topic")) == "InsufficientS3BucketPolicyException"


async def test_both_permissions_are_tried_whatever_the_first_says():
    house = trail_house()
    house.road.refuse[BUCKET] = AwsError("AccessDenied", status=403)
    await refused(house, "CreateTrail", made(EnableLogFileValidation=True))
    assert [name for _, _, name, _ in house.road.calls] == ["GetBucketAcl", "PutObject", "PutObject"]


async def test_a_name_stands_once_in_each_region_shadows_included():
    house = trail_house()
    await invoke(house, "CreateTrail", made(IsMultiRegionTrail=True))
    west = {"region": "eu-west-1"}
    assert await refused(house, "CreateTrail", made(), **west) == "TrailAlreadyExistsException"
    await invoke(house, "CreateTrail", made("local"), **west)
    assert await refused(house, "CreateTrail", made("local", IsMultiRegionTrail=True)) == "TrailAlreadyExistsException"
    await invoke(house, "CreateTrail", made("local"))
    code = await refused(house, "UpdateTrail", {"Name": "local", "IsMultiRegionTrail": True})
    assert code == "TrailAlreadyExistsException"
    await invoke(house, "CreateTrail", made(), account="999999999999", **west)


@pytest.mark.parametrize(
    ("before", "given", "multi", "global_events"),
    [
        ({}, {}, False, True),
        ({"IncludeGlobalServiceEvents": False}, {}, False, False),
        ({}, {"IsMultiRegionTrail": True}, True, True),
        ({"IncludeGlobalServiceEvents": False}, {"IsMultiRegionTrail": True}, True, True),
        ({"IsMultiRegionTrail": True}, {"IsMultiRegionTrail": False}, False, False),
        ({"IsMultiRegionTrail": True}, {"IsMultiRegionTrail": False, "IncludeGlobalServiceEvents": True}, False, True),
        ({"IsMultiRegionTrail": True}, {"EnableLogFileValidation": True}, True, True),
    ],
)
async def test_reach_and_global_events_go_together(before, given, multi, global_events):
    house = trail_house()
    await invoke(house, "CreateTrail", made(**before))
    answer = await invoke(house, "UpdateTrail", {"Name": "main"} | given)
    assert (answer["IsMultiRegionTrail"], answer["IncludeGlobalServiceEvents"]) == (multi, global_events)


@pytest.mark.parametrize(
    ("before", "given"),
    [
        ({"IsMultiRegionTrail": True}, {"IncludeGlobalServiceEvents": False}),
        ({}, {"IsMultiRegionTrail": True, "IncludeGlobalServiceEvents": False}),
    ],
)
async def test_a_multi_region_trail_has_the_global_events(before, given):
    house = trail_house()
    await invoke(house, "CreateTrail", made(**before))
    with pytest.raises(AwsError, match=r"Multi-Region trail must include global service events\.") as caught:
        await invoke(house, "UpdateTrail", {"Name": "main"} | given)
    assert caught.value.code == "InvalidParameterCombinationException"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("eventdatastore/x", "EventDataStoreNotFoundException"),
        ("channel/x", "ChannelNotFoundException"),
        ("dashboard/x", "ResourceNotFoundException"),
        ("trail/other", "ResourceNotFoundException"),
        ("table/x", "CloudTrailARNInvalidException"),
    ],
)
async def test_tags_of_what_is_not_there(kind, code):
    house = trail_house()
    arn = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:{kind}"
    assert await refused(house, "AddTags", {"ResourceId": arn, "TagsList": [{"Key": "a"}]}) == code
    assert await refused(house, "ListTags", {"ResourceIdList": [arn]}) == code


@pytest.mark.parametrize("name", ["PutResourcePolicy", "GetResourcePolicy", "DeleteResourcePolicy"])
@pytest.mark.parametrize(
    ("arn", "code"),
    [
        (ARN, "ResourceTypeNotSupportedException"),
        (ARN.replace("trail/main", "channel/x"), "ResourceNotFoundException"),
        (ARN.replace("trail/main", "eventdatastore/x"), "ResourceNotFoundException"),
        ("arn:aws:s3:::x", "ResourceARNNotValidException"),
    ],
)
async def test_a_trail_has_no_resource_policy(name, arn, code):
    house = trail_house()
    await invoke(house, "CreateTrail", made())
    assert await refused(house, name, {"ResourceArn": arn, "ResourcePolicy": "{}"}) == code


async def test_a_multi_region_trail_covers_the_regions_of_its_partition():
    house = trail_house()
    china = {"region": "cn-north-1"}
    await invoke(house, "CreateTrail", made(IsMultiRegionTrail=True))
    answer = await invoke(house, "CreateTrail", made(IsMultiRegionTrail=True), **china)
    assert answer["TrailARN"] == f"arn:aws-cn:cloudtrail:cn-north-1:{ACCOUNT}:trail/main"
    for where, arn in ((china, answer["TrailARN"]), ({"region": "eu-west-1"}, ARN)):
        shown = (await invoke(house, "DescribeTrails", **where))["trailList"]
        assert [each["TrailARN"] for each in shown] == [arn]
        await invoke(house, "StartLogging", {"Name": arn}, region=arn.split(":")[3])
    timelines = Timelines(house.ledger)
    timelines.refresh()
    seq = house.ledger.head() + 1
    logged = [
        [each.newest.home_region for each in timelines.logging(read_record(record("Put", awsRegion=region)), seq)]
        for region in ("eu-west-1", "cn-northwest-1", "us-gov-west-1")
    ]
    assert logged == [["us-east-1"], ["cn-north-1"], []]
