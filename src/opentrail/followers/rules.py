"""The rules: reads every line, matches it against the rules of its bus, and writes what has to be delivered.

A batch of lines is one commit: the cursor and the deliveries. So each (line, rule, target) is delivered once, whenever
the process ends. Knows neither services nor kinds of targets. Source: EventBridge user guide, "AWS service events
delivered via AWS CloudTrail" (which records become events).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from opentrail.errors import Conflict
from opentrail.followers.rules_book import BusRules, RuleBook
from opentrail.followers.rules_envelope import (
    EVENT_BYTES_MAX,
    Event,
    delivery_of,
    event_of_line,
    event_of_record,
    summarise,
)
from opentrail.followers.rules_outbox import NO_JSON, Outbox, count_failure
from opentrail.followers.rules_schedules import Schedules
from opentrail.ports import Line, Seq
from opentrail.record.record_head import read_record
from opentrail.rows.event_delivery import CURSORS, OUTBOX, SEQ_DIGITS, RulesCursor, TargetPlug
from opentrail.rows.events import DEFAULT_BUS, ENABLED_WITH_READS
from opentrail.rows.timelines import Timelines
from opentrail.state import House, Unit

READ_LINES: Final = 500
"""Lines matched in one commit."""
IDLE_LINES: Final = 5_000
"""Lines without a match after which the cursor is written all the same."""
IDLE_SECONDS: Final = 0.02
"""How long lines come together while there are no rules; the first one matches what comes after it, that much later."""
_CURSOR: Final = "rules"

log = logging.getLogger("opentrail.rules")


class RulesFollower:
    """A `ports.Follower`. `plugs` are the kinds of targets, by the service in their ARNs."""

    name = "rules"

    def __init__(self, house: House, plugs: Mapping[str, TargetPlug]) -> None:
        self._house = house
        self._book = RuleBook(house.ledger)
        self._trails = Timelines(house.ledger)
        self._outbox = Outbox(house, plugs)
        self._schedules = Schedules(house, self._book, self._outbox)
        self._cursor: Seq = -1
        self._written: Seq = -1

    def position(self) -> Seq:
        """`ports.Reading`."""
        return max(self._cursor, 0)

    async def run(self) -> None:
        """Follow for ever, from the durable cursor."""
        self._resume()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._outbox.run())
            group.create_task(self._schedules.run())
            group.create_task(self._follow())

    async def flush(self) -> None:
        """Match every line that is durable now, fire what is due, and try every delivery that is due once."""
        if self._cursor < 0:
            self._resume()
        await self.catch_up()
        await self._schedules.fire()
        await self._outbox.flush()

    def _resume(self) -> None:
        found = CURSORS.get(Unit(self._house, 0.0), _CURSOR)
        self._cursor = self._written = found.seq if found is not None else 0
        self._book.refresh()
        self._outbox.resume()

    async def _follow(self) -> None:
        while True:
            await self._house.ledger.wait(self._cursor)
            await self.catch_up()
            if not self._book:
                await asyncio.sleep(IDLE_SECONDS)

    async def catch_up(self) -> None:
        """Match what is durable by now."""
        ledger = self._house.ledger
        head = ledger.head()
        while self._cursor < head:
            idle = (
                not self._book and not self._changed()
            )  # a rule made after `head` was taken matches nothing up to there
            lines = () if idle else ledger.read(self._cursor, READ_LINES)
            through = lines[-1][0] if lines else head
            unit = Unit(self._house, self._house.clock.now())
            self._match(lines, unit)
            if unit.writes.puts or through - self._written >= IDLE_LINES:
                through = await self._commit(unit, through)
            else:
                await asyncio.sleep(0)
            self._cursor = through

    async def _commit(self, unit: Unit, through: Seq) -> Seq:
        """Make cursor and deliveries durable; the Seq to go on from, which another process may have moved."""
        deliveries = [key for key in unit.writes.puts if key.startswith(_OUTBOX_PREFIX)]
        known = CURSORS.get(unit, _CURSOR)
        if known is not None and known.seq != self._written:
            return self._taken_over(known.seq)
        CURSORS.put(unit, RulesCursor(through), _CURSOR)
        try:
            await self._house.ledger.commit(unit.writes, ())
        except Conflict:
            known = CURSORS.get(Unit(self._house, 0.0), _CURSOR)
            return self._taken_over(self._cursor if known is None else known.seq)
        self._written = through
        for key in deliveries:
            self._outbox.add(key)
        return through

    def _taken_over(self, seq: Seq) -> Seq:
        """Somebody else wrote in between: go on from the durable cursor, with nothing of this batch."""
        self._written = seq
        return seq

    def _match(self, lines: Sequence[tuple[Seq, Line]], unit: Unit) -> None:
        """Write the deliveries of a batch into the unit."""
        self._changed()
        self._trails.refresh()
        if not self._book:
            return
        for seq, line in lines:
            try:
                self._match_line(seq, line, unit)
            except (ValueError, RecursionError, msgspec.MsgspecError):
                log.exception("line %d cannot be matched and is passed over", seq)

    def _changed(self) -> bool:
        """Take over changed rules; True if there were any."""
        changed = self._book.refresh()
        if changed:
            self._schedules.changed.set()
        return changed

    def _match_line(self, seq: Seq, line: Line, unit: Unit) -> None:
        if len(line.data) > EVENT_BYTES_MAX:
            return
        if line.kind == "record":
            self._match_record(seq, line.data, unit)
            return
        event, source, detail_type = event_of_line(line.data)
        bus = self._book.bus(event.account_id, event.region, event.bus)
        if bus is not None and bus.index.worth(source, detail_type, ""):
            self._deliver(seq, event, bus, unit)

    def _match_record(self, seq: Seq, data: bytes, unit: Unit) -> None:
        """Records reach the default bus of their recipient if a trail of its account logs them; EventBridge has no event
        for network activity."""
        record = summarise(data)
        if record.event_type == "AwsVpceEvent":
            return
        bus = self._book.bus(record.recipient_account_id, record.aws_region, DEFAULT_BUS)
        if bus is None or not bus.index.worth(record.source, record.detail_type, record.event_name):
            return
        if self._trails.logged(read_record(data), seq):
            self._deliver(seq, event_of_record(record, data), bus, unit)

    def _deliver(self, seq: Seq, event: Event, bus: BusRules, unit: Unit) -> None:
        """Write a delivery for every target of every rule that matches."""
        if len(event.data) > EVENT_BYTES_MAX:
            return
        number = 0
        for name in bus.index.match(event.data):
            kept = bus.rules[name]
            if kept.since >= seq or (event.quiet_read and kept.rule.state != ENABLED_WITH_READS):
                continue
            for target in bus.targets(name, seq):
                delivery = delivery_of(event, kept.rule, target.id, target.target.definition, unit.now)
                if delivery is not None:
                    OUTBOX.put(unit, delivery, f"{seq:0{SEQ_DIGITS}d}", f"{number:04d}")
                    number += 1
                else:
                    where = (kept.rule.account_id, kept.rule.region, kept.rule.bus, name)
                    count_failure(unit, where, target.id, target.target.arn, NO_JSON)


_OUTBOX_PREFIX: Final = OUTBOX.key("")
