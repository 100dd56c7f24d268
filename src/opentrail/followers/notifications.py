"""Delivers notices of buckets to queues and topics, as S3, on the one road.

A delivery is over in the commit that puts the message into the queue or the topic, so it is made once, whenever the
process ends. Notices lie in the ledger; in memory are only those under way. Knows neither buckets nor configurations.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from msgspec.structs import replace

from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.followers.hearing import hearing, rest
from opentrail.ports import Key, Versioned, Writes
from opentrail.rows.s3_notices import BELL, NOTICE_BELL, NOTICES, Notice, as_s3, due_of, put_notice, sending
from opentrail.state import House, Unit

TOGETHER: Final = 16
"""Notices under way at the same time."""
LOOK_AGAIN_SECONDS: Final = 5.0
"""How often is looked unasked for what another process may have written."""
AGE_SECONDS_MAX: Final = 86_400.0
"""After this long a notice is given up."""
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 1.0, 300.0
"""Between two tries; twice as long each time."""

log = logging.getLogger("opentrail.notifications")


class NotificationsFollower:
    """A `ports.Follower`."""

    name = "notifications"

    def __init__(self, house: House) -> None:
        self._house = house

    async def run(self) -> None:
        """Deliver for ever; what a former run left comes first."""
        with hearing(BELL, NOTICE_BELL) as rung:
            while True:
                rung.clear()
                await self.flush()
                await rest(rung, self._pause())

    def _pause(self) -> float:
        """Until the next notice is due."""
        rows = Unit(self._house, 0.0).scan(NOTICES.key(""), b"", 1)
        if not rows:
            return LOOK_AGAIN_SECONDS
        return min(LOOK_AGAIN_SECONDS, max(0.01, due_of(rows[0][0]) - self._house.clock.now()))

    async def flush(self) -> None:
        """Try every notice that is due, some at a time."""
        while rows := self._due():
            async with asyncio.TaskGroup() as group:
                tries = [group.create_task(self._deliver(key, found)) for key, found in rows]
            if not all(each.result() for each in tries):
                await asyncio.sleep(PAUSE_SECONDS_MIN)
                return

    def _due(self) -> list[tuple[Key, Versioned]]:
        now = self._house.clock.now()
        rows = Unit(self._house, 0.0).scan(NOTICES.key(""), b"", TOGETHER)
        return [(key, found) for key, found in rows if due_of(key) <= now]

    async def _deliver(self, key: Key, found: Versioned) -> bool:
        """False if neither the delivery nor its failure could be noted now."""
        notice = NOTICES.decode(found.value)
        done = Writes(deletes={key}, reads={key: found.version})
        try:
            try:
                await self._send(notice, done)
            except AwsError as error:
                await self._settle(notice, done, error)
        except (Conflict, LedgerUnavailable):
            log.warning("a notice of bucket %s could not be delivered now", notice.bucket)
            return False
        return True

    async def _send(self, notice: Notice, done: Writes) -> None:
        """Make the delivery and the end of the notice one commit."""
        way = sending(notice.destination, notice.body)
        if way is None:
            raise AwsError("NotImplemented", "only queues and topics are told", 400)
        principal = as_s3(notice.bucket_arn, notice.owner)
        await self._house.road.call(principal, way.service, way.operation, way.given, region=way.region, also=done)

    async def _settle(self, notice: Notice, done: Writes, error: AwsError) -> None:
        """Try again later if that may help, else give up in sight."""
        unit = Unit(self._house, self._house.clock.now())
        unit.writes.include(done)
        again = error.status >= 500 or error.code == "OperationAborted"
        if again and unit.now - notice.first < AGE_SECONDS_MAX:
            pause = min(PAUSE_SECONDS_MIN * 2.0 ** min(notice.attempts, 20), PAUSE_SECONDS_MAX)
            put_notice(unit, replace(notice, attempts=notice.attempts + 1), unit.now + pause)
        else:
            log.warning("bucket %s to %s: %s: %s", notice.bucket, notice.destination, error.code, error.message)
        await self._house.ledger.commit(unit.writes, ())
