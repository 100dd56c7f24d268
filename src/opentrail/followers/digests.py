"""Digests: for each validating trail and region a signed file an hour that names the log files delivered in it.

They are written also when nothing was delivered, chained from the moment logging began to a final one when it ends.
A multi-region trail has a chain in its home region from the start, and in others from their first log file on; an
organization trail has such chains for each account, those of a member from its first log file until it leaves. A chain's
place is its region, and for a member its account (`rows.cloudtrail.place_of`). Digests read what the delivery leaves
behind and know nothing of records.
"""

from __future__ import annotations

import asyncio
import contextlib
import math

import msgspec

from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.followers import digest_chain
from opentrail.followers.digest_keys import SigningKeys
from opentrail.followers.trail_sweep import sweep
from opentrail.rows.cloudtrail import (
    CHAINS,
    CURSORS,
    DELIVERY_STATUS,
    DIGEST_STATUS,
    PLANNED,
    DigestChain,
    DigestStatus,
    TrailConfig,
    read_place,
)
from opentrail.rows.timelines import Timeline, Timelines
from opentrail.state import House, Unit

TICK_SECONDS = 1.0
"""How often trails are looked at, at the most."""
SWEEP_SECONDS = 3_600.0
GRACE_SECONDS_MAX = 60.0
"""How long a digest waits for log files that are being delivered when its window ends; a quarter of the interval at the
most. What comes later still goes into a backfill digest."""
RETRY_MIN_SECONDS = 1.0
RETRY_MAX_SECONDS = 300.0


