"""Delivers server access logs: lines that wait in the ledger become objects in the bucket that was chosen for them.

A log object, its record and the end of its lines' waiting are one commit, so that each line is delivered once, whenever the
process ends. Lines are judged by the configuration they were written under, which they carry. Follows the clock, not the
lines of the ledger, so it has no cursor. Source: S3 user guide, "Logging requests with server access logging".

A delivery is a request to the target, and told in the log of a target that is logged itself. Such lines alone do not cause
another delivery until they are a day old or many, or buckets that log to themselves, or to each other, would feed
themselves for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Final

import msgspec

from opentrail.access.acl import canonical_id
from opentrail.call import Shape
from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.ports import Key, Versioned, Writes
from opentrail.record.access_log import BY_EVENT, UNIQUE_ALPHABET, UNIQUE_LENGTH, object_key
from opentrail.rows.s3 import Bucket
from opentrail.rows.s3_logging import ACCESS_LINES, AccessLines, Target, as_logging, find_target, put_at, read_target
from opentrail.state import House, Unit

OBJECT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Characters of the lines in a log object; the row that reaches it is the last."""
OBJECT_ROWS_MAX: Final = 4_000
ROWS_PAGE: Final = 32
DELIVERIES_WAIT: Final = 86_400.0
"""Seconds for which lines that only tell of deliveries wait for others."""
AGE_SECONDS_MAX: Final = 7 * 86_400.0
"""Lines that could not be delivered for so long are given up."""
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 1.0, 300.0
"""Between two tries for one bucket; twice as long each time."""
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.02, 30.0
"""Between two looks at what waits: a tenth of the interval, within these."""
CONTENT_TYPE: Final = "text/plain"
_DAY: Final = 86_400
_GRANTS: Final = {"FULL_CONTROL": "GrantFullControl", "READ": "GrantRead"}

log = logging.getLogger("opentrail.access_logs")


