"""Reading chosen lines of the ledger again, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from opentrail.ports import Ledger, Line, Seq

READ_LINES = 500
"""Lines asked of the ledger at once."""


async def chosen_lines(ledger: Ledger, runs: Sequence[tuple[Seq, int]]) -> AsyncIterator[tuple[Seq, Line]]:
    """The lines of (first Seq, count) runs, which are in order and do not overlap; lines that are gone are left out.

    What one read returns serves as many runs as it covers. Suspends after each read, so that calls are not kept waiting.
    """
    page: Sequence[tuple[Seq, Line]] = ()
    index = 0
    for first, count in runs:
        wanted, end = first, first + count
        while wanted < end:
            while index < len(page) and page[index][0] < wanted:
                index += 1
            if index == len(page):
                page = ledger.read(wanted - 1, min(READ_LINES, end - wanted))
                index = 0
                await asyncio.sleep(0)
                if not page:
                    return
            if page[index][0] >= end:
                break
            yield page[index]
            wanted = page[index][0] + 1
