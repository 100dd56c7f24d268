"""The process ends at any of its commits, before or after it is durable: every match still has one effect."""

import pytest

from opentrail.ports import Line
from tests.fakes.mortal import Crash, Mortal
from tests.followers.rules_world import World, record


class EffectPlug:
    """Its effect is a line of its own, in the commit that ends the delivery."""

    async def deliver(self, sending, house):
        await house.ledger.commit(sending.done(), [Line("event", sending.delivery.event_id.encode())])


async def life(world, ledger):
    """One process: follows everything, or dies."""
    world.house.ledger = ledger
    world.restart()
    try:
        await world.follower.flush()
    except Crash:
        return False
    return True


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("number", range(1, 9))
async def test_each_match_has_one_effect(number, durable):
    world = World()
    world.plug = EffectPlug()
    await world.trail()
    await world.rule("a")
    await world.rule("b", target={"Id": "2"})
    await world.lines(*[record(eventID=f"e{index}") for index in range(3)])
    real = world.house.ledger
    survived = await life(world, Mortal(real, number, durable=durable))
    assert survived == (number > 7)
    assert await life(world, real)
    effects = [line.data for line in real.lines if line.kind == "event"]
    assert len(effects) == 6
    assert {effects.count(effect) for effect in effects} == {2}
    assert world.outbox() == []
    assert await life(world, real)
    assert len([line for line in real.lines if line.kind == "event"]) == 6
