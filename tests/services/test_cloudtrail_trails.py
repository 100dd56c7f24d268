"""Trails: made, changed, shown and removed, with the errors that AWS gives."""

from __future__ import annotations

import pytest

from opentrail.errors import AwsError
from tests.followers.trail_house import ACCOUNT, BUCKET, invoke, logging_trail, refused, trail_house

ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"


def made(name: str = "main", **given) -> dict:
    return {"Name": name, "S3BucketName": BUCKET} | given


async def test_a_new_trail_has_the_documented_defaults_and_does_not_log():
    house = trail_house()
    assert await invoke(house, "CreateTrail", made()) == {
        "Name": "main",
        "S3BucketName": BUCKET,
        "IncludeGlobalServiceEvents": True,
        "IsMultiRegionTrail": False,
        "TrailARN": ARN,
        "LogFileValidationEnabled": False,
        "IsOrganizationTrail": False,
        "RecursiveLogging": False,
    }
    shown = (await invoke(house, "GetTrail", {"Name": ARN}))["Trail"]
    assert shown["HomeRegion"] == "us-east-1"
    assert shown["HasCustomEventSelectors"] is False
    status = await invoke(house, "GetTrailStatus", {"Name": "main"})
    assert status["IsLogging"] is False
    assert status["TimeLoggingStarted"] == ""
    assert "StartLoggingTime" not in status


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ab", "Trail name too short. Minimum allowed length: 3 characters. Specified name length: 2 characters."),
        (
            "a" * 129,
            "Trail name too long. Maximum allowed length: 128 characters. Specified name length: 129 characters.",
        ),
        ("-abc", "Trail name must starts with a letter or number."),
        ("abc.", "Trail name must ends with a letter or number."),
        ("a/b c", "Trail name or ARN can only contain uppercase letters"),
        ("tra\u00efl", "Trail name or ARN can only contain uppercase letters"),
        ("a._b", "Trail name must not have adjacent"),
        ("192.168.5.4", "Trail name must not be formatted as an IP address."),
        ("", "Trail name too short."),
        ("a\0b\ud800", "Trail name or ARN can only contain"),
    ],
)
async def test_names_are_checked(name, message):
    with pytest.raises(AwsError) as caught:
        await invoke(trail_house(), "CreateTrail", made(name))
    assert caught.value.code == "InvalidTrailNameException"
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"S3BucketName": "UPPER"}, "InvalidS3BucketNameException"),
        ({"S3BucketName": "a..b"}, "InvalidS3BucketNameException"),
        ({"S3BucketName": "10.0.0.1"}, "InvalidS3BucketNameException"),
        ({"S3KeyPrefix": "p" * 201}, "InvalidS3PrefixException"),
        ({"S3KeyPrefix": "p\0"}, "InvalidS3PrefixException"),
        ({"SnsTopicName": "topic.fifo"}, "InvalidSnsTopicNameException"),
        ({"SnsTopicName": "t" * 257}, "InvalidSnsTopicNameException"),
        ({"KmsKeyId": "no key"}, "InvalidKmsKeyIdException"),
        ({"KmsKeyId": "alias/mine"}, "KmsKeyNotFoundException"),
        ({"CloudWatchLogsRoleArn": "arn:x"}, "InvalidCloudWatchLogsLogGroupArnException"),
        ({"CloudWatchLogsLogGroupArn": "arn:x"}, "InvalidCloudWatchLogsRoleArnException"),
        (
            {"CloudWatchLogsLogGroupArn": "arn:x", "CloudWatchLogsRoleArn": "arn:y"},
            "InvalidCloudWatchLogsLogGroupArnException",
        ),
        ({"IsOrganizationTrail": True}, "OrganizationsNotInUseException"),
        ({"IsMultiRegionTrail": True, "IncludeGlobalServiceEvents": False}, "InvalidParameterCombinationException"),
        ({"TagsList": [{"Key": "k"}, {"Key": "k"}]}, "InvalidTagParameterException"),
        ({"TagsList": [{"Key": "aws:k"}]}, "InvalidTagParameterException"),
        ({"TagsList": [{"Key": f"k{n}"} for n in range(51)]}, "TagsLimitExceededException"),
    ],
)
async def test_what_a_trail_is_made_of_is_checked_and_nothing_is_kept(given, code):
    house = trail_house()
    assert await refused(house, "CreateTrail", made() | given) == code
    assert (await invoke(house, "ListTrails"))["Trails"] == []


