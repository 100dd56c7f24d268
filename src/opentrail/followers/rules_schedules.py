"""Rules with a schedule: sends the "Scheduled Event" to their targets when they are due.

What is due and its deliveries are one commit, so each time is sent once. A time that passed while no server was there is
made up for within a short while, later ones are left out, as a clock that was not running. Source: EventBridge
user guide, "Creating a rule that runs on a schedule". Knows nothing of lines or patterns.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from opentrail.errors import Conflict
from opentrail.followers.rules_book import KeptRule, KeptTarget, RuleBook
from opentrail.followers.rules_envelope import delivery_of, scheduled_event
from opentrail.followers.rules_outbox import NO_JSON, Outbox, count_failure
from opentrail.match.schedule import parse_schedule
from opentrail.rows.event_delivery import FIRED, OUTBOX, Fired
from opentrail.rows.events import Rule
from opentrail.state import House, Unit

GRACE_SECONDS: Final = 60.0
"""How late a time may still be sent after a start."""
LOOK_SECONDS_MAX: Final = 30.0
"""How often the clock is looked at, at the least; it may be set meanwhile."""
DUE_DIGITS: Final = 12

log = logging.getLogger("opentrail.rules")


class Schedules:
    """Watches the clock for the rules of a book. Set `changed` when the book has changed."""

    def __init__(self, house: House, book: RuleBook, outbox: Outbox) -> None:
        self.changed = asyncio.Event()
        self._house = house
        self._book = book
        self._outbox = outbox

    async def run(self) -> None:
        """Fire for ever."""
        while True:
            self.changed.clear()
            due = await self.fire()
            pause = None if due is None else min(max(due - self._house.clock.now(), 0.0), LOOK_SECONDS_MAX)
            try:
                async with asyncio.timeout(pause):  # wait_for may swallow a cancellation
                    await self.changed.wait()
            except TimeoutError:
                continue

    async def fire(self) -> float | None:
        """Send what is due now; when the next is due, or None if none ever is."""
        soonest: float | None = None
        for kept, targets in list(self._book.scheduled()):
            due = self._next(kept.rule)
            if due is not None and due <= self._house.clock.now():
                await self._send(kept, targets, due)
                due = self._next(kept.rule)
            if due is not None and (soonest is None or due < soonest):
                soonest = due
        return soonest

    def _next(self, rule: Rule) -> float | None:
        unit = Unit(self._house, self._house.clock.now())
        fired = FIRED.get(unit, rule.account_id, rule.region, rule.bus, rule.name)
        after = max(rule.changed, unit.now - GRACE_SECONDS, 0.0 if fired is None else fired.due)
        return parse_schedule(rule.schedule).next_after(after, rule.changed)

    async def _send(self, kept: KeptRule, targets: list[KeptTarget], due: float) -> None:
        rule, unit = kept.rule, Unit(self._house, self._house.clock.now())
        where = (rule.account_id, rule.region, rule.bus, rule.name)
        fired = FIRED.get(unit, *where)
        if fired is not None and fired.due >= due:
            return
        FIRED.put(unit, Fired(due), *where)
        event, keys = scheduled_event(rule, due), []
        for target in targets:
            delivery = delivery_of(event, rule, target.id, target.target.definition, unit.now)
            if delivery is None:
                count_failure(unit, where, target.id, target.target.arn, NO_JSON)
                continue
            parts = (f"due-{due:0{DUE_DIGITS}.0f}", f"{rule.arn} {target.id}")
            OUTBOX.put(unit, delivery, *parts)
            keys.append(OUTBOX.key(*parts))
        try:
            await self._house.ledger.commit(unit.writes, ())
        except Conflict:
            log.info("%s was fired by another process", rule.arn)
            return
        for key in keys:
            self._outbox.add(key)
