"""The process ends at any of its commits, before or after it is durable: every match still has one effect."""

import pytest

from opentrail.ports import Line
from tests.followers.rules_world import World, record


class Died(BaseException):
    """The end of the process."""


class Mortal:
    """A ledger that dies at its n-th commit from now."""

    def __init__(self, ledger, number, *, durable):
        self._ledger = ledger
        self._left = number
        self._durable = durable

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    async def commit(self, writes, lines):
        self._left -= 1
        if self._left == 0:
            if self._durable:
                await self._ledger.commit(writes, lines)
            raise Died
        return await self._ledger.commit(writes, lines)


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
    except Died:
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