class DigestFollower:
    """A `ports.Follower`. Its cursors are the chains."""

    name = "digests"

    def __init__(self, house: House) -> None:
        self._house = house
        self._timelines = Timelines(house.ledger)
        self._keys = SigningKeys(house)
        self._interval = max(1, math.ceil(house.settings.digest_interval))
        self._quiet: dict[str, float] = {}
        self._delays: dict[str, float] = {}
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Follow for ever, from the ends of the chains."""
        loop = asyncio.get_running_loop()
        swept = loop.time()
        while True:
            await self.step()
            if loop.time() - swept > SWEEP_SECONDS:
                swept = loop.time()
                await sweep(self._house, self._timelines)
            await asyncio.sleep(min(TICK_SECONDS, self._interval / 4))

    async def step(self) -> None:
        """Write the digests that are due."""
        async with self._turn:
            if self._timelines.refresh():
                self._quiet.clear()
            now = self._house.clock.now()
            for timeline in self._timelines:
                if self._quiet.get(timeline.id, 0.0) <= now:
                    self._quiet[timeline.id] = await self._serve(timeline)

    async def flush(self) -> None:
        """Write a digest of everything delivered until now, in every chain; raises the AwsError of one that failed."""
        async with self._turn:
            self._timelines.refresh()
            for timeline in self._timelines:
                for place in self._places(timeline):
                    await self._advance(timeline, place)
                    await self._advance(timeline, place, until=math.ceil(self._house.clock.now()))

    async def _serve(self, timeline: Timeline) -> float:
        """One trail's chains; when to look again. A failure is noted, and tried again later and later."""
        now = self._house.clock.now()
        due = now + self._interval
        for place in self._places(timeline):
            try:
                due = min(due, await self._advance(timeline, place))
                self._delays.pop(timeline.id, None)
            except (AwsError, Conflict, LedgerUnavailable) as error:
                delay = self._delays.get(timeline.id, RETRY_MIN_SECONDS)
                self._delays[timeline.id] = min(delay * 2, RETRY_MAX_SECONDS)
                due = min(due, now + delay)
                if isinstance(error, AwsError):
                    await self._note_failure(timeline.id, place, error)
        return due

    def _places(self, timeline: Timeline) -> list[str]:
        """Where the trail has a chain, or needs one."""
        unit = Unit(self._house, 0.0)
        places = {parts[1] for parts, _ in CHAINS.all(unit, timeline.id)}
        if _wants_digests(timeline.newest):
            places.add(timeline.newest.home_region)
            places.update(parts[1] for parts, _ in DELIVERY_STATUS.all(unit, timeline.id))
        return sorted(places)

    def _is_wanted(self, timeline: Timeline, place: str) -> bool:
        """Does the chain go on? A member's, as long as it is one."""
        config = timeline.newest
        account_id, _ = read_place(config, place)
        if account_id == config.account_id or not _wants_digests(config):
            return _wants_digests(config)
        return bool(config.organization_id) and self._timelines.members.belongs(account_id, config.organization_id)

    async def _advance(self, timeline: Timeline, place: str, until: int = 0) -> float:
        """Bring one chain up to now, or up to `until` if that is later; when it is due again."""
        config, wanted = timeline.newest, self._is_wanted(timeline, place)
        while True:
            now = self._house.clock.now()
            chain = CHAINS.get(Unit(self._house, now), timeline.id, place)
            if chain is None or (chain.closed and wanted):
                if not wanted and not digest_chain.waiting_files(Unit(self._house, now), timeline.id, place):
                    return math.inf  # a member that left before its first digest still has one
                chain = self._begin(timeline, place, chain)
            if chain.closed:
                return math.inf
            chain = await self._decided(timeline, place, chain, now, until)
            if chain.planned is None:
                return now if not wanted else float(chain.end + self._interval)
            await digest_chain.write(self._house, self._keys, timeline.id, place, config, chain, chain.planned)

    def _begin(self, timeline: Timeline, place: str, closed: DigestChain | None) -> DigestChain:
        """A new chain from the moment logging with validation began; elsewhere than at home, from the first log file."""
        config = timeline.newest
        start = int(_validating_since(timeline))
        files = digest_chain.waiting_files(Unit(self._house, 0.0), timeline.id, place)
        if place != config.home_region and files:
            start = max(start, int(files[0][1].at))
        if closed is not None:
            start = max(start, closed.end + 1)
        start = max([start, *(digest_chain.last_end(each) + 1 for each in self._namesakes(timeline, place))])
        account_id, _ = read_place(config, place)
        return DigestChain(account_id=account_id, end=start, organization_id=config.organization_id)

    async def _decided(self, timeline: Timeline, place: str, chain: DigestChain, now: float, until: int) -> DigestChain:
        """The chain with its next digest planned, or without if none is due."""
        config = timeline.newest
        planned = chain.planned
        if planned is not None and (planned.bucket, planned.prefix) == (config.bucket, config.prefix):
            return chain
        chain = msgspec.structs.replace(chain, planned=None)
        final = False
        if planned is not None:
            end, final = planned.end, planned.final
        elif not chain.signature or digest_chain.has_stragglers(Unit(self._house, now), timeline.id, place, chain):
            end = chain.end
        else:
            end, final = self._next_end(timeline, place, chain, now, until)
            end = digest_chain.free_end(end, self._namesakes(timeline, place), self._interval) if end else 0
        if not end:
            return chain
        return await digest_chain.plan(
            self._house, self._keys, timeline.id, place, config, chain, end, interval=self._interval, final=final
        )

    def _namesakes(self, timeline: Timeline, place: str) -> list[DigestChain]:
        """Chains of a deleted trail of the same name, or of the trail that took it: their digests are named alike."""
        mine, unit = timeline.newest, Unit(self._house, 0.0)
        found = [
            CHAINS.get(unit, each.id, place)
            for each in self._timelines
            if each.id != timeline.id
            and (each.newest.name, each.newest.account_id, each.newest.home_region)
            == (mine.name, mine.account_id, mine.home_region)
        ]
        return [chain for chain in found if chain is not None]

    def _next_end(self, timeline: Timeline, place: str, chain: DigestChain, now: float, until: int) -> tuple[int, bool]:
        """When the next digest ends, and whether it is the last; 0 if none is due."""
        end = digest_chain.regular_end(chain, now, self._interval)
        if end and now < end + min(GRACE_SECONDS_MAX, self._interval / 4) and not until:
            planned = PLANNED.page(Unit(self._house, now), timeline.id, limit=1)
            return (0, False) if planned else (end, False)
        if not end and not self._is_wanted(timeline, place) and self._is_delivered(timeline, chain):
            return max(math.ceil(now), chain.end + 1), True
        end = max(end, until)
        return (end, False) if end > chain.end else (0, False)

    def _is_delivered(self, timeline: Timeline, chain: DigestChain) -> bool:
        """Everything that the trail logged until its logging ended, or the member left, lies in its bucket."""
        unit = Unit(self._house, 0.0)
        cursor = CURSORS.get(unit, timeline.id)
        left = self._timelines.members.changed_at(chain.account_id) if chain.organization_id else 0
        caught_up = cursor is not None and cursor.through >= max(timeline.periods[-1].since, left)
        return caught_up and not PLANNED.page(unit, timeline.id, limit=1)

    async def _note_failure(self, trail_id: str, place: str, error: AwsError) -> None:
        unit = Unit(self._house, self._house.clock.now())
        status = DIGEST_STATUS.get(unit, trail_id, place) or DigestStatus()
        failed = msgspec.structs.replace(status, error=error.code, failures=status.failures + 1)
        DIGEST_STATUS.put(unit, failed, trail_id, place)
        with contextlib.suppress(LedgerUnavailable):  # then there is nowhere to tell it
            await self._house.ledger.commit(unit.writes, ())


def _wants_digests(config: TrailConfig) -> bool:
    return config.logging and config.validation


def _validating_since(timeline: Timeline) -> float:
    """When the present stretch of logging with validation began."""
    since = timeline.newest.since
    for period in reversed(timeline.periods):
        if not _wants_digests(period.config):
            break
        since = period.config.since
    return since
