"""The notices' follower between crashes, on fakes of the ports."""

from __future__ import annotations

import asyncio

from opentrail.errors import AwsError
from opentrail.followers.notifications import AGE_SECONDS_MAX, NotificationsFollower
from opentrail.rows.s3_notices import NOTICES, Notice, put_notice
from opentrail.server.loops import spawn
from opentrail.state import House
from tests.fakes.house import NOW, FakeClock, FakeRoad, build_house, commit, new_unit

QUEUE = "arn:aws:sqs:us-east-1:111111111111:q"
TOPIC = "arn:aws:sns:us-east-1:111111111111:t"


async def waiting_house(*destinations: str) -> tuple[House, FakeRoad, FakeClock]:
    house = build_house()
    unit = new_unit(house)
    for arn in destinations:
        put_notice(unit, Notice(arn, "{}", "b", "arn:aws:s3:::b", "111111111111", NOW), NOW)
    await commit(unit)
    road, clock = house.road, house.clock
    assert isinstance(road, FakeRoad)
    assert isinstance(clock, FakeClock)
    return house, road, clock


def left(house: House) -> list[Notice]:
    return [notice for _, notice in NOTICES.page(new_unit(house))]


async def test_each_goes_to_its_destination_as_s3() -> None:
    house, road, _ = await waiting_house(QUEUE, TOPIC)
    road.answers[("sqs", "SendMessage")] = road.answers[("sns", "Publish")] = AwsError("AccessDenied", "no", 403)
    await NotificationsFollower(house).flush()
    assert {(service, operation) for _, service, operation, _ in road.calls} == {
        ("sqs", "SendMessage"),
        ("sns", "Publish"),
    }
    principal = road.calls[0][0]
    assert (principal.type, principal.invoked_by, principal.source_arn) == (
        "AWSService",
        "s3.amazonaws.com",
        "arn:aws:s3:::b",
    )
    assert left(house) == []


async def test_it_tries_again_later_and_gives_up_after_a_day() -> None:
    house, road, clock = await waiting_house(QUEUE)
    road.answers[("sqs", "SendMessage")] = AwsError("InternalError", "", 500)
    follower = NotificationsFollower(house)
    for attempts in range(1, 4):
        await follower.flush()
        assert [notice.attempts for notice in left(house)] == [attempts]
        await follower.flush()
        assert len(road.calls) == attempts
        clock.time += 2.0**attempts
    clock.time = NOW + AGE_SECONDS_MAX + 1
    await follower.flush()
    assert left(house) == []


async def test_what_a_former_run_left_comes_first() -> None:
    house, road, _ = await waiting_house(QUEUE)
    road.answers[("sqs", "SendMessage")] = AwsError("AccessDenied", "", 403)
    task = spawn(NotificationsFollower(house).run())
    while left(house):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(road.calls) == 1
