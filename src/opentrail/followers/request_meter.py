"""Counts requests for metrics configurations and for storage class analysis.

Reads the lines of metered buckets, told apart by their bytes; while no bucket is metered, lines are passed over unread. The
counts and the cursor are one commit, so that a crash counts nothing twice and nothing less; counts are gathered for a moment
before they are committed, so that busy buckets do not cost a commit for each request. A request counts for configurations
that were in force when its line was written, and by the class, age and tags that its object has when it is counted. Source:
S3 user guide, "Monitoring metrics with Amazon CloudWatch", "Amazon S3 analytics - Storage Class Analysis".
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Final

import msgspec

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.followers.lines import epoch
from opentrail.followers.request_lines import Request, bucket_in, metrics_of, read_request
from opentrail.followers.request_watch import TURN_MATCHES, Plans, Watch
from opentrail.ports import Seq
from opentrail.rows.s3 import BUCKETS, CONFIGS, OBJECTS, VERSIONS, ObjectVersion
from opentrail.rows.s3_metering import (
    ANALYTICS,
    COUNTS,
    METER_CURSORS,
    METERED_KINDS,
    METRICS,
    TALLIES,
    MeterCursor,
    RequestCounts,
    Tallied,
    Tally,
    Uses,
    groups_of,
    touch_metered,
)
from opentrail.state import House, Unit

READ_LINES: Final = 500
"""Lines counted before other work gets its turn."""
GATHER_SECONDS: Final = 0.5
"""Between two commits of counts."""
PENDING_MAX: Final = 500
"""Configurations with counts that are not committed; more are committed at once."""
IDLE_LINES: Final = 50_000
"""Lines without a count after which the cursor is written all the same."""
CONFLICTS_MAX: Final = 8
VERSIONS_MAX: Final = 100
"""Versions of a key among which that of a request is looked for."""
BUCKETS_PAGE: Final = 100
RETRY_SECONDS: Final = 1.0
UPLOADS: Final = frozenset({"PutObject", "CopyObject", "PostObject"})
"""What counts as uploaded; multipart uploads do not, as the guide says."""
_CURSOR: Final = "requests"

log = logging.getLogger("opentrail.requests")

Place = tuple[str, str]
"""Bucket and id of a configuration."""


class RequestMeter:
    """A `ports.Follower`."""

    name = "requests"

    def __init__(self, house: House) -> None:
        self._house = house
        self._watch = Watch(house)
        self._day = house.settings.lifecycle_day
        self._cursor: Seq = 0
        self._written: Seq = 0
        self._counts: dict[Place, Counter[str]] = {}
        self._tallies: dict[Place, Tallied] = {}

    def position(self) -> Seq:
        """`ports.Reading`."""
        return self._cursor

    async def run(self) -> None:
        """Follow for ever, from the durable cursor."""
        await self.resume()
        while True:
            await self._house.ledger.wait(self._cursor)
            try:
                await self.catch_up()
            except (Conflict, LedgerUnavailable) as failure:
                log.warning("counts of requests wait for the ledger: %s", failure)
                await asyncio.sleep(RETRY_SECONDS)
                await self.resume()
            await asyncio.sleep(GATHER_SECONDS)

    async def resume(self) -> None:
        """Go back to what is durable. The very first time that is here and now."""
        unit = Unit(self._house, self._house.clock.now())
        found = METER_CURSORS.get(unit, _CURSOR)
        if found is None:
            found = MeterCursor(self._house.ledger.head())
            await self._adopt(unit)
            METER_CURSORS.put(unit, found, _CURSOR)
            await self._house.ledger.commit(unit.writes, ())
        self._cursor = self._written = found.through
        self._counts.clear()
        self._tallies.clear()

    async def _adopt(self, unit: Unit) -> None:
        """Buckets whose configurations are older than this follower."""
        after = b""
        while rows := BUCKETS.page(Unit(self._house, 0.0), after=after, limit=BUCKETS_PAGE):
            for _, bucket in rows:
                if not METERED_KINDS.isdisjoint(bucket.configured):
                    touch_metered(unit, bucket.name)
            after = rows[-1][0]
            await asyncio.sleep(0)

    async def catch_up(self) -> None:
        """Count what is durable by now, and make the counts durable."""
        ledger = self._house.ledger
        head = ledger.head()
        while self._cursor < head:
            plans = await self._watch.look()
            if not plans:
                self._cursor = head
                break
            lines = ledger.read(self._cursor, READ_LINES)
            matches = 0
            for seq, line in lines:
                name = bucket_in(line.data) if line.kind == "record" else ""
                if name in plans:
                    matches += 1 + self._take(seq, line.data, name, plans[name])
                if matches >= TURN_MATCHES:
                    matches = 0
                    await asyncio.sleep(0)
            self._cursor = lines[-1][0] if lines else head
            if len(self._counts) + len(self._tallies) >= PENDING_MAX:
                await self._commit()
            await asyncio.sleep(0)
        await self._commit()

    def _take(self, seq: Seq, data: bytes, bucket: str, plans: Plans) -> int:
        """Count one line; for how many configurations."""
        try:
            request = read_request(data)
        except msgspec.MsgspecError:
            log.error("line %d is no record of a request; it counts for nothing", seq)
            return 0
        if request.bucket != bucket:
            return 0
        key = request.key
        version = self._version(request) if key else None
        metrics = metrics_of(request, self._status(request.error_code))
        counting = [each for each in plans.metrics.of(key, version) if each.since < seq]
        for each in counting:
            self._counts.setdefault((bucket, each.id), Counter()).update(metrics)
        uses = _uses(request)
        if version is None or version.delete_marker or uses is None:
            return len(counting)
        age = (epoch(request.event_time) - version.modified) / self._day
        tallied = {version.storage_class: dict.fromkeys(groups_of(age, version.size), uses)}
        analysing = [each for each in plans.analytics.of(key, version) if each.since < seq]
        for each in analysing:
            _add(self._tallies.setdefault((bucket, each.id), {}), tallied)
        return len(counting) + len(analysing)

    def _status(self, code: str) -> int:
        if not code:
            return 0
        found = self._house.models.standard_error("s3", code)
        return found[0] if found else 400

    def _version(self, request: Request) -> ObjectVersion | None:
        """The object of a request, if it is still there."""
        unit, wanted = Unit(self._house, 0.0), request.version_id
        current = OBJECTS.get(unit, request.bucket, request.key)
        if not wanted or (current is not None and current.version_id == wanted):
            return current
        rows = VERSIONS.page(unit, request.bucket, request.key, limit=VERSIONS_MAX)
        return next((version for _, version in rows if version.version_id == wanted), None)

    async def _commit(self) -> None:
        """Counts and cursor, once. Raises Conflict, LedgerUnavailable."""
        if not self._counts and not self._tallies and self._cursor - self._written < IDLE_LINES:
            return
        for attempt in range(CONFLICTS_MAX):
            unit = Unit(self._house, 0.0)
            found = METER_CURSORS.get(unit, _CURSOR)
            if found is None or found.through != self._written:
                raise Conflict(b"somebody else has counted")
            METER_CURSORS.put(unit, MeterCursor(self._cursor), _CURSOR)
            self._put_counts(unit)
            try:
                await self._house.ledger.commit(unit.writes, ())
                break
            except Conflict:
                if attempt == CONFLICTS_MAX - 1:
                    raise
        self._written = self._cursor
        self._counts.clear()
        self._tallies.clear()

    def _put_counts(self, unit: Unit) -> None:
        """Add to the rows of configurations that are still there; reading them guards the commit."""
        for place, counts in self._counts.items():
            if CONFIGS.get(unit, place[0], METRICS, place[1]) is not None:
                row = COUNTS.get(unit, *place) or RequestCounts()
                COUNTS.put(unit, RequestCounts(dict(Counter(row.counts) + counts)), *place)
        for place, tally in self._tallies.items():
            if CONFIGS.get(unit, place[0], ANALYTICS, place[1]) is not None:
                sums = {name: dict(groups) for name, groups in (TALLIES.get(unit, *place) or Tally()).uses.items()}
                _add(sums, tally)
                TALLIES.put(unit, Tally(sums), *place)


def _uses(request: Request) -> Uses | None:
    """What a request is to an analysis; None for one that failed, and for all but gets and uploads."""
    if request.error_code:
        return None
    if request.event_name == "GetObject":
        return Uses(gets=1, retrieved=request.bytes_out)
    return Uses(uploaded=request.object_size) if request.event_name in UPLOADS else None


def _add(sums: Tallied, more: Tallied) -> None:
    for name, groups in more.items():
        mine = sums.setdefault(name, {})
        for group, uses in groups.items():
            mine[group] = mine.get(group, Uses()).plus(uses)
