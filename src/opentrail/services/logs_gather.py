"""CloudWatch Logs: the page of events that a reader gets, gathered from blocks in order, within limits of size and work.

Blocks overlap in time by a minute at most, so the first events of a page are known once the next block begins behind them.
What a page may hold, and how much is unpacked for it, is bounded; a reader that is not through gets a place to go on from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import NamedTuple

from opentrail.rows.log_blocks import (
    BLOCK_SPAN_MAX,
    BLOCKS,
    EVENT_OVERHEAD,
    Block,
    Found,
    LogEvent,
    events_of,
    place_of,
)

PAGE_BYTES_MAX = 1_048_576
PAGE_EVENTS_MAX = 10_000
SCANNED_BYTES_MAX = 8 * 1_048_576
"""Bytes of blocks looked at for one page, as rows and unpacked."""
MARK_BYTES = 200
"""What looking at a mark, and not at its block, counts for."""
TURN_BYTES = 65_536
"""Bytes looked at before other work gets its turn; a larger event is filtered beside the loop."""

Wanted = Callable[[LogEvent], bool]


class Range(NamedTuple):
    """Events strictly between two places."""

    low: int
    high: int


class Page(NamedTuple):
    """Events in ascending order. `more` is the place to go on from: behind it, or before it when going back; None if
    there is nothing more."""

    events: list[LogEvent]
    more: int | None


class Gatherer:
    """Gathers one page. `belongs` says of a whole block whether it counts; `wanted` of an event."""

    def __init__(
        self, within: Range, limit: int, wanted: Wanted, belongs: Callable[[Block], bool], *, back: bool
    ) -> None:
        self._within = within
        self._limit = limit
        self._wanted = wanted
        self._belongs = belongs
        self._back = back
        self._events: list[LogEvent] = []
        self._bytes = 0
        self._turn = 0
        self._full = False

    async def gather(self, blocks: Iterator[Found]) -> Page:
        scanned = 0
        for found in blocks:
            if self._full and self._is_behind(found.first):
                return self._page(None)
            if scanned > SCANNED_BYTES_MAX and self._advances(found.first):
                return self._page(found.first)
            scanned += await self._take(found)
        return self._page(None)

    async def _take(self, found: Found) -> int:
        """Add what is wanted of a block; the bytes that were looked at."""
        value = b"" if found.last is not None and self._is_far(found.last) else found.fetch()
        if not value:
            return MARK_BYTES
        block = BLOCKS.decode(value)
        low, high = self._within
        outside = place_of(block.last + 1) <= low or place_of(block.first) > high or self._is_far(block.last)
        if outside or not self._belongs(block):
            return len(value)
        for event in events_of(block):
            self._turn += len(event.message)
            if self._turn > TURN_BYTES:
                self._turn = 0
                await asyncio.sleep(0)
            if not low < event.place < high:
                continue
            large = len(event.message) > TURN_BYTES
            if await asyncio.to_thread(self._wanted, event) if large else self._wanted(event):
                self._events.append(event)
                self._bytes += _size(event)
        if len(self._events) >= self._limit or self._bytes >= PAGE_BYTES_MAX:
            self._cut()
        return len(value) + block.size

    def _is_far(self, last: int) -> bool:
        """Going back: is all of a block that ends at `last` farther away than what the page has?"""
        return self._back and self._full and last < self._events[-1].time

    def _cut(self) -> None:
        """Keep the nearest events only, as many as a page may hold."""
        self._events.sort(reverse=self._back)
        size = kept = 0
        for event in self._events[: self._limit]:
            size += _size(event)
            if kept and size > PAGE_BYTES_MAX:
                break
            kept += 1
        self._full = self._full or kept < len(self._events) or kept == self._limit
        del self._events[kept:]
        self._bytes = sum(map(_size, self._events))

    def _is_behind(self, first: int) -> bool:
        """Can a block that begins at `first`, and those after it, hold nothing nearer than the page has?"""
        edge = self._events[-1].time
        return first + BLOCK_SPAN_MAX < edge if self._back else first > edge

    def _frontier(self, first: int) -> int:
        """All events on the near side of this place are known when the next block begins at `first`."""
        return place_of(first + BLOCK_SPAN_MAX + 1) if self._back else place_of(first) - 1

    def _advances(self, first: int) -> bool:
        low, high = self._within
        frontier = self._frontier(first)
        return frontier < high if self._back else frontier > low

    def _page(self, stopped_at: int | None) -> Page:
        self._events.sort(reverse=self._back)
        if len(self._events) > self._limit or self._bytes > PAGE_BYTES_MAX:
            self._cut()
        if stopped_at is not None:
            frontier = self._frontier(stopped_at)
            known = [
                each for each in self._events if (each.place >= frontier if self._back else each.place <= frontier)
            ]
            if not self._full or len(known) < len(self._events):
                return Page(known[::-1] if self._back else known, frontier)
        more = self._events[-1].place if self._full and self._events else None
        return Page(self._events[::-1] if self._back else self._events, more)


def _size(event: LogEvent) -> int:
    message = event.message
    return (len(message) if message.isascii() else len(message.encode())) + EVENT_OVERHEAD


async def gather(
    blocks: Iterator[Found],
    within: Range,
    limit: int,
    *,
    wanted: Wanted = lambda _event: True,
    belongs: Callable[[Block], bool] = lambda _block: True,
    back: bool = False,
) -> Page:
    """The nearest events of a range: the oldest, or the newest when going `back`."""
    return await Gatherer(within, limit, wanted, belongs, back=back).gather(blocks)
