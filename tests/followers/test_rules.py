import asyncio
import json

import pytest

from opentrail.errors import AwsError, LedgerUnavailable
from opentrail.ports import Line
from opentrail.rows.event_delivery import CURSORS, RulesCursor, Undeliverable
from opentrail.state import Unit
from tests.fakes.house import commit, new_unit
from tests.followers.rules_world import ACCOUNT, QUEUE, REGION, World, event, record


@pytest.fixture
async def world():
    made = World()
    await made.trail()
    return made


async def names(world):
    return [delivery.rule for delivery, _ in await world.sent()]


# What becomes an event


async def test_an_upload_becomes_the_documented_event(world):
    await world.rule()
    line = record()
    await world.lines(line)
    [(delivery, payload)] = await world.sent()
    assert (delivery.rule, delivery.target_arn) == ("r", QUEUE)
    assert json.loads(payload) == {
        "version": "0",
        "id": delivery.event_id,
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.s3",
        "account": ACCOUNT,
        "time": "2026-09-21T14:13:20Z",
        "region": REGION,
        "resources": [],
        "detail": json.loads(line.data),
    }
    assert world.outbox() == []


async def test_what_does_not_match_is_not_delivered(world):
    await world.rule()
    other_key = {"bucketName": "b", "key": "other"}
    await world.lines(record("DeleteObject"), record(requestParameters=other_key), record(recipientAccountId="9" * 12))
    await world.lines(record(awsRegion="us-east-1"), record(eventSource="x.amazonaws.com"))
    assert await names(world) == []


async def test_only_what_a_trail_logs(world):
    await world.rule(pattern='{"source":["aws.s3"]}')
    unlogged = [{"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::other/k"}]
    await world.lines(record(resources=unlogged), record(readOnly=True, eventName="GetObject"))
    assert await names(world) == []
    await world.trail(2, logging=False)
    await world.lines(record())
    assert await names(world) == []


async def test_reads_of_management_need_a_rule_that_asks_for_them(world):
    await world.trail(2, event_selectors=({"ReadWriteType": "All", "IncludeManagementEvents": True},))
    await world.rule("plain", '{"source":["aws.iam"]}')
    await world.rule("all", '{"source":["aws.iam"]}', state="ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")
    read = {"readOnly": True, "managementEvent": True, "eventCategory": "Management"}
    await world.lines(record("GetUser", eventSource="iam.amazonaws.com", **read))
    assert await names(world) == ["all"]
    await world.rule("sts", '{"source":["aws.sts"]}')
    await world.lines(record("GetSessionToken", eventSource="sts.amazonaws.com", **read))
    await world.lines(record("GetCallerIdentity", eventSource="sts.amazonaws.com", **read))
    assert await names(world) == ["sts"]


