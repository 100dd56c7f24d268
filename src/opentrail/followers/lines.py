"""Reading chosen lines of the ledger again, a bounded number at a time, and the times they tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

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


def epoch(event_time: str) -> float:
    """An eventTime as epoch seconds; 0 for text that is none."""
    try:
        return datetime.fromisoformat(event_time).timestamp()
    except ValueError:
        return 0.0