async def test_the_bucket_is_tried_as_cloudtrail():
    house = trail_house()
    await invoke(house, "CreateTrail", made(S3KeyPrefix="/a/b/", EnableLogFileValidation=True))
    calls = [(name, given.get("Key"), given.get("ACL")) for _, _, name, given in house.road.calls]
    folder = f"a/b/AWSLogs/{ACCOUNT}"
    assert calls == [
        ("GetBucketAcl", None, None),
        ("PutObject", f"{folder}/CloudTrail/", "bucket-owner-full-control"),
        ("PutObject", f"{folder}/CloudTrail-Digest/", "bucket-owner-full-control"),
    ]
    principal = house.road.calls[0][0]
    assert (principal.type, principal.account_id, principal.arn) == ("AWSService", ACCOUNT, "")
    assert (principal.source_arn, principal.source_account) == (ARN, ACCOUNT)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("NoSuchBucket", "S3BucketDoesNotExistException", f"S3 bucket {BUCKET} does not exist!"),
        (
            "AccessDenied",
            "InsufficientS3BucketPolicyException",
            f"Incorrect S3 bucket policy is detected for bucket: {BUCKET}",
        ),
    ],
)
async def test_a_bucket_that_cannot_be_written_is_refused(error, code, message):
    house = trail_house()
    house.road.refuse[BUCKET] = AwsError(error, status=403)
    with pytest.raises(AwsError) as caught:
        await invoke(house, "CreateTrail", made())
    assert (caught.value.code, caught.value.message) == (code, message)


async def test_a_region_holds_five_trails_shadows_included():
    house = trail_house()
    await invoke(house, "CreateTrail", made("multi", IsMultiRegionTrail=True), region="eu-west-1")
    for n in range(4):
        await invoke(house, "CreateTrail", made(f"trail{n}"))
    assert await refused(house, "CreateTrail", made("sixth")) == "MaximumNumberOfTrailsExceededException"
    await invoke(house, "CreateTrail", made("other"), region="eu-west-1")
    code = await refused(house, "UpdateTrail", {"Name": "other", "IsMultiRegionTrail": True}, region="eu-west-1")
    assert code == "MaximumNumberOfTrailsExceededException"
    await invoke(house, "CreateTrail", made("mine"), account="999999999999")
    assert await refused(house, "CreateTrail", made("trail1")) == "TrailAlreadyExistsException"


async def test_trails_are_found_by_name_at_home_and_by_arn_where_they_are_seen():
    house = trail_house()
    await invoke(house, "CreateTrail", made(IsMultiRegionTrail=True))
    await invoke(house, "CreateTrail", made("local"))
    away = {"region": "eu-west-1"}
    assert (await invoke(house, "GetTrail", {"Name": ARN}, **away))["Trail"]["Name"] == "main"
    assert await refused(house, "GetTrail", {"Name": "main"}, **away) == "TrailNotFoundException"
    assert await refused(house, "GetTrail", {"Name": ARN.replace("main", "local")}, **away) == "TrailNotFoundException"
    assert await refused(house, "GetTrail", {"Name": "arn:aws:s3:::x"}) == "CloudTrailARNInvalidException"
    with pytest.raises(AwsError, match="Unknown trail: " + ARN + " for the user: 999999999999"):
        await invoke(house, "GetTrail", {"Name": ARN}, account="999999999999")


