"""Many lines in a ledger, quickly: real lines that the server wrote, told again with ids of their own.

They are committed through the ledger itself, without the road of HTTP: what is measured is who reads them.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from bench.processes import CannotRun
from opentrail.ports import Line, Writes
from opentrail.stores.ledger_sqlite import SqliteLedger

COMMIT_LINES = 25
"""Lines of one commit. Under load a transaction of the server holds about as many."""
TOGETHER = 4
"""Commits under way at the same time."""
TEMPLATES_MAX = 1_000
_EVENT_ID = re.compile(rb'"eventID":"[0-9a-f-]{36}"')
_REQUEST_ID = re.compile(rb'"requestID":"[0-9A-Z]{16}"')


class Telling:
    """Makes lines after the pattern of others."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        if not patterns:
            raise CannotRun("the ledger has no line of a GET to tell again")
        self._patterns = patterns
        self._told = 0

    def lines(self, count: int) -> list[Line]:
        return [self._line() for _ in range(count)]

    def _line(self) -> Line:
        pattern = self._patterns[self._told % len(self._patterns)]
        self._told += 1
        drawn = secrets.token_hex(16)
        event_id = f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-a{drawn[17:20]}-{drawn[20:]}"
        line = _EVENT_ID.sub(b'"eventID":"%s"' % event_id.encode(), pattern)
        return Line("record", _REQUEST_ID.sub(b'"requestID":"%s"' % drawn[:16].upper().encode(), line))


def patterns_of(ledger: SqliteLedger) -> list[bytes]:
    """Lines of GETs by the benchmark's user."""
    found: list[bytes] = []
    after = 0
    while (lines := ledger.read(after, 500)) and len(found) < TEMPLATES_MAX:
        found += [line.data for _, line in lines if b'"eventName":"GetObject"' in line.data]
        after = lines[-1][0]
    return found


def fill_ledger(data_dir: Path, count: int) -> None:
    """Add `count` lines to the ledger of a server that does not run."""
    asyncio.run(_fill(data_dir / "ledger.db", count))


async def _fill(path: Path, count: int) -> None:
    ledger = SqliteLedger(path)
    telling = Telling(patterns_of(ledger))
    while count > 0:
        commits = min(TOGETHER, -(-count // COMMIT_LINES))
        sizes = [min(COMMIT_LINES, count - COMMIT_LINES * number) for number in range(commits)]
        await asyncio.gather(*(ledger.commit(Writes(), telling.lines(size)) for size in sizes))
        count -= sum(sizes)
    await ledger.close()
