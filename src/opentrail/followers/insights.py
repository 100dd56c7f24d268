"""Insights: counts calls and failures by minute, and writes an Insight event where a minute is unlike the days before.

Reads lines for those accounts and regions where a trail has insight selectors; with none, lines are passed over unread.
A closed minute is one commit: counts, events and the cursor, so that a crash counts nothing twice and tells nothing twice.
A minute is closed by the first line of a later one, or by the clock when there is none. What becomes of the events is
the business of delivery, history and rules, as with every line. Source: CloudTrail user guide,
"Working with CloudTrail Insights".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.followers.lines import epoch
from opentrail.ports import Line, Seq
from opentrail.record.insight import (
    BASELINE_MINUTES,
    INSIGHT,
    KINDS,
    QUIET_MINUTES,
    Moment,
    Subject,
    insight_record,
    is_unusual,
    subjects,
)
from opentrail.record.record_head import RecordHead
from opentrail.rows.insights import (
    CURSORS,
    SERIES,
    WATCHES,
    InsightCursor,
    InsightWatch,
    Series,
    Shares,
    Unusual,
)
from opentrail.rows.timelines import Timelines
from opentrail.state import House, Unit

READ_LINES: Final = 500
"""Lines counted before other work gets its turn."""
GATHER_SECONDS: Final = 0.2
"""How long lines come together before they are counted: a minute's verdict can wait that long."""
TICK_SECONDS: Final = 1.0
"""How often the clock is asked whether a minute is over."""
GRACE_SECONDS: Final = 2.0
"""How long the clock waits for late lines of a minute that is over."""
IDLE_LINES: Final = 50_000
"""Lines passed over unread after which the cursor is written all the same."""
VALUES_MAX: Final = 20
"""Identities, user agents and error codes remembered of a series' day."""
_HOUR, _DAY = 60, 24 * 60
"""In minutes."""
_CURSOR: Final = "insights"

log = logging.getLogger("opentrail.insights")

Place = tuple[str, str, Subject]
"""Account, region and what is counted there."""


class _Caller(msgspec.Struct, frozen=True, rename="camel"):
    """What attributions need of a record besides its head."""

    user_agent: str = ""


_caller = msgspec.json.Decoder(_Caller).decode
_head = msgspec.json.Decoder(RecordHead).decode


class _Count:
    """One minute of one series."""

    __slots__ = ("calls", "shares")

    def __init__(self) -> None:
        self.calls = 0
        self.shares: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}

    def add(self, *values: str) -> None:
        self.calls += 1
        for kind, value in zip(KINDS, values, strict=True):
            self.shares[kind][value] += 1


