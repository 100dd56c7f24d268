"""Records of a trail in its log group: each once, whatever dies; asked for, refused, retried, and no feeding on itself."""

import asyncio
import json

import pytest

from opentrail.errors import AwsError
from opentrail.followers import trail_log_groups
from opentrail.ports import Line
from opentrail.rows.trail_log_groups import LOG_GROUP_CURSORS, LOG_GROUP_STATUS
from opentrail.state import Unit
from tests.fakes.mortal import Crash, Mortal
from tests.followers.log_group_world import ACCOUNT, GROUP, LOG_GROUP, REGION, ROLE, STREAM, World, policy


@pytest.fixture
async def world():
    return await World().set_up()


async def refused(world, operation="CreateTrail", **given):
    before = len(world.ledger.lines)
    with pytest.raises(AwsError) as caught:
        await world.call("cloudtrail", operation, **({"Name": "main", "S3BucketName": "trail-bucket"} | given))
    assert len(world.ledger.lines) > before  # it is recorded
    return caught.value.code, caught.value.message


async def test_each_record_is_one_event(world):
    await world.trail()
    await world.call("s3", "CreateBucket", Bucket="another")
    await world.follower.flush()
    found = await world.delivered()
    assert [each["eventName"] for each in found] == ["StartLogging", "CreateBucket", "AssumeRole"]
    line = next(line.data for line in world.ledger.lines if b'"CreateBucket"' in line.data and b"another" in line.data)
    page = await world.call("logs", "GetLogEvents", logGroupName="trails", logStreamName=STREAM)
    assert page["events"][1]["message"].encode() == line
    assert page["events"][0]["timestamp"] == pytest.approx(world.clock.now() * 1000, abs=120_000)
    shown = await world.call("cloudtrail", "GetTrail", Name="main")
    assert {name: shown["Trail"][name] for name in LOG_GROUP} == LOG_GROUP
    status = await world.call("cloudtrail", "GetTrailStatus", Name="main")
    assert status["LatestCloudWatchLogsDeliveryTime"] == pytest.approx(world.clock.now(), abs=120)
    assert "LatestCloudWatchLogsDeliveryError" not in status


