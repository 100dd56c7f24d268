"""Goes through the buckets that have lifecycle rules, again and again, and has done what is due in them.

Each page of rows is a commit of its own; a crash loses nothing, since the next pass begins at the front and what was done
is no longer due. It follows the clock, not the lines, so it has no cursor. Knows no rules: `step` does what is due.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.rows.s3 import BUCKETS, LIFECYCLE
from opentrail.state import House, Unit

PASSES_PER_DAY = 24
PASS_SECONDS_MIN = 0.05
PAUSE_SECONDS = 0.002
"""After each page of rows, so that requests do not wait for a long pass."""
BUCKETS_PAGE = 100
CONFLICTS_MAX = 8
"""How often a page is taken again because something on it was changed meanwhile."""

Step = Callable[[Unit, str, Any], Any]
"""(unit, bucket, place) → the place behind the next page, or None at the end. A place of None is the front."""

log = logging.getLogger("opentrail.lifecycle")


class LifecycleFollower:
    """A `ports.Follower`. `more` are the steps of other configurations that follow the clock, by their kind."""

    name = "lifecycle"

    def __init__(self, house: House, step: Step, more: Mapping[str, Step] | None = None) -> None:
        self._house = house
        self._steps: Mapping[str, Step] = {LIFECYCLE: step, **(more or {})}
        self._interval = max(house.settings.lifecycle_day / PASSES_PER_DAY, PASS_SECONDS_MIN)

    async def run(self) -> None:
        """Pass for ever, from the server's start."""
        while True:
            try:
                await self.sweep()
            except LedgerUnavailable as failure:
                log.warning("lifecycle rules wait for the ledger: %s", failure)
            await asyncio.sleep(self._interval)

    async def sweep(self) -> None:
        """One pass over all buckets."""
        after = b""
        while True:
            rows = BUCKETS.page(Unit(self._house, 0.0), after=after, limit=BUCKETS_PAGE)
            for _, bucket in rows:
                for kind, step in self._steps.items():
                    if kind in bucket.configured:
                        await self._walk(bucket.name, step)
            if len(rows) < BUCKETS_PAGE:
                return
            after = rows[-1][0]

    async def _walk(self, bucket: str, step: Step) -> None:
        place: Any = None
        while True:
            place = await self._page(bucket, step, place)
            if place is None:
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _page(self, bucket: str, step: Step, place: Any) -> Any:  # noqa: ANN401  (the step's own)
        """Do the next page and make it durable; bytes that were let go are removed once it is."""
        for _ in range(CONFLICTS_MAX):
            unit = Unit(self._house, self._house.clock.now())
            following = step(unit, bucket, place)
            if not unit.writes.puts and not unit.writes.deletes:
                return following
            try:
                await self._house.ledger.commit(unit.writes, unit.events)
            except Conflict:
                continue
            if unit.writes.dropped_blobs:
                await self._house.blobs.drop(unit.writes.dropped_blobs)
            return following
        log.info("%s is too busy for its lifecycle rules; they are taken up in the next pass", bucket)
        return None