class InsightsFollower:
    """A `ports.Follower`."""

    name = "insights"

    def __init__(self, house: House) -> None:
        self._house = house
        self._timelines = Timelines(house.ledger)
        self._cursor: Seq = -1
        self._written: Seq = -1
        self._minute = 0
        """The open minute; 0 before there was a line."""
        self._counts: defaultdict[Place, _Count] = defaultdict(_Count)
        self._unusual: set[Place] = set()
        self._watching = True
        """There may be counts that nobody asks for any more."""
        self._learning = int(house.settings.insight_learning // 60)

    def position(self) -> Seq:
        """`ports.Reading`."""
        return max(self._cursor, 0)

    async def run(self) -> None:
        """Follow for ever, from the durable cursor."""
        self._resume()
        while True:
            with contextlib.suppress(TimeoutError):  # the clock closes a minute that no line follows
                async with asyncio.timeout(TICK_SECONDS):
                    await self._house.ledger.wait(self._cursor)
            try:
                await self.catch_up()
                await asyncio.sleep(GATHER_SECONDS)
            except (Conflict, LedgerUnavailable) as failure:
                log.warning("insights wait for the ledger: %s", failure)
                self._resume()
                await asyncio.sleep(TICK_SECONDS)

    def _resume(self) -> None:
        unit = Unit(self._house, 0.0)
        found = CURSORS.get(unit, _CURSOR) or InsightCursor(0)
        self._cursor = self._written = found.through
        self._minute = found.minute + 1 if found.minute else 0
        self._counts.clear()
        self._unusual = {
            (account, region, Subject(*key.split("|")))
            for (account, region, key), series in SERIES.all(unit)
            if series.unusual is not None
        }

    async def catch_up(self) -> None:
        """Count what is durable by now, and close the minutes that are over."""
        ledger = self._house.ledger
        head = ledger.head()
        while self._cursor < head:
            self._timelines.refresh()
            if not self._timelines.has_insights:
                await self._pass_over(head)
                return
            lines = ledger.read(self._cursor, READ_LINES)
            for seq, line in lines:
                if line.kind == "record":
                    await self._take(seq, line.data)
                self._cursor = seq
            if not lines:
                self._cursor = head
            await asyncio.sleep(0)
        now = int((self._house.clock.now() - GRACE_SECONDS) // 60)
        if self._minute and now > self._minute and (self._counts or self._unusual):
            await self._close(now, self._cursor)

    async def _pass_over(self, head: Seq) -> None:
        """Nobody asks for insights: what was begun is forgotten."""
        self._cursor, self._minute = head, 0
        self._counts.clear()
        self._unusual.clear()
        while head - self._written >= IDLE_LINES or self._watching:
            unit = Unit(self._house, 0.0)
            rows = [key for table in (SERIES, WATCHES) for key, _ in unit.scan(table.key(""))]
            for key in rows:
                unit.delete(key)
            CURSORS.put(unit, InsightCursor(head), _CURSOR)
            await self._house.ledger.commit(unit.writes, ())
            self._written, self._watching = head, bool(rows)

    async def _take(self, seq: Seq, data: bytes) -> None:
        try:
            record = _head(data)
        except msgspec.MsgspecError:
            log.error("line %d is no record; it counts for nothing", seq)
            return
        if record.event_category == INSIGHT or not record.event_name:
            return
        minute = int((epoch(record.event_time) or 0) // 60)
        if not self._minute:
            self._minute = minute
        elif minute > self._minute:
            await self._close(minute, seq - 1)
        self._count(record, data)

    def _count(self, record: RecordHead, data: bytes) -> None:
        account, region = record.recipient_account_id, record.aws_region
        wanted = self._timelines.insights_of(account, region)
        if not wanted:
            return
        found = subjects(
            record.event_category, record.event_source, record.event_name, bool(record.read_only), record.error_code
        )
        for subject in found:
            if (subject.type, subject.category) in wanted:
                identity = record.user_identity.arn or record.user_identity.invoked_by
                self._counts[account, region, subject].add(identity, _caller(data).user_agent, record.error_code)

    async def _close(self, minute: int, through: Seq) -> None:
        """The open minute is over, and `minute` begins: one commit."""
        closed = minute - 1
        unit = Unit(self._house, self._house.clock.now())
        lines: list[Line] = []
        for place in {*self._counts, *self._unusual}:
            lines += self._settle(unit, place, closed)
        CURSORS.put(unit, InsightCursor(through, closed), _CURSOR)
        await self._house.ledger.commit(unit.writes, lines)
        self._written, self._minute = through, minute
        self._counts.clear()

    def _settle(self, unit: Unit, place: Place, closed: int) -> Iterator[Line]:
        """Judge one series' minute, and remember it. `closed` is the last minute that is over: behind the counted one,
        minutes may have passed in which nothing happened."""
        account, region, subject = place
        series = SERIES.get(unit, account, region, subject.key) or Series()
        count = self._counts.get(place) or _Count()
        since = self._since(unit, account, region)
        unusual = series.unusual
        lines: list[Line] = []
        if unusual is not None:
            unusual, lines = self._go_on(place, unusual, count, closed)
        elif self._minute - since >= self._learning:
            unusual, lines = self._begin(place, series, count, since)
        (self._unusual.discard if unusual is None else self._unusual.add)(place)
        SERIES.put(unit, _remembered(series, count, self._minute, unusual), account, region, subject.key)
        yield from lines

    def _since(self, unit: Unit, account: str, region: str) -> int:
        found = WATCHES.get(unit, account, region)
        if found is None:
            found = InsightWatch(self._minute)
            WATCHES.put(unit, found, account, region)
            self._watching = True
        return found.since

    def _begin(self, place: Place, series: Series, count: _Count, since: int) -> tuple[Unusual | None, list[Line]]:
        minutes = max(min(self._minute - since, BASELINE_MINUTES), 1)
        average = sum(series.hours.values()) / minutes
        if not is_unusual(count.calls, average):
            return None, []
        before = Shares(_added(series.days.values()))
        unusual = Unusual(
            shared_id=self._house.clock.uuid(),
            started=self._minute,
            last=self._minute,
            average=average,
            minutes=minutes,
            calls=count.calls,
            before=before,
            during=_shares(count),
        )
        return unusual, [self._line(place, unusual, "Start", self._minute)]

    def _go_on(self, place: Place, unusual: Unusual, count: _Count, closed: int) -> tuple[Unusual | None, list[Line]]:
        """Still unusual, usual for the time being, or over."""
        if is_unusual(count.calls, unusual.average):
            calls = unusual.calls + unusual.pending + count.calls
            during = Shares(_added((unusual.during, _shares(count))))
            unusual = msgspec.structs.replace(unusual, last=self._minute, calls=calls, pending=0, during=during)
        else:
            unusual = msgspec.structs.replace(unusual, pending=unusual.pending + count.calls)
        if closed - unusual.last < QUIET_MINUTES:
            return unusual, []
        return None, [self._line(place, unusual, "End", unusual.last + 1)]

    def _line(self, place: Place, unusual: Unusual, state: str, minute: int) -> Line:
        account, region, subject = place
        minutes = unusual.last - unusual.started + 1
        moment = Moment(
            state,
            minute,
            account,
            region,
            self._house.clock.uuid(),
            unusual.shared_id,
            unusual.average,
            unusual.minutes,
            unusual.calls / minutes,
            minutes,
            unusual.before.counts,
            unusual.during.counts,
        )
        return Line("record", insight_record(subject, moment))


def _remembered(series: Series, count: _Count, minute: int, unusual: Unusual | None) -> Series:
    """The series with a minute more, and without what is older than seven days."""
    hours = {hour: calls for hour, calls in series.hours.items() if hour > (minute - BASELINE_MINUTES) // _HOUR}
    days = {day: shares for day, shares in series.days.items() if day > (minute - BASELINE_MINUTES) // _DAY}
    if count.calls:
        hours[minute // _HOUR] = hours.get(minute // _HOUR, 0) + count.calls
        today = minute // _DAY
        days[today] = Shares(_added((days.get(today, Shares()), _shares(count))))
    return Series(hours, days, unusual)


def _shares(count: _Count) -> Shares:
    return Shares({kind: dict(counter) for kind, counter in count.shares.items()})


def _added(many: Iterable[Shares]) -> dict[str, dict[str, int]]:
    """The sums, of the most frequent values."""
    sums: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for shares in many:
        for kind, counts in shares.counts.items():
            sums[kind].update(counts)
    return {kind: dict(counter.most_common(VALUES_MAX)) for kind, counter in sums.items()}
