"""Events of many segments in one order, newest first, with as few of them read as possible.

A segment's events are in order already, and its last time is known before it is opened. So the newest segments are opened
until enough events are at hand, all of these are read at once, and what no event that was not read can come before is
handed on. Knows neither words nor SQL: what it needs is given to it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from opentrail.stores.history_tables import EVENT_BITS, SegmentRow

RUN_MAX = 512
"""Events that are read at once, about."""
STEP = 8
"""Events that are read of a segment that only might come before those at hand."""
_LATEST = 1 << 62

Place = tuple[int, int]
"""(time, number)."""
Row = tuple[int, int, int, bytes]
"""An event as it lies in a file: time, number, id, its record's frame. Rows sort as events do."""


class _Cursor:
    """What is left to be read of an open segment."""

    __slots__ = ("_first", "_left", "_ranks", "bound", "oldest")

    def __init__(self, segment: SegmentRow, ranks: Sequence[int]) -> None:
        self._first = segment.id << EVENT_BITS
        self._ranks = ranks
        self._left = len(ranks)
        self.bound: Place = (segment.last, _LATEST)
        """None of what is left comes later."""
        self.oldest = 0
        """The id of the oldest that was taken."""

    def take(self, count: int) -> list[int]:
        """The ids of the last ones, ascending."""
        start = max(self._left - count, 0)
        first = self._first
        taken = [first | rank for rank in self._ranks[start : self._left]]
        self._left, self.oldest = start, taken[0]
        return taken

    def __bool__(self) -> bool:
        return self._left > 0


class Runs:
    """One search's events. `ranks` gives a segment's that are wanted, ascending, and `read` their rows, by id."""

    def __init__(
        self,
        segments: Iterator[SegmentRow],
        ranks: Callable[[SegmentRow], Sequence[int]],
        read: Callable[[list[int]], list[Row]],
    ) -> None:
        self._segments = segments
        self._ranks = ranks
        self._read = read
        self._coming = next(segments, None)
        self._open: list[_Cursor] = []
        self._held: list[Row] = []
        """Read and not yet handed on, ascending."""

    def newest_first(self, first: int) -> Iterator[Row]:
        """All of them; the first so many are most likely wanted, the others perhaps."""
        given = 0
        while self._coming is not None or self._open or self._held:
            self._advance(min(first - given if given < first else given, RUN_MAX))
            ready = self._ready()
            given += len(ready)
            yield from reversed(ready)

    def _advance(self, wanted: int) -> None:
        """Read what is missing of the newest `wanted`; if nothing is, what might come before the last of them."""
        room = wanted - len(self._held)
        floor = None if room > 0 else self._held[-wanted][:2]
        ids: list[int] = []
        moved: list[_Cursor] = []

        def is_of_use(bound: Place) -> bool:
            return room > 0 if floor is None else bound > floor

        for cursor in self._open:
            if is_of_use(cursor.bound):
                taken = cursor.take(max(room, STEP))
                moved.append(cursor)
                ids += taken
                room -= len(taken)
        while self._coming is not None and is_of_use((self._coming.last, _LATEST)):
            segment, ranks = self._coming, self._ranks(self._coming)
            self._coming = next(self._segments, None)
            if len(ranks) <= max(room, STEP):  # most segments have few, and are done with at once
                first = segment.id << EVENT_BITS
                taken = [first | rank for rank in ranks]
            else:
                cursor = _Cursor(segment, ranks)
                taken = cursor.take(max(room, STEP))
                moved.append(cursor)
                self._open.append(cursor)
            ids += taken
            room -= len(taken)
        if ids:
            self._take_in(ids, moved)

    def _take_in(self, ids: list[int], moved: Sequence[_Cursor]) -> None:
        rows = self._read(ids)
        self._held += rows
        self._held.sort()
        self._open = [cursor for cursor in self._open if cursor]
        if self._open:
            places = {row[2]: row[:2] for row in rows}
            for cursor in moved:
                cursor.bound = places[cursor.oldest]

    def _ready(self) -> list[Row]:
        """Those that nothing can come before any more, ascending."""
        bounds = [cursor.bound for cursor in self._open]
        if self._coming is not None:
            bounds.append((self._coming.last, _LATEST))
        if not bounds:
            ready, self._held = self._held, []
            return ready
        start = bisect_left(self._held, max(bounds))
        ready = self._held[start:]
        del self._held[start:]
        return ready
