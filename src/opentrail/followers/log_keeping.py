"""Clears away log events: those past their group's retention, and those whose stream or group was deleted.

A page of blocks is a commit of its own, so a crash loses nothing: what is left is found again. It follows the clock and a
bell, not the lines, so it has no cursor. Readers do not wait for it: they leave out what is due to go. Knows no operation.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.followers.hearing import hearing, rest
from opentrail.rows.log_blocks import BLOCKS, MARKS, drop_block
from opentrail.rows.log_groups import (
    BELL,
    GONE,
    GONE_LOGS,
    GROUPS,
    NEWEST,
    STREAMS,
    TALLIES,
    add_bytes,
    ms_part,
)
from opentrail.state import House, Unit

PAGE: Final = 200
"""Rows of each kind removed in one commit."""
GROUPS_PAGE: Final = 100
PASS_SECONDS: Final = 600.0
"""How often retention is looked after."""
RETRY_SECONDS: Final = 5.0
"""Pause after something could not be made durable."""
BLOCK_ROWS: Final = 16
"""Blocks read at once to see whether they have expired; their rows are large."""

log = logging.getLogger("opentrail.logs")


class LogKeepingFollower:
    """A `ports.Follower`."""

    name = "log-keeping"

    def __init__(self, house: House) -> None:
        self._house = house

    async def run(self) -> None:
        """Clear away for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        with hearing(BELL, GONE) as rung:
            while True:
                rung.clear()
                try:
                    await self.sweep_gone()
                    if loop.time() >= due:
                        await self.sweep_expired()
                        due = loop.time() + PASS_SECONDS
                except (Conflict, LedgerUnavailable) as failure:
                    log.warning("log events could not be cleared away now: %s", failure)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                await rest(rung, max(0.0, due - loop.time()))

    async def sweep_gone(self) -> None:
        """Remove all that is left of deleted streams and groups."""
        while rows := GONE_LOGS.page(self._unit(), limit=1):
            group_id, number = GONE_LOGS.parts(rows[0][0])
            unit = self._unit()
            done = _clear_stream(unit, group_id, number) if number else _clear_group(unit, group_id)
            if done:
                GONE_LOGS.delete(unit, group_id, number)
            await self._house.ledger.commit(unit.writes, ())

    async def sweep_expired(self) -> None:
        """One pass over all groups: remove blocks whose events have all expired."""
        after = b""
        while True:
            rows = GROUPS.page(self._unit(), after=after, limit=GROUPS_PAGE)
            for key, group in rows:
                if group.retention_days:
                    await self._expire(GROUPS.parts(key))
            if len(rows) < GROUPS_PAGE:
                return
            after = rows[-1][0]

    async def _expire(self, where: tuple[str, ...]) -> None:
        """Go through a group's blocks from the oldest, by what holds for the group at each page."""
        after = b""
        while True:
            unit = self._unit()
            group = GROUPS.get(unit, *where)
            if group is None or not group.retention_days:
                return
            oldest = group.oldest(unit.now)
            rows = unit.scan(BLOCKS.key(group.id, ""), after, BLOCK_ROWS)
            gone = 0
            for key, row in rows:
                _, first, number, call = BLOCKS.parts(key)
                if first >= ms_part(max(0, oldest)):
                    rows = []
                    break
                block = BLOCKS.decode(row.value)
                if block.last < oldest:
                    drop_block(unit, group.id, first, number, call)
                    gone += block.size
            if gone:
                add_bytes(unit, group.id, -gone)
                await self._house.ledger.commit(unit.writes, ())
            if len(rows) < BLOCK_ROWS:
                return
            after = rows[-1][0]
            await asyncio.sleep(0)

    def _unit(self) -> Unit:
        return Unit(self._house, self._house.clock.now())


def _clear_stream(unit: Unit, group_id: str, number: str) -> bool:
    """Remove a page of a stream's blocks; True if none is left."""
    rows = unit.scan(MARKS.key(group_id, number, ""), b"", BLOCK_ROWS)
    gone = 0
    for key, _ in rows:
        _, _, first, call = MARKS.parts(key)
        found = unit.house.ledger.scan(BLOCKS.key(group_id, first, number, call), b"", 1)
        gone += BLOCKS.decode(found[0][1].value).size if found else 0
        drop_block(unit, group_id, first, number, call)
    if gone and TALLIES.get(unit, group_id) is not None:
        add_bytes(unit, group_id, -gone)
    return len(rows) < BLOCK_ROWS


def _clear_group(unit: Unit, group_id: str) -> bool:
    """Remove a page of everything that a group had; True if nothing is left."""
    left = 0
    for table in (BLOCKS, MARKS, STREAMS, NEWEST):
        limit = BLOCK_ROWS if table is BLOCKS else PAGE
        for key, _ in unit.scan(table.key(group_id, ""), b"", limit):
            unit.delete(key)
            left += 1
    TALLIES.delete(unit, group_id)
    return not left
