import json

from opentrail.rows.event_delivery import FIRED
from opentrail.state import Unit
from tests.followers.rules_world import ACCOUNT, QUEUE, REGION, World


async def scheduled(expression="rate(5 minutes)"):
    world = World()
    await world.events("PutRule", Name="r", ScheduleExpression=expression)
    await world.events("PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": QUEUE}, {"Id": "2", "Arn": QUEUE}])
    return world


async def test_a_rate_is_sent_to_every_target_once_when_due():
    world = await scheduled()
    assert await world.sent() == []
    world.house.clock.time += 300
    sent = await world.sent()
    assert [delivery.target_id for delivery, _ in sent] == ["1", "2"]
    assert json.loads(sent[0][1]) == {
        "version": "0",
        "id": sent[1][0].event_id,
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": "2026-09-21T14:18:20Z",
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r"],
        "detail": {},
    }
    assert await world.sent() == []
    world.restart()
    assert await world.sent() == []
    world.house.clock.time += 300
    assert len(await world.sent()) == 2


async def test_cron():
    world = await scheduled("cron(0 15 * * ? *)")
    world.house.clock.time += 2_799
    assert await world.sent() == []
    world.house.clock.time += 1
    assert len(await world.sent()) == 2


async def test_times_that_passed_long_ago_are_left_out():
    world = await scheduled()
    world.house.clock.time += 5 * 300 + 100
    assert await world.sent() == []
    world.house.clock.time += 200
    assert len(await world.sent()) == 2


async def test_a_restart_within_a_minute_makes_up_for_what_was_missed():
    world = await scheduled()
    world.house.clock.time += 330
    world.restart()
    assert len(await world.sent()) == 2
    assert FIRED.get(Unit(world.house, 0.0), ACCOUNT, REGION, "default", "r").due == world.house.clock.now() - 30


async def test_disabled_and_deleted_rules_are_not_sent():
    world = await scheduled()
    await world.events("DisableRule", Name="r")
    world.house.clock.time += 300
    assert await world.sent() == []
    await world.events("EnableRule", Name="r")
    world.house.clock.time += 299
    assert await world.sent() == []
    world.house.clock.time += 1
    assert len(await world.sent()) == 2


async def test_next_due_is_told():
    world = await scheduled()
    await world.follower.flush()
    now = world.house.clock.now()
    assert await world.follower._schedules.fire() == now + 300
