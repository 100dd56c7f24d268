"""The event history: hands every record to the index as soon as it is durable, and answers LookupEvents.

Management events always, data events if the house wants them. Knows nothing of trails: history is independent of them.
Lines are gathered for a moment, so that the index costs the event loop a few batches a second and no more. A look-up shows
whatever was answered before it was asked, unless the index lags far behind: what the index lacks yet, it searches itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from time import monotonic

from opentrail.errors import HistoryUnavailable
from opentrail.followers import history_tail
from opentrail.followers.history_tail import HistoryTail, merged
from opentrail.ports import HistoryIndex, HistoryQuery, HistorySearch, Ledger, Line, PastEvent, Seq
from opentrail.record.history_words import CATEGORIES, EVENT_ID, attribute_word, place_word

BATCH_LINES = 2_000
"""Lines handed over at once, about."""
BATCH_BYTES_MAX = 4 * 1024 * 1024
"""Bytes of lines handed over at once; a single longer line goes alone."""
GATHER_SECONDS = 0.1
"""How long lines gather after a batch."""
WAIT_SECONDS_MAX = 0.5
"""How long a look-up waits while more lines are not in the index yet than it searches itself."""
WAIT_LINES_MAX = 2 * BATCH_LINES
"""With more than these it does not wait at all, and shows what is in the index."""
IDLE_LINES = 5_000
"""Lines without anything to keep after which the cursor is written all the same."""
QUICK_SECONDS, QUICK_LINES = 0.004, 50
"""While searches take no longer, and so few lines have to be searched with them, the event loop does them itself: to hand
one over to a thread and back takes half a millisecond, and most of a search holds the interpreter in any case."""
WARM_SECONDS = 10.0
"""After so long without one the next is handed over: what it reads may have to come from the disk."""
MEND_SECONDS_MIN = 600.0
"""Between two times that look-ups have the index built again."""
DAY_SECONDS = 86_400

log = logging.getLogger("opentrail.history")

_MANAGEMENT, _DATA = b'"eventCategory":"Management"', b'"eventCategory":"Data"'


class HistoryFollower:
    """A `ports.Follower` that is also the `ports.History`."""

    name = "history"

    def __init__(
        self,
        ledger: Ledger,
        index: HistoryIndex,
        now: Callable[[], float],
        *,
        days: int = 90,
        data_events: bool = True,
    ) -> None:
        self._ledger = ledger
        self._index = index
        self._now = now
        self._days = days
        self._data_events = data_events
        self._writer = ThreadPoolExecutor(1, "history-writer")
        self._reader = ThreadPoolExecutor(1, "history-reader")
        self._tail = HistoryTail()
        self._handed_over: list[Future[Sequence[PastEvent]]] = []
        """Searches that the reading thread has or will have, and some that it had."""
        self._mended_at: float | None = None
        self._searched_at, self._took = 0.0, 0.0
        """When the last search ended, and how long it took."""
        self._cursor: Seq = 0
        """Up to here every line is in the index, or none that is kept."""
        self._written: Seq = 0
        self._following = False
        self._hurry = asyncio.Event()
        self._caught_up = asyncio.Event()

    def position(self) -> Seq:
        """`ports.Reading`."""
        return max(self._cursor, 0)

    async def run(self) -> None:
        """Follow for ever from the index's own cursor; an index ahead of the ledger belongs to another one and is
        rebuilt."""
        self._following = True
        try:
            await self._resume()
            while True:
                if not await self._fill():
                    await self._ledger.wait(self._cursor)
                await self.catch_up()
                self._caught_up.set()
                await self._gather()
        except asyncio.CancelledError:
            self._following = False
            raise

    async def _resume(self) -> None:
        loop = asyncio.get_running_loop()
        self._cursor = self._written = await loop.run_in_executor(self._writer, self._index.cursor)
        if self._cursor > self._ledger.head():
            await loop.run_in_executor(self._writer, self._index.clear)
            self._cursor = self._written = 0
        head = self._ledger.head()
        if self._index.lacks()[1] < 0 or (self._cursor == 0 and head > WAIT_LINES_MAX):
            # from here on it follows, and look-ups know that it is not whole until it is filled
            await loop.run_in_executor(self._writer, self._index.begin, head)
            self._cursor = self._written = head

    async def _fill(self) -> bool:
        """Hand over some of the lines that the index lacks, if it is being built again; False when it is whole."""
        after, through = self._index.lacks()
        if after >= through:
            return False
        lines = [(seq, line) for seq, line in self._ledger.read(after, BATCH_LINES) if seq <= through]
        chosen, reached = self._batch(lines) if lines else ([], through)
        fill = partial(self._index.fill, chosen, after=after, through=reached, oldest=self._oldest())
        await asyncio.get_running_loop().run_in_executor(self._writer, fill)
        if reached == through:
            log.warning("the event history is whole again, up to line %d", through)
        return True

    async def _gather(self) -> None:
        """Let lines come together, unless somebody waits for them."""
        self._hurry.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER_SECONDS):
                await self._hurry.wait()

    async def catch_up(self) -> None:
        """Hand over what is durable by now."""
        head = self._ledger.head()
        while self._cursor < head:
            lines = self._ledger.read(self._cursor, BATCH_LINES)
            chosen, through = self._batch(lines) if lines else ([], head)
            if chosen or through - self._written >= IDLE_LINES:
                await asyncio.get_running_loop().run_in_executor(self._writer, self._add, chosen, through)
                self._written = through
            else:
                await asyncio.sleep(0)
            self._cursor = through

    def _batch(self, lines: Sequence[tuple[Seq, Line]]) -> tuple[list[tuple[Seq, bytes]], Seq]:
        """The records to keep of the first lines, and how far these reach."""
        chosen: list[tuple[Seq, bytes]] = []
        size = 0
        for seq, line in lines:
            if line.kind != "record" or (not self._data_events and is_plain_data(line.data)):
                continue
            size += len(line.data)
            if size > BATCH_BYTES_MAX and chosen:
                return chosen, chosen[-1][0]
            chosen.append((seq, line.data))
        return chosen, lines[-1][0]

    def _add(self, lines: Sequence[tuple[Seq, bytes]], through: Seq) -> None:
        self._index.add(lines, after=self._written, through=through, oldest=self._oldest())

    def _oldest(self) -> int:
        return int(self._now()) - self._days * DAY_SECONDS

    async def lookup(self, query: HistoryQuery) -> Sequence[PastEvent]:
        try:
            return await self._look_up(query)
        except HistoryUnavailable as failure:
            if failure.mend and self._following:
                self._mend()
            raise

    def _mend(self) -> None:
        """Have the damaged index built again, unless that was begun a short while ago: a disk that damages all that is
        written to it is not mended by writing."""
        if self._mended_at is None or monotonic() - self._mended_at >= MEND_SECONDS_MIN:
            self._mended_at = monotonic()
            self._writer.submit(self._index.mend).add_done_callback(_tell)

    async def _look_up(self, query: HistoryQuery) -> Sequence[PastEvent]:
        await asyncio.sleep(0)  # others take their turn between searches
        head = self._ledger.head()
        if self._lacks_many(head):
            await self._wait(head)
        search = HistorySearch(_words(query), query.start, query.end, query.before)
        newer = self._newer()
        if self._is_quick() and len(newer) <= QUICK_LINES:
            return self._find(search, query.limit, newer)
        job = self._reader.submit(self._find, search, query.limit, newer)
        self._handed_over.append(job)
        return await asyncio.wrap_future(job)

    def _is_quick(self) -> bool:
        """Will a search most likely be over at once?"""
        self._handed_over = [job for job in self._handed_over if not job.done()]
        return not self._handed_over and self._took <= QUICK_SECONDS and monotonic() - self._searched_at <= WARM_SECONDS

    def _newer(self) -> list[tuple[Seq, bytes]]:
        """The lines that are not in the index yet and may be shown; none if they are too many."""
        behind = self._ledger.head() - self._cursor
        if not self._following or not 0 < behind <= history_tail.LINES_MAX:
            return []
        lines = self._ledger.read(self._cursor, behind)
        return [(seq, line.data) for seq, line in lines if line.kind == "record" and not is_plain_data(line.data)]

    def _find(self, search: HistorySearch, limit: int, newer: Sequence[tuple[Seq, bytes]]) -> Sequence[PastEvent]:
        """Never two at once. The index may have taken in some of the newer lines by now."""
        started = monotonic()
        try:
            return merged(self._index.find(search, limit), self._tail.find(newer, search), limit)
        finally:
            self._searched_at = monotonic()
            self._took = self._searched_at - started

    def _lacks_many(self, head: Seq) -> bool:
        """Does the index lack more lines up to `head` than a look-up searches itself, and not too many to wait for?"""
        return self._following and history_tail.LINES_MAX < head - self._cursor <= WAIT_LINES_MAX

    async def _wait(self, head: Seq) -> None:
        """Until the index is near `head`, within reason."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while self._lacks_many(head):
                    self._caught_up.clear()
                    self._hurry.set()
                    await self._caught_up.wait()

    def close(self) -> None:
        """Let the worker threads end, and the index."""
        self._writer.shutdown()
        self._reader.shutdown()
        self._index.close()


def _tell(job: Future[None]) -> None:
    if not job.cancelled() and (failure := job.exception()) is not None:
        log.error("the event history could not be set aside: %s", failure)


def _words(query: HistoryQuery) -> tuple[str, ...]:
    """The words that a look-up's events have. An event id is one word whoever's event it is."""
    where = (query.account_id, query.region, CATEGORIES[query.category])
    if query.attribute is None:
        return (place_word(*where),)
    if query.attribute[0] == "EventId":
        return EVENT_ID + query.attribute[1], place_word(*where)
    return (attribute_word(*where, *query.attribute),)


def is_plain_data(record: bytes) -> bool:
    """Certainly a data event, told without parsing it. A management event's line always says that it is one, and nothing
    that a client sends can take those bytes out again; a data event that also holds them is parsed."""
    return _MANAGEMENT not in record and _DATA in record