async def test_what_the_delivery_leaves_behind(world):
    await world.trail()
    await world.follower.flush()
    for made in world.records("AssumeRole"):
        assert made["userIdentity"] == {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
        assert made["requestParameters"] == {
            "roleArn": ROLE,
            "roleSessionName": "CLOUDWATCH_LOGS_DELIVERY_SESSION",
        }
        assert made["sourceIPAddress"] == "cloudtrail.amazonaws.com"
    [stream] = world.records("CreateLogStream")
    assert stream["requestParameters"] == {"logGroupName": "trails", "logStreamName": STREAM}
    put, *_ = world.records("PutLogEvents")
    hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert put["requestParameters"] == {"logGroupName": "trails", "logStreamName": STREAM, "logEvents": hidden}
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/trail-logs/CLOUDWATCH_LOGS_DELIVERY_SESSION"
    assert (put["userIdentity"]["arn"], put["userIdentity"]["invokedBy"]) == (session, "cloudtrail.amazonaws.com")
    assert (put["eventCategory"], put["managementEvent"]) == ("Data", False)
    assert put["resources"] == [{"accountId": ACCOUNT, "type": "AWS::Logs::LogGroup", "ARN": GROUP.removesuffix(":*")}]


async def test_a_trail_does_not_feed_on_its_own_deliveries(world):
    await world.trail()
    selector = [
        {"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]},
        {
            "FieldSelectors": [
                {"Field": "eventCategory", "Equals": ["Data"]},
                {"Field": "resources.type", "Equals": ["AWS::Logs::LogGroup"]},
            ]
        },
    ]
    await world.call("cloudtrail", "PutEventSelectors", TrailName="main", AdvancedEventSelectors=selector)
    await world.call("logs", "CreateLogGroup", logGroupName="other")
    await world.call("logs", "CreateLogStream", logGroupName="other", logStreamName="s")
    event = [{"timestamp": int(world.clock.now() * 1000), "message": "x"}]
    await world.call("logs", "PutLogEvents", logGroupName="other", logStreamName="s", logEvents=event)
    for _ in range(3):
        await world.follower.flush()
    lines = len(world.ledger.lines)
    await world.follower.flush()
    assert len(world.ledger.lines) == lines
    found = await world.delivered()
    assert [each["requestParameters"]["logGroupName"] for each in found if each["eventName"] == "PutLogEvents"] == [
        "other"
    ]


async def test_what_cloudtrail_does_alone_is_no_reason_to_deliver(world, monkeypatch):
    monkeypatch.setattr(trail_log_groups, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(trail_log_groups, "TICK_SECONDS", 0.01)
    world.restart()
    await world.trail()
    running = asyncio.create_task(world.follower.run())  # noqa: TID251
    try:
        async with asyncio.timeout(60):
            while not world.records("PutLogEvents"):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # the AssumeRole of this delivery waits for company
        assert len(world.records("PutLogEvents")) == 1
        await world.call("s3", "CreateBucket", Bucket="another")
        async with asyncio.timeout(60):
            while len(world.records("PutLogEvents")) < 2:
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    names = [each["eventName"] for each in await world.delivered()]
    assert sorted(names) == ["AssumeRole", "CreateBucket", "StartLogging"]


async def test_what_can_be_a_log_group_and_a_role(world):
    group, role = "InvalidCloudWatchLogsLogGroupArnException", "InvalidCloudWatchLogsRoleArnException"
    assert (await refused(world, CloudWatchLogsLogGroupArn=GROUP))[0] == role
    assert (await refused(world, CloudWatchLogsRoleArn=ROLE))[0] == group
    for arn in (GROUP.removesuffix(":*"), GROUP.replace(REGION, "us-west-2"), GROUP.replace(ACCOUNT, "9" * 12), "x"):
        assert (await refused(world, **(LOG_GROUP | {"CloudWatchLogsLogGroupArn": arn})))[0] == group
    none = GROUP.replace("trails", "none")
    await world.call(
        "iam", "PutRolePolicy", RoleName="trail-logs", PolicyName="all", PolicyDocument=policy(Action="*", Resource="*")
    )
    assert await refused(world, **(LOG_GROUP | {"CloudWatchLogsLogGroupArn": none})) == (
        group,
        "CloudTrail cannot validate the specified log group ARN.",
    )
    await world.call("iam", "DeleteRolePolicy", RoleName="trail-logs", PolicyName="all")
    trust = "Access denied. Check the trust relationships for your role."
    assert await refused(world, **(LOG_GROUP | {"CloudWatchLogsRoleArn": ROLE + "x"})) == (role, trust)
    other = policy(Principal={"Service": "events.amazonaws.com"}, Action="sts:AssumeRole")
    await world.call("iam", "CreateRole", RoleName="other", AssumeRolePolicyDocument=other)
    assert await refused(world, **(LOG_GROUP | {"CloudWatchLogsRoleArn": ROLE.replace("trail-logs", "other")})) == (
        role,
        trust,
    )
    denied = (group, "Access denied. Check the permissions for your role.")
    for allowed in (["logs:PutLogEvents"], ["logs:CreateLogStream"]):
        await world.allow(allowed)
        assert await refused(world, **LOG_GROUP) == denied
    assert (await world.call("cloudtrail", "ListTrails"))["Trails"] == []


async def test_a_log_group_is_set_and_cleared_by_an_update(world):
    await world.call("cloudtrail", "CreateTrail", Name="main", S3BucketName="trail-bucket")
    await world.call("cloudtrail", "StartLogging", Name="main")
    await world.call("s3", "CreateBucket", Bucket="before")
    answer = await world.call("cloudtrail", "UpdateTrail", Name="main", **LOG_GROUP)
    assert {name: answer[name] for name in LOG_GROUP} == LOG_GROUP
    await world.call("s3", "CreateBucket", Bucket="during")
    await world.follower.flush()
    assert (await refused(world, "UpdateTrail", CloudWatchLogsRoleArn=""))[0] == "InvalidCloudWatchLogsRoleArnException"
    cleared = dict.fromkeys(LOG_GROUP, "")
    assert not set(LOG_GROUP) & set(await world.call("cloudtrail", "UpdateTrail", Name="main", **cleared))
    await world.call("s3", "CreateBucket", Bucket="after")
    await world.follower.flush()
    found = await world.delivered()
    assert [each["requestParameters"].get("bucketName") for each in found if each["eventName"] == "CreateBucket"] == [
        "during"
    ]
    await world.follower._forget_unused()
    unit = Unit(world.house, 0.0)
    assert (list(LOG_GROUP_CURSORS.all(unit)), list(LOG_GROUP_STATUS.all(unit))) == ([], [])


async def test_a_delivery_that_fails_is_told_and_made_up_for(world):
    await world.trail()
    await world.call("logs", "DeleteLogGroup", logGroupName="trails")
    with pytest.raises(AwsError):
        await world.follower.flush()
    status = await world.call("cloudtrail", "GetTrailStatus", Name="main")
    assert status["LatestCloudWatchLogsDeliveryError"] == "ResourceNotFoundException"
    await world.call("logs", "CreateLogGroup", logGroupName="trails")
    await world.follower.flush()
    names = [each["eventName"] for each in await world.delivered()]
    assert names.count("StartLogging") == 1
    assert "DeleteLogGroup" in names
    await world.call("iam", "DeleteRolePolicy", RoleName="trail-logs", PolicyName="p")
    world.restart()
    with pytest.raises(AwsError):
        await world.follower.flush()
    status = await world.call("cloudtrail", "GetTrailStatus", Name="main")
    assert status["LatestCloudWatchLogsDeliveryError"] == "AccessDeniedException"
    await world.allow(["logs:CreateLogStream", "logs:PutLogEvents"])
    await world.follower.flush()
    assert [each["eventName"] for each in await world.delivered()].count("DeleteRolePolicy") == 1


async def test_what_is_too_large_is_left_out_and_batches_are_bounded(world, monkeypatch):
    monkeypatch.setattr(trail_log_groups, "BATCH_BYTES_MAX", 60_000)
    monkeypatch.setattr(trail_log_groups, "EVENT_BYTES_MAX", 20_000)
    await world.trail()
    head = json.loads(world.ledger.lines[-1].data)
    for number in range(30):
        data = json.dumps(head | {"eventID": f"e{number}", "padding": "x" * (25_000 if number == 7 else 9_000)})
        await world.ledger.commit(Unit(world.house, 0.0).writes, [Line("record", data.encode())])
    await world.follower.flush()
    found = [each["eventID"] for each in await world.delivered()]
    assert [each for each in found if each[0] == "e" and each[1:].isdigit()] == [f"e{n}" for n in range(30) if n != 7]
    assert len(world.records("PutLogEvents")) >= 5
    [(_, status)] = LOG_GROUP_STATUS.all(Unit(world.house, 0.0))
    assert (status.left_out, status.events) == (1, len(found))


async def test_a_deleted_trail_delivers_what_it_logged(world):
    await world.trail()
    await world.call("s3", "CreateBucket", Bucket="last")
    await world.call("cloudtrail", "DeleteTrail", Name="main")
    await world.call("s3", "CreateBucket", Bucket="too-late")
    await world.follower.flush()
    await world.follower.flush()
    assert [each["eventName"] for each in await world.delivered()] == ["StartLogging", "CreateBucket", "DeleteTrail"]


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("number", range(1, 6))
async def test_each_record_is_one_event_whatever_dies(world, monkeypatch, number, durable):
    monkeypatch.setattr(trail_log_groups, "BATCH_EVENTS_MAX", 2)
    await world.trail()
    for index in range(5):
        await world.call("logs", "CreateLogGroup", logGroupName=f"g{index}")
    real = world.ledger
    world.ledger = Mortal(real, number, durable=durable)
    world.restart()
    died = False
    try:
        await world.follower.flush()
    except Crash:
        died = True
    assert died or number > 4
    world.ledger = real
    world.restart()
    await world.follower.flush()
    found = [
        each["requestParameters"]["logGroupName"]
        for each in await world.delivered()
        if each["eventName"] == "CreateLogGroup"
    ]
    assert found == [f"g{index}" for index in range(5)]


async def test_the_lag_is_that_of_the_trail_that_is_least_advanced(world):
    head = world.ledger.head
    assert world.follower.position() == head()
    await world.trail()
    created = next(
        seq for seq, line in world.ledger.read(0, 10_000) if line.kind == "record" and b'"CreateTrail"' in line.data
    )
    assert world.follower.position() == created - 1, "nothing is read yet"
    await world.follower.flush()
    await world.follower.flush()
    delivered = world.follower.position()
    assert created < delivered <= head()
    await world.call("iam", "DeleteRolePolicy", RoleName="trail-logs", PolicyName="p")
    first = head()
    await world.call("s3", "CreateBucket", Bucket="later")
    with pytest.raises(AwsError):
        await world.follower.flush()
    assert world.follower.position() == first - 1, "what could not be delivered is not read past"
    await world.allow(["logs:CreateLogStream", "logs:PutLogEvents"])
    await world.follower.flush()
    assert world.follower.position() > first
