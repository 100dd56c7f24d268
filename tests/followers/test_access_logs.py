"""Log objects: every line in exactly one, whatever crashes; when they are delivered, and what is given up."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from opentrail.call import Principal
from opentrail.followers.access_logs import AGE_SECONDS_MAX, DELIVERIES_WAIT, AccessLogFollower
from opentrail.rows.s3 import BUCKETS
from opentrail.rows.s3_logging import ACCESS_LINES, put_lines
from opentrail.server.clock import SystemClock
from opentrail.server.gate import Gate
from opentrail.server.road import InternalRoad
from opentrail.server.signing import Signer
from opentrail.services.s3.service import service
from tests.fakes.house import NOW, commit, new_unit
from tests.fakes.mortal import Crash
from tests.services.s3.bucket_world import World, allow, make_world, policy

SOURCE, LOGS = "a-bucket", "logs"
HOME = "111111111111"


class SetClock(SystemClock):
    """A clock that the test sets."""

    time = NOW

    def now(self) -> float:
        return self.time


@pytest.fixture
async def world() -> World:
    made = await make_world()
    services = {"s3": service}
    made.house.clock = clock = SetClock()
    made.gate = Gate(made.house, services, clock, Signer(made.house))
    made.house.road = road = InternalRoad()
    road.gate = made.gate
    await made.create_bucket(Bucket=LOGS)
    await put_policy(made)
    await put_logging(made)
    await AccessLogFollower(made.house).flush()
    return made


async def put_policy(world: World, bucket: str = LOGS, source: str = SOURCE) -> None:
    only = {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{source}"}, "StringEquals": {"aws:SourceAccount": HOME}}
    service = {"Service": "logging.s3.amazonaws.com"}
    text = policy(allow("s3:PutObject", f"arn:aws:s3:::{bucket}/*", Principal=service, Condition=only))
    assert (await world.put_bucket_policy(Bucket=bucket, Policy=text)).status == 204


async def put_logging(world: World, source: str = SOURCE, target: str = LOGS, **more: Any) -> None:
    status = {"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": "p/", **more}}
    assert (await world.put_bucket_logging(Bucket=source, BucketLoggingStatus=status)).status == 200


async def delivered(world: World, bucket: str = LOGS) -> dict[str, list[str]]:
    """Log objects by key: their lines."""
    listed = (await world.list_objects_v2(Bucket=bucket, Prefix="p/")).parsed.get("Contents", [])
    found = {}
    for each in listed:
        answer = await world.get_object(Bucket=bucket, Key=each["Key"])
        body = answer.response.body
        data = body if isinstance(body, bytes) else answer.parsed["Body"]
        found[each["Key"]] = (data if isinstance(data, bytes) else data.encode()).decode().splitlines()
    return found


def waiting(world: World, bucket: str = SOURCE) -> int:
    return sum(len(row.lines) for _, row in ACCESS_LINES.page(new_unit(world.house), bucket))


def clock(world: World) -> SetClock:
    assert isinstance(world.house.clock, SetClock)
    return world.house.clock


async def heads(world: World, count: int) -> None:
    for number in range(count):
        await world.head_object(Bucket=SOURCE, Key=f"key-{number}")


async def test_lines_are_delivered_once_their_time_has_come(world: World):
    follower = AccessLogFollower(world.house)
    await heads(world, 3)
    await follower.sweep()
    assert (await delivered(world), waiting(world)) == ({}, 3)
    clock(world).time += 301
    await follower.sweep()
    assert waiting(world) == 0
    ((key, lines),) = (await delivered(world)).items()
    assert sorted(line.split(" ")[8] for line in lines) == ["key-0", "key-1", "key-2"]
    assert key.startswith("p/2026-09-21-14-18-21-")
    assert len(key) == len("p/2026-09-21-14-18-21-") + 16
    await follower.sweep()
    assert len(await delivered(world)) == 1
    record = [each for each in world.records() if each["eventName"] == "PutObject"][-1]
    assert record["userIdentity"] == {"type": "AWSService", "invokedBy": "logging.s3.amazonaws.com"}


async def test_folders_by_event_hold_one_day_each(world: World):
    await put_logging(world, TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": "EventTime"}})
    unit = new_unit(world.house)
    bucket = BUCKETS.get(unit, SOURCE)
    assert bucket is not None
    for number, at in enumerate((clock(world).time - 86_400, clock(world).time)):
        put_lines(unit, bucket, [f"line {number}"], f"id{number}", at)
    await commit(unit)
    await AccessLogFollower(world.house).flush()
    keys = sorted(await delivered(world))
    assert len(keys) == 3  # the call that set it was told today
    assert [key.rpartition("-")[0] for key in keys[:2]] == [
        f"p/{HOME}/us-east-1/{SOURCE}/2026/09/20/2026-09-20-00-00-00",
        f"p/{HOME}/us-east-1/{SOURCE}/2026/09/21/2026-09-21-00-00-00",
    ]


@pytest.mark.parametrize("after", [False, True])
async def test_every_line_is_in_exactly_one_object_whatever_commit_a_crash_hits(
    world: World, monkeypatch: pytest.MonkeyPatch, after: bool
):
    monkeypatch.setattr("opentrail.followers.access_logs.OBJECT_ROWS_MAX", 4)
    await heads(world, 10)
    ledger = world.house.ledger
    whole = type(ledger).commit
    for step in range(1, 5):
        left = step

        async def commit(writes: Any, lines: Any) -> int:
            nonlocal left
            left -= 1
            if left == 0 and not after:
                raise Crash
            seq: int = await whole(ledger, writes, lines)
            if left == 0:
                raise Crash
            return seq

        monkeypatch.setattr(ledger, "commit", commit)
        with suppress(Crash):
            await AccessLogFollower(world.house).flush()
    monkeypatch.setattr(ledger, "commit", lambda writes, lines: whole(ledger, writes, lines))
    await AccessLogFollower(world.house).flush()
    keys = [line.split(" ")[8] for lines in (await delivered(world)).values() for line in lines]
    assert sorted(keys) == [f"key-{number}" for number in range(10)]


async def test_what_the_ledger_does_not_take_is_tried_again(world: World):
    await heads(world, 1)
    follower = AccessLogFollower(world.house)
    world.house.ledger.fail_next = True  # type: ignore[attr-defined]
    await follower.flush()
    assert waiting(world) == 1
    await follower.flush()
    assert waiting(world) == 0


async def test_a_target_that_refuses_is_asked_again_ever_more_seldom(world: World):
    await world.delete_bucket_policy(Bucket=LOGS)
    await heads(world, 1)
    follower = AccessLogFollower(world.house)
    clock(world).time += 301
    tries = []
    for _ in range(10):
        before = len(world.records())
        await follower.sweep()
        tries.append(len(world.records()) - before)
        clock(world).time += 1
    assert tries == [1, 1, 0, 1, 0, 0, 0, 1, 0, 0]
    assert world.records()[-1]["errorCode"] == "AccessDenied"
    await put_policy(world)
    clock(world).time += 300
    await follower.sweep()
    assert (waiting(world), len(await delivered(world))) == (0, 1)


async def test_what_nobody_takes_for_a_week_is_given_up(world: World):
    await world.delete_bucket(Bucket=LOGS)
    await heads(world, 2)
    clock(world).time += AGE_SECONDS_MAX + 1
    await heads(world, 1)
    await AccessLogFollower(world.house).flush()
    assert waiting(world) == 1


async def test_a_target_that_has_become_unfit_gets_nothing(world: World):
    await heads(world, 1)
    await world.put_bucket_request_payment(Bucket=LOGS, RequestPaymentConfiguration={"Payer": "Requester"})
    await AccessLogFollower(world.house).flush()
    assert waiting(world) == 1


async def test_lines_go_where_they_were_to_go_when_they_were_written(world: World):
    await heads(world, 1)
    await world.create_bucket(Bucket="later")
    await put_policy(world, "later")
    await put_logging(world, target="later")
    await heads(world, 1)
    await world.put_bucket_logging(Bucket=SOURCE, BucketLoggingStatus={})
    await heads(world, 1)
    await AccessLogFollower(world.house).flush()
    first = [line.split(" ")[7] for lines in (await delivered(world)).values() for line in lines]
    later = [line.split(" ")[7] for lines in (await delivered(world, "later")).values() for line in lines]
    assert first == ["REST.HEAD.OBJECT"]
    assert sorted(later) == ["REST.HEAD.OBJECT", "REST.PUT.LOGGING_STATUS"]
    assert waiting(world) == 0


async def test_a_bucket_that_logs_to_itself_does_not_feed_itself(world: World):
    await put_policy(world, SOURCE)
    await put_logging(world, target=SOURCE)
    follower = AccessLogFollower(world.house)
    for _ in range(5):
        clock(world).time += 301
        await follower.sweep()
    assert len(await delivered(world, SOURCE)) == 1
    assert waiting(world) > 0  # the delivery itself, and what this test has read
    await follower.flush()
    before = len((await world.list_objects_v2(Bucket=SOURCE)).parsed["Contents"])
    await follower.flush()
    unit_rows = waiting(world)
    for _ in range(5):
        clock(world).time += 301
        await follower.sweep()
    listed = (await world.list_objects_v2(Bucket=SOURCE)).parsed["Contents"]
    assert (unit_rows, len(listed) - before) == (1, 1)
    clock(world).time += DELIVERIES_WAIT
    await follower.sweep()
    assert len((await world.list_objects_v2(Bucket=SOURCE)).parsed["Contents"]) > len(listed)


async def test_readers_that_were_named_may_read(world: World):
    await world.alter_bucket(LOGS, ownership="ObjectWriter")
    grants = [{"Grantee": {"Type": "AmazonCustomerByEmail", "EmailAddress": "other@example.com"}, "Permission": "READ"}]
    await put_logging(world, TargetGrants=grants)
    await heads(world, 1)
    await AccessLogFollower(world.house).flush()
    (key,) = await delivered(world)
    acl = (await world.get_object_acl(Bucket=LOGS, Key=key)).parsed["Grants"]
    assert [each["Permission"] for each in acl] == ["FULL_CONTROL", "READ"]
    other = Principal("Root", "222222222222", "arn:aws:iam::222222222222:root", "222222222222")
    assert (await world.get_object(Bucket=LOGS, Key=key, by=other)).status == 200
