"""Clears away the annotations of versions that are gone, a page a commit.

Nobody sees them any more from the commit that took their version; only rows and bytes are left. A crash loses nothing: what
is left is found again. It follows a bell and the clock, not the lines, so it has no cursor. Knows no operation.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.followers.hearing import hearing, rest
from opentrail.rows.s3_annotations import BELL, GONE, GONE_BELL, clear_page
from opentrail.state import House, Unit

LOOK_SECONDS: Final = 60.0
"""How often it looks unasked; also how long a set waits whose bell rang before its commit."""
SETTLE_SECONDS: Final = 0.5
"""The bell rings before the commit that it tells of."""
RETRY_SECONDS: Final = 5.0
"""Pause after something could not be made durable."""

log = logging.getLogger("opentrail.annotations")


class AnnotationsFollower:
    """A `ports.Follower`."""

    name = "annotations"

    def __init__(self, house: House) -> None:
        self._house = house

    async def run(self) -> None:
        """Clear away for ever."""
        with hearing(BELL, GONE_BELL) as rung:
            while True:
                rung.clear()
                try:
                    await self.sweep()
                except (Conflict, LedgerUnavailable) as failure:
                    log.warning("annotations could not be cleared away now: %s", failure)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                await rest(rung, LOOK_SECONDS)
                await asyncio.sleep(SETTLE_SECONDS)

    async def sweep(self) -> None:
        """Remove all that is left of gone sets. Bytes go once the commit that lets them go is durable."""
        while rows := GONE.page(self._unit(), limit=1):
            unit = self._unit()
            clear_page(unit, GONE.parts(rows[0][0])[0])
            await self._house.ledger.commit(unit.writes, ())
            if unit.writes.dropped_blobs:
                await self._house.blobs.drop(unit.writes.dropped_blobs)
            await asyncio.sleep(0)

    def _unit(self) -> Unit:
        return Unit(self._house, self._house.clock.now())
