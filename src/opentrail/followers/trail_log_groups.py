"""Delivery of trails' records to log groups: each selected record becomes one log event, once.

A trail with a log group has a task of its own, which reads lines from the trail's cursor and puts them as CloudTrail in the
trail's role. The cursor moves in the very commit of PutLogEvents, so a crash neither loses nor repeats an event. Neither
trails nor the delivery of log files wait for it. What CloudTrail itself did is delivered along with what others did, but is
no reason to deliver: each delivery would be followed by another for ever. Source: CloudTrail user guide, "Sending
events to CloudWatch Logs".
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from opentrail.call import Principal, Shape
from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.ports import Line, Seq
from opentrail.record.record_head import RecordHead, read_record
from opentrail.rows.cloudtrail import DELIVERY_PRINCIPAL, TrailConfig
from opentrail.rows.timelines import Timeline, Timelines
from opentrail.rows.trail_log_groups import (
    LOG_GROUP_CURSORS,
    LOG_GROUP_STATUS,
    Holder,
    LogGroupCursor,
    LogGroupStatus,
    assume_role,
    create_stream,
    group_name,
    stream_name,
)
from opentrail.state import House, Unit

EVENT_BYTES_MAX: Final = 262_144
"""Larger records are not sent. Source: CloudTrail user guide, "Quotas in AWS CloudTrail"."""
BATCH_BYTES_MAX: Final = 1_000_000
"""Bytes of one PutLogEvents, with 26 for each event; a batch ends with the line that would exceed it."""
BATCH_EVENTS_MAX: Final = 10_000
EVENT_OVERHEAD: Final = 26
READ_LINES: Final = 500
"""Lines taken at once before other work gets its turn."""
GATHER_SECONDS: Final = 5.0
"""How long a trail gathers before it delivers, unless log files are delivered more often."""
TICK_SECONDS: Final = 1.0
"""How often it is looked whether a trail has a log group."""
HEADS_KEPT_MAX: Final = 2_000
"""Records whose decoded heads are kept."""
FORGET_TICKS: Final = 60
"""How often rows of trails that are gone are looked for."""
CURSOR_LAG_LINES: Final = 50_000
"""Lines without anything for a trail after which its cursor is moved all the same."""
RETRY_MIN_SECONDS, RETRY_MAX_SECONDS = 1.0, 300.0
SESSION_MARGIN_SECONDS: Final = 300.0
"""A session is not used in the last minutes of its life."""

log = logging.getLogger("opentrail.trail-log-groups")


class Batch(msgspec.Struct):
    """What is read of a trail and not yet delivered: the lines behind `begun`, up to `through`."""

    begun: Seq
    through: Seq
    messages: list[str] = []
    size: int = 0
    foreign: Seq = 0
    """The first line in it that CloudTrail has not done itself; 0 if there is none."""
    left_out: int = 0
    full: bool = False


class TrailLogGroupsFollower:
    """A `ports.Follower`."""

    name = "trail-log-groups"

    def __init__(self, house: House, holder: Holder) -> None:
        self._house = house
        self._holder = holder
        self._timelines = Timelines(house.ledger)
        self._sessions: dict[tuple[str, str], Principal] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._batches: dict[str, Batch] = {}
        self._heads: dict[Seq, RecordHead | None] = {}
        self._gather = min(GATHER_SECONDS, house.settings.delivery_interval)

    async def run(self) -> None:
        """Follow for ever, from the cursors of the trails."""
        self._tasks, self._batches = {}, {}
        ticks = 0
        async with asyncio.TaskGroup() as group:
            while True:
                self._timelines.refresh()
                for timeline in self._timelines:
                    if timeline.id not in self._tasks and self._has_work(timeline):
                        self._tasks[timeline.id] = group.create_task(self._serve(timeline.id))
                if ticks % FORGET_TICKS == 0:
                    await self._forget_unused()
                ticks += 1
                await asyncio.sleep(TICK_SECONDS)

    def position(self) -> Seq:
        """`ports.Reading`: every line up to here that a trail wants is in its log group, or is CloudTrail's own, which waits
        for others. Of the trail that is least advanced; the head when none has a log group."""
        self._timelines.refresh()
        reached = (self._reached(each) for each in self._timelines if self._has_work(each))
        return min(reached, default=self._house.ledger.head())

    def _reached(self, timeline: Timeline) -> Seq:
        batch = self._batches.get(timeline.id)
        if batch is None:
            return self._cursor(timeline)
        return batch.foreign - 1 if batch.foreign else batch.through

    async def flush(self) -> None:
        """Deliver everything that is durable now, of every trail; raises the first AwsError."""
        self._timelines.refresh()
        for timeline in self._timelines:
            while self._has_work(timeline):
                batch = await self._read(timeline.id)
                if batch is None or not batch.messages:
                    break
                await self._deliver(timeline.id, batch)

    def _has_work(self, timeline: Timeline) -> bool:
        """Has it a log group, and may there still be something to deliver?"""
        newest = timeline.periods[-1]
        if not newest.config.log_group_arn:
            return False
        return not newest.config.deleted or self._cursor(timeline) < newest.since

    async def _serve(self, trail_id: str) -> None:
        """Deliver a trail's lines for as long as it has a log group."""
        delay = RETRY_MIN_SECONDS
        try:
            while True:
                try:
                    if not await self._serve_once(trail_id):
                        return
                    delay = RETRY_MIN_SECONDS
                except (AwsError, Conflict, LedgerUnavailable) as failure:
                    log.info("trail %s: events wait for its log group: %s", trail_id, failure)
                    changed = await self._changed(trail_id, delay)
                    delay = RETRY_MIN_SECONDS if changed else min(delay * 2, RETRY_MAX_SECONDS)
        finally:
            del self._tasks[trail_id]
            self._batches.pop(trail_id, None)

    async def _serve_once(self, trail_id: str) -> bool:
        """Wait for lines, gather for a while, deliver; False when there is nothing to be done for the trail any more."""
        batch = self._batch(trail_id)
        if batch is None:
            return False
        if not batch.full:
            await self._house.ledger.wait(batch.through)
        batch = await self._gathered(trail_id)
        if batch is None:
            return False
        last = self._ended(trail_id, batch)
        if batch.messages and (batch.foreign or batch.full or last):
            await self._deliver(trail_id, batch)
        elif last or (not batch.messages and batch.through - batch.begun > CURSOR_LAG_LINES):
            await self._skip(trail_id, batch)
        return True

    def _ended(self, trail_id: str, batch: Batch) -> bool:
        """Has the trail been deleted, and is that known to the batch?"""
        timeline = self._timelines.get(trail_id)
        return timeline is not None and timeline.newest.deleted and batch.through >= timeline.periods[-1].since

    async def _gathered(self, trail_id: str) -> Batch | None:
        """A batch that is full, or what there is after the time to gather."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._gather
        while True:
            batch = await self._read(trail_id)
            left = until - loop.time()
            if batch is None or batch.full or left <= 0:
                return batch
            await asyncio.sleep(left)

    def _batch(self, trail_id: str) -> Batch | None:
        """What is read of a trail so far; None if there is nothing more to do for it."""
        self._timelines.refresh()
        timeline = self._timelines.get(trail_id)
        if timeline is None or not self._has_work(timeline):
            return None
        known = self._batches.get(trail_id)
        if known is None:
            through = self._cursor(timeline)
            known = self._batches[trail_id] = Batch(through, through)
        return known

    async def _read(self, trail_id: str) -> Batch | None:
        """Read on up to the head, or until the batch is full."""
        batch = self._batch(trail_id)
        if batch is None:
            return None
        ledger = self._house.ledger
        head = ledger.head()
        while batch.through < head and not batch.full:
            lines = ledger.read(batch.through, READ_LINES)
            self._timelines.refresh()
            timeline = self._timelines.get(trail_id)
            if timeline is None:
                return None
            for seq, line in lines:
                if not self._add(batch, timeline, seq, line):
                    batch.full = True
                    break
                batch.through = seq
            if not lines:
                batch.through = head
            await asyncio.sleep(0)
        return batch

    def _add(self, batch: Batch, timeline: Timeline, seq: Seq, line: Line) -> bool:
        """Take in a line; False if the batch has no room for it."""
        record = self._head(seq, line)
        if record is None or not self._wants(timeline, record, seq):
            return True
        size = len(line.data)
        if size > EVENT_BYTES_MAX:
            batch.left_out += 1
            return True
        if batch.size + size + EVENT_OVERHEAD > BATCH_BYTES_MAX or len(batch.messages) >= BATCH_EVENTS_MAX:
            return False
        batch.messages.append(line.data.decode())
        batch.size += size + EVENT_OVERHEAD
        if not batch.foreign and record.user_identity.invoked_by != DELIVERY_PRINCIPAL:
            batch.foreign = seq
        return True

    def _head(self, seq: Seq, line: Line) -> RecordHead | None:
        """A record as far as trails ask for it; all trails that are at the same lines share what was decoded."""
        if line.kind != "record":
            return None
        if seq not in self._heads:
            if len(self._heads) >= HEADS_KEPT_MAX:
                self._heads.clear()
            try:
                self._heads[seq] = read_record(line.data)
            except msgspec.MsgspecError:
                self._heads[seq] = None
        return self._heads[seq]

    def _wants(self, timeline: Timeline, record: RecordHead, seq: Seq) -> bool:
        """Does the trail log the line, and had it a log group then?"""
        if not any(period.config.log_group_arn for period in timeline.at(seq)):
            return False
        return any(each.id == timeline.id for each in self._timelines.logging(record, seq))

    def _cursor(self, timeline: Timeline) -> Seq:
        """Where the trail goes on; at first with the configuration that gave it a log group."""
        found = LOG_GROUP_CURSORS.get(Unit(self._house, 0.0), timeline.id)
        if found is not None:
            return found.through
        since = timeline.periods[-1].since
        for period in reversed(timeline.periods):
            if not period.config.log_group_arn:
                break
            since = period.since
        return since - 1

    async def _deliver(self, trail_id: str, batch: Batch) -> None:
        """Put a batch; raises the AwsError that kept it from being put, once the trail's status says so."""
        timeline = self._timelines.get(trail_id)
        if timeline is None:
            return
        config = timeline.newest
        try:
            principal = await self._session(trail_id, config)
            try:
                await self._put(trail_id, config, principal, batch)
            except AwsError as error:
                if error.code != "ResourceNotFoundException":
                    raise
                await create_stream(self._house, config, principal)
                await self._put(trail_id, config, principal, batch)
        except AwsError as error:
            self._sessions.pop((trail_id, config.log_role_arn), None)
            await self._note_failure(trail_id, error)
            raise
        self._batches.pop(trail_id, None)

    async def _put(self, trail_id: str, config: TrailConfig, principal: Principal, batch: Batch) -> None:
        """PutLogEvents, the cursor and the status in one commit. The time of the events is that of their delivery."""
        unit = Unit(self._house, self._house.clock.now())
        self._move(unit, trail_id, batch)
        status = LOG_GROUP_STATUS.get(unit, trail_id) or LogGroupStatus()
        done = msgspec.structs.replace(
            status,
            delivered_at=unit.now,
            error="",
            events=status.events + len(batch.messages),
            left_out=status.left_out + batch.left_out,
        )
        LOG_GROUP_STATUS.put(unit, done, trail_id)
        time = int(unit.now * 1000)
        given: Shape = {
            "logGroupName": group_name(config),
            "logStreamName": stream_name(config),
            "logEvents": [{"timestamp": time, "message": message} for message in batch.messages],
        }
        await self._house.road.call(
            principal, "logs", "PutLogEvents", given, region=config.home_region, also=unit.writes
        )

    def _move(self, unit: Unit, trail_id: str, batch: Batch) -> None:
        LOG_GROUP_CURSORS.get(unit, trail_id)  # what is read must not have been moved by anybody else
        LOG_GROUP_CURSORS.put(unit, LogGroupCursor(batch.through), trail_id)

    async def _skip(self, trail_id: str, batch: Batch) -> None:
        """Nothing to deliver up to here."""
        unit = Unit(self._house, self._house.clock.now())
        self._move(unit, trail_id, batch)
        await self._house.ledger.commit(unit.writes, ())
        self._batches.pop(trail_id, None)

    async def _session(self, trail_id: str, config: TrailConfig) -> Principal:
        """CloudTrail in the trail's role; a session is used until shortly before it ends."""
        key = (trail_id, config.log_role_arn)
        known = self._sessions.get(key)
        now = self._house.clock.now()
        if known is not None and known.session is not None and known.session.expires_at - now > SESSION_MARGIN_SECONDS:
            return known
        self._sessions = {old: each for old, each in self._sessions.items() if old[0] != trail_id}
        made = self._sessions[key] = await assume_role(self._house, config, self._holder)
        return made

    async def _note_failure(self, trail_id: str, error: AwsError) -> None:
        unit = Unit(self._house, self._house.clock.now())
        status = LOG_GROUP_STATUS.get(unit, trail_id) or LogGroupStatus()
        failed = msgspec.structs.replace(status, error=error.code, failures=status.failures + 1)
        LOG_GROUP_STATUS.put(unit, failed, trail_id)
        await self._house.ledger.commit(unit.writes, ())

    async def _changed(self, trail_id: str, seconds: float) -> bool:
        """Wait; True as soon as the trail has been changed."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        before = self._since(trail_id)
        while (left := until - loop.time()) > 0:
            await asyncio.sleep(min(left, TICK_SECONDS))
            self._timelines.refresh()
            if self._since(trail_id) != before:
                return True
        return False

    def _since(self, trail_id: str) -> Seq:
        timeline = self._timelines.get(trail_id)
        return timeline.periods[-1].since if timeline is not None else 0

    async def _forget_unused(self) -> None:
        """Remove the rows of trails that are gone or have no log group any more."""
        self._timelines.refresh()
        used = {each.id for each in self._timelines if each.newest.log_group_arn} | set(self._tasks)
        unit = Unit(self._house, 0.0)
        kept = [parts[0] for parts, _ in LOG_GROUP_CURSORS.all(unit)] + [
            parts[0] for parts, _ in LOG_GROUP_STATUS.all(unit)
        ]
        for trail_id in {*kept} - used:
            LOG_GROUP_CURSORS.delete(unit, trail_id)
            LOG_GROUP_STATUS.delete(unit, trail_id)
        if unit.writes.deletes:
            await self._house.ledger.commit(unit.writes, ())