async def test_describing_shows_shadows_unless_asked_not_to():
    house = trail_house()
    await invoke(house, "CreateTrail", made(IsMultiRegionTrail=True))
    await invoke(house, "CreateTrail", made("local"))
    await invoke(house, "CreateTrail", made("away"), region="eu-west-1")

    async def described(given: dict, region: str = "us-east-1") -> list[str]:
        return [each["Name"] for each in (await invoke(house, "DescribeTrails", given, region=region))["trailList"]]

    assert await described({}) == ["local", "main"]
    assert await described({}, "eu-west-1") == ["away", "main"]
    assert await described({"includeShadowTrails": False}, "eu-west-1") == ["away"]
    assert await described({"trailNameList": ["local", "unknown"]}) == ["local"]
    assert await described({"trailNameList": [ARN]}, "eu-west-1") == ["main"]
    assert await refused(house, "DescribeTrails", {"trailNameList": ["x"]}) == "InvalidTrailNameException"
    listed = (await invoke(house, "ListTrails", region="ap-south-1"))["Trails"]
    assert [(each["Name"], each["HomeRegion"]) for each in listed] == [
        ("away", "eu-west-1"), ("local", "us-east-1"), ("main", "us-east-1"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["UpdateTrail", "DeleteTrail", "StartLogging", "StopLogging"])
async def test_a_trail_is_changed_only_at_home(name):
    house = trail_house()
    await invoke(house, "CreateTrail", made(IsMultiRegionTrail=True))
    for given in ("main", ARN):
        assert await refused(house, name, {"Name": given}, region="eu-west-1") == "InvalidHomeRegionException"
    assert await refused(house, name, {"Name": "nobody"}) == "TrailNotFoundException"


async def test_updating_changes_what_is_given_and_checks_a_new_bucket():
    house = trail_house()
    await invoke(house, "CreateTrail", made(S3KeyPrefix="p", SnsTopicName="news"))
    answer = await invoke(house, "UpdateTrail", {"Name": "main", "IsMultiRegionTrail": True, "SnsTopicName": ""})
    assert answer["S3KeyPrefix"] == "p"
    assert answer["IsMultiRegionTrail"] is True
    assert "SnsTopicARN" not in answer
    answer = await invoke(house, "UpdateTrail", {"Name": "main", "IsMultiRegionTrail": False})
    assert answer["IncludeGlobalServiceEvents"] is False
    house.road.refuse["nowhere"] = AwsError("NoSuchBucket", status=404)
    code = await refused(house, "UpdateTrail", {"Name": "main", "S3BucketName": "nowhere"})
    assert code == "S3BucketDoesNotExistException"
    assert (await invoke(house, "GetTrail", {"Name": "main"}))["Trail"]["S3BucketName"] == BUCKET


async def test_a_deleted_trails_name_is_free_again():
    house = trail_house()
    await logging_trail(house)
    await invoke(house, "DeleteTrail", {"Name": "main"})
    assert await refused(house, "GetTrailStatus", {"Name": "main"}) == "TrailNotFoundException"
    await invoke(house, "CreateTrail", made())
    assert (await invoke(house, "GetTrailStatus", {"Name": "main"}))["IsLogging"] is False


async def test_tags_are_added_replaced_and_taken_off():
    house = trail_house()
    await invoke(house, "CreateTrail", made(TagsList=[{"Key": "a", "Value": "1"}, {"Key": "b"}]))
    await invoke(house, "AddTags", {"ResourceId": ARN, "TagsList": [{"Key": "a", "Value": "2"}, {"Key": "c"}]})
    await invoke(house, "RemoveTags", {"ResourceId": ARN, "TagsList": [{"Key": "b"}, {"Key": "unknown"}]})
    [listed] = (await invoke(house, "ListTags", {"ResourceIdList": [ARN]}))["ResourceTagList"]
    assert listed == {"ResourceId": ARN, "TagsList": [{"Key": "a", "Value": "2"}, {"Key": "c", "Value": ""}]}
    many = [{"Key": f"k{n}"} for n in range(49)]
    assert await refused(house, "AddTags", {"ResourceId": ARN, "TagsList": many}) == "TagsLimitExceededException"


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        ("main", "CloudTrailARNInvalidException"),
        (ARN + "x", "ResourceNotFoundException"),
        (f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:eventdatastore/x", "EventDataStoreNotFoundException"),
    ],
)
async def test_tags_need_the_arn_of_a_trail(arn, code):
    house = trail_house()
    await invoke(house, "CreateTrail", made())
    assert await refused(house, "AddTags", {"ResourceId": arn, "TagsList": []}) == code
    assert await refused(house, "ListTags", {"ResourceIdList": [arn]}) == code
