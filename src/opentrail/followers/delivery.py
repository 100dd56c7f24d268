"""Delivery of log files: reads every line, gathers what each trail logs, and writes it to the trail's bucket in files.

Two steps, each one commit, make it exactly once: a plan says which lines go into which file under which name and moves
the trail's cursor; then PutObject and the end of the plan become durable together. Trails do not wait for each other.
Knows nothing of digests, which read what it leaves behind.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict

import msgspec

from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.followers.delivery_echo import Echoes
from opentrail.followers.delivery_notices import announce, has_notices
from opentrail.followers.delivery_plan import TRAIL_BYTES_MAX, Pending, addressed, put_plan
from opentrail.followers.delivery_write import look_at_bucket, note_failure, write_file
from opentrail.followers.lines import epoch
from opentrail.ports import Line, Seq
from opentrail.record.insight import INSIGHT
from opentrail.record.record_head import read_record
from opentrail.rows.cloudtrail import CURSORS, EVENTS, INSIGHTS, PLANNED, DeliveryCursor, PlannedFile, padded
from opentrail.rows.timelines import Timeline, Timelines
from opentrail.state import House, Unit

READ_LINES = 128
"""Lines taken at once before other work gets its turn: some two milliseconds, which is what a call then waits longer."""
GATHER_SECONDS = 0.05
"""How long lines come together before they are sorted, so that a quiet server's calls do not each pay for it."""
TICK_SECONDS = 1.0
"""How often due deliveries are looked for, at the least."""
TICK_MIN_SECONDS = 0.01
"""And at the most, however short the interval."""
CURSOR_LAG_LINES = 50_000
"""Lines without anything for a trail after which its cursor is moved all the same."""
RETRY_MIN_SECONDS = 1.0
RETRY_MAX_SECONDS = 300.0
PARALLEL_TRAILS = 4
"""Trails that deliver at the same time."""

Work = tuple[str, bool]
"""A trail's id, and what is to be done for it: False its files, True the notices of them. A topic's trouble never delays
a file."""

log = logging.getLogger("opentrail.delivery")


