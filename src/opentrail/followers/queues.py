"""Empties the boxes of queues that were deleted or purged, a page at a time. Knows nothing of messages."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.followers.hearing import hearing, rest
from opentrail.rows.sqs import BELL, COUNTS, GONE, GONE_BOXES, boxed_keys
from opentrail.state import House, Unit

PAGE: Final = 500
"""Rows of each kind removed in one commit."""
LOOK_AGAIN_SECONDS: Final = 60.0

log = logging.getLogger("opentrail.queues")


class QueuesFollower:
    """A `ports.Follower`."""

    name = "queues"

    def __init__(self, house: House) -> None:
        self._house = house

    async def run(self) -> None:
        """Empty what is there to be emptied, for ever."""
        with hearing(BELL, GONE) as rung:
            while True:
                rung.clear()
                await self.sweep()
                await rest(rung, LOOK_AGAIN_SECONDS)

    async def sweep(self) -> None:
        """Empty every box that is without a queue now."""
        while (rows := GONE_BOXES.page(Unit(self._house, 0.0), limit=1)) and await self._empty(
            GONE_BOXES.parts(rows[0][0])[0]
        ):
            await asyncio.sleep(0)

    async def _empty(self, box: str) -> bool:
        """Remove a page of a box, and with the last one its mark; False if that could not be made durable now."""
        unit = Unit(self._house, self._house.clock.now())
        keys = list(boxed_keys(unit, box, PAGE))
        for key in keys:
            unit.delete(key)
        if not keys:
            GONE_BOXES.delete(unit, box)
            COUNTS.delete(unit, box)
        try:
            await self._house.ledger.commit(unit.writes, ())
        except (Conflict, LedgerUnavailable):
            log.warning("box %s could not be emptied now", box)
            return False
        return True
