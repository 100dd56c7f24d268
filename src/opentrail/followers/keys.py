"""Has done for keys what is due: deletions and rotations. It follows the clock, not the lines, so it has no cursor.

Each is a commit of its own and is found due again if a crash came first. Knows no keys: `step` does what is due.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.state import House, Unit

LOOK_SECONDS = 5.0
"""Between two looks at what is due."""

Step = Callable[[Unit], bool]
"""Does one thing that is due; False if nothing is."""

log = logging.getLogger("opentrail.keys")


class KeysFollower:
    """A `ports.Follower`."""

    name = "keys"

    def __init__(self, house: House, step: Step) -> None:
        self._house = house
        self._step = step

    async def run(self) -> None:
        """Look for ever, from the server's start."""
        while True:
            try:
                while await self.look():
                    await asyncio.sleep(0)
            except LedgerUnavailable as failure:
                log.warning("keys wait for the ledger: %s", failure)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> bool:
        """Do one thing that is due and make it durable; False if nothing is."""
        unit = Unit(self._house, self._house.clock.now())
        if not self._step(unit):
            return False
        try:
            await self._house.ledger.commit(unit.writes, unit.events)
        except Conflict:
            log.info("a key was changed meanwhile; it is looked at again")
        return True