async def test_reads_of_data_reach_ordinary_rules(world):
    everything = {"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}
    await world.trail(2, event_selectors=({"ReadWriteType": "All", "DataResources": [everything]},))
    await world.rule(pattern='{"detail":{"eventName":["GetObject"]}}')
    await world.lines(record("GetObject", readOnly=True))
    assert await names(world) == ["r"]


async def test_events_of_a_bus(world):
    await world.events("CreateEventBus", Name="b")
    await world.rule("on-default", '{"source":["my.app"]}')
    await world.rule("on-b", '{"source":["my.app"]}', bus="b")
    await world.lines(event(), event(bus="b"), event("other"))
    assert await names(world) == ["on-default", "on-b"]


async def test_too_large_or_broken_lines_are_passed_over(world):
    await world.rule("big", '{"source":["my.app","aws.s3"]}')
    await world.lines(event(detail={"x": "y" * 300_000}), Line("event", b"{"), Line("record", b"[]"))
    deep = record().data.replace(b'"b"', b"[" * 50_000 + b"]" * 50_000)
    await world.lines(Line("record", deep), event())
    assert await names(world) == ["big"]


# What a target is sent


async def test_inputs_of_targets(world):
    transformer = {"InputPathsMap": {"k": "$.detail.key"}, "InputTemplate": '{"key": <k>}'}
    await world.rule("part", '{"source":["my.app"]}', target={"InputPath": "$.detail"})
    await world.rule("text", '{"source":["my.app"]}', target={"Input": '"hello"'})
    await world.rule("form", '{"source":["my.app"]}', target={"InputTransformer": transformer})
    await world.lines(event(detail={"key": "v"}))
    sent = {delivery.rule: payload for delivery, payload in await world.sent()}
    assert sent == {"part": b'{"key":"v"}', "text": b'"hello"', "form": b'{"key": "v"}'}


async def test_a_template_that_fills_in_to_no_json_fails_in_sight(world):
    transformer = {"InputPathsMap": {"d": "$.detail"}, "InputTemplate": '{"key": "<d>"}'}
    await world.rule(pattern='{"source":["my.app"]}', target={"InputTransformer": transformer})
    await world.lines(event(detail={"key": "v"}))
    assert await world.sent() == []
    assert (world.failed().count, world.failed().code) == (1, "INVALID_JSON")


# Rules that change


async def test_rules_count_from_their_own_commit(world):
    await world.lines(record())
    await world.rule()
    assert await names(world) == []
    await world.lines(record())
    world.restart()
    assert await names(world) == ["r"]
    world.restart()
    assert await names(world) == []


async def test_changes_are_taken_over(world):
    await world.rule()
    await world.lines(record())
    assert await names(world) == ["r"]
    await world.events("DisableRule", Name="r")
    await world.lines(record())
    assert await names(world) == []
    await world.events("EnableRule", Name="r")
    await world.lines(record())
    assert await names(world) == ["r"]
    await world.rule(pattern='{"source":["none"]}')
    await world.lines(record())
    assert await names(world) == []
    await world.rule()
    await world.events("RemoveTargets", Rule="r", Ids=["1"])
    await world.lines(record())
    assert await names(world) == []


async def test_every_target_of_every_rule_once(world):
    await world.rule("a")
    await world.rule("b", target={"Id": "2"})
    await world.events("PutTargets", Rule="b", Targets=[{"Id": "3", "Arn": QUEUE}])
    await world.lines(record(), record())
    sent = [(delivery.rule, delivery.target_id) for delivery, _ in await world.sent()]
    assert sorted(sent) == sorted([("a", "1"), ("b", "2"), ("b", "3")] * 2)


# Once, whatever happens


async def test_what_was_matched_before_an_end_is_delivered_after_it(world):
    await world.rule()
    await world.lines(record())
    world.plug.error = AwsError("InternalError", "", 500)
    await world.follower.flush()
    assert len(world.outbox()) == 1
    world.plug.error = None
    world.house.clock.time += 5
    world.restart()
    assert await names(world) == ["r"]
    world.restart()
    assert await names(world) == []


async def test_a_batch_is_one_commit(world):
    await world.rule()
    await world.lines(*[record() for _ in range(50)])
    before = world.house.ledger.commits
    await world.follower.flush()
    assert world.house.ledger.commits - before == 1 + 50
    assert len(await world.sent()) == 50


async def test_a_commit_that_fails_leaves_nothing(world):
    await world.rule()
    await world.lines(record())
    world.house.ledger.fail_next = True
    with pytest.raises(LedgerUnavailable):
        await world.follower.flush()
    assert world.outbox() == []
    assert await names(world) == ["r"]


async def test_another_process_that_took_the_lines(world):
    await world.rule()
    await world.lines(record())
    assert await names(world) == ["r"]
    await world.lines(record())
    unit = new_unit(world.house)
    CURSORS.put(unit, RulesCursor(world.house.ledger.head()), "rules")
    await commit(unit)
    assert await names(world) == []
    await world.lines(record())
    assert await names(world) == ["r"]


async def test_cursor_moves_without_matches(world, monkeypatch):
    monkeypatch.setattr("opentrail.followers.rules.IDLE_LINES", 10)
    await world.lines(*[record() for _ in range(20)])
    await world.follower.flush()
    last, _ = world.house.ledger.read(0, 100)[-1]
    assert CURSORS.get(Unit(world.house, 0.0), "rules").seq == last


# Failures


async def test_retries_pause_longer_each_time_and_end(world):
    await world.rule(target={"RetryPolicy": {"MaximumRetryAttempts": 3}})
    await world.lines(record())
    world.plug.error = AwsError("ThrottlingException", "slow down", 400)
    pauses = []
    await world.follower.flush()
    while world.outbox():
        pauses.append(world.outbox()[0].due - world.house.clock.now())
        world.house.clock.time = world.outbox()[0].due
        await world.follower.flush()
    assert pauses == [1.0, 2.0, 4.0]
    assert (world.failed().count, world.failed().code) == (1, "THROTTLING")
    assert world.failed().reason == "ThrottlingException: slow down"


async def test_events_grow_too_old(world):
    await world.rule(target={"RetryPolicy": {"MaximumEventAgeInSeconds": 60}})
    await world.lines(record())
    world.plug.error = RuntimeError("a defect")
    await world.follower.flush()
    world.house.clock.time += 61
    await world.follower.flush()
    assert world.outbox() == []
    assert world.failed().code == "INTERNAL_ERROR"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AwsError("AccessDenied", "", 403), "NO_PERMISSIONS"),
        (AwsError("PipelineNotFoundException", "", 400), "NO_RESOURCE"),
        (AwsError("ValidationException", "", 400), "SDK_CLIENT_ERROR"),
        (Undeliverable("NO_RESOURCE", "gone"), "NO_RESOURCE"),
    ],
)
async def test_what_cannot_help_is_not_tried_again(world, error, code):
    await world.rule()
    await world.lines(record())
    world.plug.error = error
    await world.follower.flush()
    assert world.outbox() == []
    assert world.failed().code == code


async def test_kinds_that_are_not_served_fail_in_sight(world):
    await world.rule(target={"Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"})
    await world.lines(record(), record())
    await world.follower.flush()
    assert (world.failed().count, world.failed().code) == (2, "NO_RESOURCE")
    assert world.failed().reason == "Targets of lambda are not served here."


async def test_dead_letters(world):
    gone = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    await world.rule(target={"Arn": gone, "DeadLetterConfig": {"Arn": QUEUE}})
    await world.lines(record())
    await world.follower.flush()
    [(delivery, payload)] = await world.sent()
    assert delivery.target_arn == QUEUE
    assert delivery.target["MessageAttributes"] == {
        "RULE_ARN": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r",
        "TARGET_ARN": gone,
        "ERROR_CODE": "NO_RESOURCE",
        "ERROR_MESSAGE": "Targets of lambda are not served here.",
    }
    assert json.loads(payload)["source"] == "aws.s3"
    world.plug.error = Undeliverable("NO_RESOURCE", "no queue")
    await world.lines(record())
    await world.follower.flush()
    await world.follower.flush()
    assert world.outbox() == []
    assert world.failed().reason == "no queue"


async def test_run_delivers_as_soon_as_a_line_is_durable(world):
    await world.rule()
    running = asyncio.create_task(world.follower.run())  # noqa: TID251
    try:
        for _ in range(3):
            await world.lines(record())
            async with asyncio.timeout(60):
                while not world.plug.sent:
                    await asyncio.sleep(0)
            world.plug.sent.clear()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