class _Batch(msgspec.Struct):
    """Rows that make one log object."""

    target: str
    day: int
    rows: list[tuple[Key, Versioned, AccessLines]]
    size: int = 0

    def admits(self, row: AccessLines) -> bool:
        """Goes to the same place, and there is room for it."""
        if row.target != self.target or self.size >= OBJECT_BYTES_MAX or len(self.rows) >= OBJECT_ROWS_MAX:
            return False
        return int(row.at // _DAY) == self.day or read_target(self.target).partition != BY_EVENT

    def add(self, key: Key, found: Versioned, row: AccessLines) -> None:
        self.rows.append((key, found, row))
        self.size += sum(map(len, row.lines))


class AccessLogFollower:
    """A `ports.Follower`."""

    name = "access-logs"

    def __init__(self, house: House) -> None:
        self._house = house
        self._interval = house.settings.access_log_interval
        self._waiting: dict[str, tuple[float, float]] = {}
        """By bucket: when its lines are tried again, and how long is waited after that. Bounded by the buckets."""

    async def run(self) -> None:
        """Deliver for ever what is due; what a former run left is due by its age."""
        pause = min(max(self._interval / 10, PAUSE_SECONDS_MIN), PAUSE_SECONDS_MAX)
        while True:
            await self.sweep()
            await asyncio.sleep(pause)

    async def sweep(self) -> None:
        """One look at every bucket that has lines."""
        now = self._house.clock.now()
        for bucket in self._buckets():
            if self._waiting.get(bucket, (0.0, 0.0))[0] <= now and self._is_due(bucket, now):
                await self._drain(bucket, now)
            await asyncio.sleep(0)

    async def flush(self) -> None:
        """Deliver everything that is there now."""
        now = self._house.clock.now()
        for bucket in self._buckets():
            await self._drain(bucket, now)

    def _buckets(self) -> Iterator[str]:
        """The buckets that have lines: one seek for each."""
        start = ACCESS_LINES.key("")
        after = b""
        while rows := Unit(self._house, 0.0).scan(start, after, 1):
            bucket = ACCESS_LINES.parts(rows[0][0])[0]
            yield bucket
            after = ACCESS_LINES.key(bucket) + b"\0\xff"

    def _is_due(self, bucket: str, now: float) -> bool:
        rows = ACCESS_LINES.page(Unit(self._house, 0.0), bucket, limit=ROWS_PAGE)
        if len(rows) == ROWS_PAGE and all(row.delivery for _, row in rows):
            return True
        return any(put_at(key) + (DELIVERIES_WAIT if row.delivery else self._interval) <= now for key, row in rows)

    async def _drain(self, bucket: str, now: float) -> None:
        """Deliver what the bucket has had at `now`, but for lines that only these deliveries have left."""
        first = True
        while (batch := self._batch(bucket, now)) is not None:
            if not first and all(row.delivery for _, _, row in batch.rows):
                return
            first = False
            try:
                await self._deliver(bucket, batch)
            except (AwsError, Conflict, LedgerUnavailable) as error:
                await self._put_off(bucket, batch, error)
                return
            self._waiting.pop(bucket, None)

    def _batch(self, bucket: str, now: float) -> _Batch | None:
        """The next rows that go into one object."""
        unit, batch = Unit(self._house, 0.0), None
        after = b""
        while rows := unit.scan(ACCESS_LINES.key(bucket, ""), after, ROWS_PAGE):
            for key, found in rows:
                row = ACCESS_LINES.decode(found.value)
                if put_at(key) > now:
                    return batch
                if batch is None:
                    batch = _Batch(row.target, int(row.at // _DAY), [])
                elif not batch.admits(row):
                    return batch
                batch.add(key, found, row)
            after = rows[-1][0]
        return batch

    async def _deliver(self, bucket: str, batch: _Batch) -> None:
        """Make the object and the end of its lines' waiting one commit; raises AwsError, Conflict, LedgerUnavailable."""
        house = self._house
        place = read_target(batch.target)
        target = find_target(Unit(house, 0.0), place.bucket)
        unique = house.clock.token(UNIQUE_LENGTH, UNIQUE_ALPHABET)
        source = (target.owner, target.region, bucket)
        key = object_key(place.prefix, place.partition, source, batch.rows[0][2].at, house.clock.now(), unique)
        given: Shape = {"Bucket": target.name, "Key": key, "ContentType": CONTENT_TYPE, **_grants(place, target)}
        done = Writes(
            deletes={key for key, _, _ in batch.rows}, reads={key: found.version for key, found, _ in batch.rows}
        )
        text = "".join(f"{line}\n" for _, _, row in batch.rows for line in row.lines)
        await house.road.call(
            as_logging(bucket, target.owner),
            "s3",
            "PutObject",
            given,
            region=target.region,
            body=text.encode(),
            also=done,
        )

    async def _put_off(self, bucket: str, batch: _Batch, error: Exception) -> None:
        """Try again later; give up what is too old to be waited for."""
        now = self._house.clock.now()
        pause = self._waiting.get(bucket, (0.0, RETRY_SECONDS_MIN))[1]
        self._waiting[bucket] = (now + pause, min(pause * 2, RETRY_SECONDS_MAX))
        place = read_target(batch.target)
        if not isinstance(error, AwsError):
            log.warning("access logs of %s cannot be delivered now: %s", bucket, error)
            return
        log.warning("access logs of %s to %s: %s: %s", bucket, place.bucket, error.code, error.message)
        old = {key: found.version for key, found, _ in batch.rows if put_at(key) + AGE_SECONDS_MAX < now}
        if old:
            log.error("%d access log rows of %s are given up: undeliverable for a week", len(old), bucket)
            await self._house.ledger.commit(Writes(deletes=set(old), reads=old), ())


def _grants(place: Target, target: Bucket) -> Shape:
    """Who may read the object besides the target's owner. WRITE means nothing on an object."""
    if not place.grants or target.ownership == "BucketOwnerEnforced":
        return {}
    found: dict[str, list[str]] = {"GrantFullControl": [f'id="{canonical_id(target.owner)}"']}
    for grantee, permission in place.grants:
        if permission in _GRANTS:
            text = f'{"uri" if ":" in grantee else "id"}="{grantee}"'
            found.setdefault(_GRANTS[permission], []).append(text)
    return {member: ", ".join(dict.fromkeys(texts)) for member, texts in found.items()}