class DeliveryFollower:
    """A `ports.Follower`."""

    name = "delivery"

    def __init__(self, house: House) -> None:
        self._house = house
        self._timelines = Timelines(house.ledger)
        self._cursor: Seq = -1
        self._through: dict[str, DeliveryCursor] = {}
        self._pending: dict[str, Pending] = {}
        self._echoes = Echoes()
        self._reading = asyncio.Lock()
        self._slots = asyncio.Semaphore(PARALLEL_TRAILS)
        self._drains: dict[Work, asyncio.Task[None]] = {}
        self._delivering: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def position(self) -> Seq:
        """`ports.Reading`."""
        return max(self._cursor, 0)

    async def run(self) -> None:
        """Follow for ever, from the cursors of the trails."""
        self._resume()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read())
            group.create_task(self._tick(group))

    async def flush(self) -> None:
        """Deliver everything that is durable now. Every trail has its turn; then raises the first AwsError."""
        if self._cursor < 0:
            self._resume()
        async with self._reading:
            await self._gather()
            await self._plan([*self._pending, *(each.id for each in self._timelines if self._lags(each))])
        failures = []
        for notices in (False, True):
            for work in self._work():
                if work[1] is notices:
                    try:
                        await self._do(work)
                    except AwsError as error:
                        failures.append(error)
        if failures:
            raise failures[0]

    def _resume(self) -> None:
        """Take up where the durable cursors say."""
        self._timelines.refresh()
        unit = Unit(self._house, 0.0)
        self._pending = {}
        self._through = {parts[0]: row for parts, row in CURSORS.all(unit)}
        starts = [self._cursor_of(timeline).through for timeline in self._timelines]
        self._cursor = min(starts, default=self._house.ledger.head())

    def _cursor_of(self, timeline: Timeline) -> DeliveryCursor:
        """The trail's cursor; before its first plan, the line before its first configuration."""
        found = self._through.get(timeline.id)
        if found is None:
            found = self._through[timeline.id] = DeliveryCursor(through=timeline.periods[0].since - 1)
        return found

    async def _read(self) -> None:
        while True:
            head = await self._house.ledger.wait(self._cursor)
            while self._cursor < head:  # between two pages, what is due is planned, however much there is to read
                async with self._reading:
                    await self._gather_page(head)
            await asyncio.sleep(GATHER_SECONDS)

    async def _gather(self) -> None:
        """Sort every durable line to the trails that log it."""
        head = self._house.ledger.head()
        while self._cursor < head:
            await self._gather_page(head)

    async def _gather_page(self, head: Seq) -> None:
        """Sort some lines, and plan ahead of time what has become large."""
        self._timelines.refresh()
        if not self._timelines:  # a trail made after `head` was taken has nothing to log up to there
            self._cursor = max(self._cursor, head)
            return
        lines = self._house.ledger.read(self._cursor, READ_LINES)
        self._timelines.refresh()
        for start in range(0, len(lines), READ_LINES):  # the ledger gives whole batches, and those may be large
            for seq, line in lines[start : start + READ_LINES]:
                self._take(seq, line)
            await asyncio.sleep(0)
        self._cursor = lines[-1][0] if lines else head
        large = [trail_id for trail_id, pending in self._pending.items() if pending.size > TRAIL_BYTES_MAX]
        while not await self._plan_if_available(large):
            await asyncio.sleep(RETRY_MIN_SECONDS)  # nothing more is gathered until it could be made durable

    def _take(self, seq: Seq, line: Line) -> None:
        if line.kind != "record":
            return
        try:
            record = read_record(line.data)
        except msgspec.MsgspecError:
            log.error("line %d is no record; no trail can tell whether to log it", seq)
            return
        for timeline in self._timelines.logging(record, seq):
            if seq > self._cursor_of(timeline).through:
                pending = self._pending.get(timeline.id)
                if pending is None:
                    pending = self._pending[timeline.id] = Pending()
                echo = self._echoes.of(record)
                if pending.due == math.inf and not echo.waits:
                    pending.due = self._due(record.event_time)
                kind = INSIGHTS if record.event_category == INSIGHT else EVENTS
                who, where, whose = record.recipient_account_id, record.aws_region, timeline.organization_at(seq)
                pending.add(who, where, seq, len(line.data), record.event_time, echo, whose, kind)

    def _due(self, event_time: str) -> float:
        """When a trail whose oldest undelivered event is this one delivers; what waited before a restart counts."""
        interval = self._house.settings.delivery_interval
        happened = epoch(event_time) or self._house.clock.now()
        waited = min(max(self._house.clock.now() - happened, 0.0), interval)
        return asyncio.get_running_loop().time() + interval - waited

    async def _plan(self, trail_ids: list[str]) -> None:
        """Fix what is gathered as files; the rows are durable on return. What could not be made durable stays."""
        for trail_id in trail_ids:
            timeline = self._timelines.get(trail_id)
            if timeline is None:
                self._pending.pop(trail_id, None)
                continue
            unit = Unit(self._house, self._house.clock.now())
            cursor = CURSORS.get(unit, trail_id) or self._cursor_of(timeline)
            put_plan(unit, trail_id, timeline.newest, cursor, self._pending.get(trail_id), self._cursor)
            await self._house.ledger.commit(unit.writes, ())
            self._pending.pop(trail_id, None)
            self._through[trail_id] = CURSORS.get(Unit(self._house, 0.0), trail_id) or cursor

    async def _tick(self, group: asyncio.TaskGroup) -> None:
        """Plan what is due and see to it that every trail with planned files is being served."""
        pause = max(TICK_MIN_SECONDS, min(TICK_SECONDS, self._house.settings.delivery_interval / 4))
        while True:
            async with self._reading:
                await self._plan_due()
            for work in self._work():
                if work not in self._drains:
                    self._drains[work] = group.create_task(self._drain(work))
            await asyncio.sleep(pause)

    async def _plan_due(self) -> None:
        now = asyncio.get_running_loop().time()
        due = [trail_id for trail_id, pending in self._pending.items() if pending.due <= now]
        due += [timeline.id for timeline in self._timelines if self._lags(timeline)]
        await self._plan_if_available(due)

    async def _plan_if_available(self, trail_ids: list[str]) -> bool:
        """False if it could not be made durable: what is gathered stays, and is still due."""
        try:
            await self._plan(trail_ids)
        except LedgerUnavailable:
            return False
        return True

    def _lags(self, timeline: Timeline) -> bool:
        """Nothing is due for it, but its cursor says nothing of that: it was changed, or its organization (a last
        digest may wait for the cursor to pass the change), or much went by."""
        pending = self._pending.get(timeline.id)
        if pending is not None and pending.due < math.inf:
            return False
        through = self._cursor_of(timeline).through
        members = self._timelines.members.newest if timeline.newest.organization_id else 0
        changed = through < max(timeline.periods[-1].since, members) <= self._cursor
        return changed or self._cursor - through > CURSOR_LAG_LINES

    def _work(self) -> list[Work]:
        """What there is to do: two seeks for each trail."""
        unit = Unit(self._house, 0.0)
        found = [(each.id, False) for each in self._timelines if PLANNED.page(unit, each.id, limit=1)]
        return found + [(each.id, True) for each in self._timelines if has_notices(self._house, each.id)]

    async def _drain(self, work: Work) -> None:
        """Deliver a trail's planned files, or tell of them, however long that takes."""
        delay = RETRY_MIN_SECONDS
        try:
            while True:
                try:
                    async with self._slots:
                        await self._do(work)
                    return
                except (AwsError, Conflict, LedgerUnavailable):
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, RETRY_MAX_SECONDS)
        finally:
            del self._drains[work]

    async def _do(self, work: Work) -> None:
        """Do it in order; raises at the first that fails, once the trail's status says so. One at a time for a trail,
        since both write its status."""
        trail_id, notices = work
        async with self._delivering[trail_id]:
            timeline = self._timelines.get(trail_id)
            if not notices:
                await self._deliver_in_order(trail_id)
            elif timeline is not None:
                await announce(self._house, trail_id, timeline.newest)

    async def _deliver_in_order(self, trail_id: str) -> None:
        looked_at = 0.0
        while rows := PLANNED.page(Unit(self._house, 0.0), trail_id, limit=1):
            self._timelines.refresh()
            timeline = self._timelines.get(trail_id)
            if timeline is None:
                return
            key, row = rows[0]
            number = int(PLANNED.parts(key)[1])
            try:
                if row.looks and row.stamp != looked_at:
                    await look_at_bucket(self._house, timeline.newest, row)
                    looked_at = row.stamp
                self._echoes.note(row)
                await write_file(self._house, trail_id, timeline.newest, number, row)
            except AwsError as error:
                await note_failure(self._house, trail_id, timeline.newest, row, error)
                if await self._readdress(timeline, number, row):
                    continue
                raise

    async def _readdress(self, timeline: Timeline, number: int, row: PlannedFile) -> bool:
        """A file that could not be delivered goes where the trail delivers by now, if that is elsewhere."""
        moved = addressed(row, timeline.id, timeline.newest)
        if (moved.bucket, moved.key) == (row.bucket, row.key):
            return False
        unit = Unit(self._house, self._house.clock.now())
        if PLANNED.get(unit, timeline.id, padded(number)) is not None:
            PLANNED.put(unit, moved, timeline.id, padded(number))
            await self._house.ledger.commit(unit.writes, ())
        return True
