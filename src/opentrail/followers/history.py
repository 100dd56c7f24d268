"""The event history: indexes every management event as soon as it is durable, and answers LookupEvents.

The index names lines by Seq; the records are read from the ledger, so nothing is kept twice. Knows nothing of trails:
history is independent of them. Data events are indexed only when the house wants them, because they are the mass.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from opentrail.followers.lines import chosen_lines, epoch
from opentrail.ports import HistoryIndex, HistoryQuery, IndexedEvent, Ledger, Line, PastEvent, Seq
from opentrail.record.lookup_event import attributes_of

BATCH_LINES = 500
"""Lines indexed in one transaction."""
IDLE_LINES = 5_000
"""Lines without anything to index after which the cursor is written all the same."""

_MANAGEMENT, _DATA = b'"eventCategory":"Management"', b'"eventCategory":"Data"'

log = logging.getLogger("opentrail.history")


class _Head(msgspec.Struct):
    """The members by which most lines are passed over."""

    managementEvent: bool = True
    eventCategory: str = "Management"


class HistoryFollower:
    """A `ports.Follower` that is also the `ports.History`."""

    name = "history"

    def __init__(self, ledger: Ledger, index: HistoryIndex, *, data_events: bool = False) -> None:
        self._ledger = ledger
        self._index = index
        self._data_events = data_events
        self._head = msgspec.json.Decoder(_Head)
        self._writer = ThreadPoolExecutor(1, "history-writer")
        self._reader = ThreadPoolExecutor(1, "history-reader")
        self._cursor: Seq = 0
        self._written: Seq = 0

    def position(self) -> Seq:
        """`ports.Reading`."""
        return max(self._cursor, 0)

    async def run(self) -> None:
        """Follow for ever from the index's own cursor; an index ahead of the ledger belongs to another one and is
        rebuilt."""
        loop = asyncio.get_running_loop()
        self._cursor = self._written = await loop.run_in_executor(self._writer, self._index.cursor)
        if self._cursor > self._ledger.head():
            await loop.run_in_executor(self._writer, self._index.clear)
            self._cursor = self._written = 0
        while True:
            await self._ledger.wait(self._cursor)
            await self.catch_up()

    async def catch_up(self) -> None:
        """Index what is durable by now."""
        head = self._ledger.head()
        while self._cursor < head:
            lines = self._ledger.read(self._cursor, BATCH_LINES)
            through = lines[-1][0] if lines else head
            events = [event for seq, line in lines if (event := self._indexed(seq, line)) is not None]
            if events or through - self._written >= IDLE_LINES:
                await asyncio.get_running_loop().run_in_executor(self._writer, self._index.add, events, through)
                self._written = through
            else:
                await asyncio.sleep(0)
            self._cursor = through

    def _indexed(self, seq: Seq, line: Line) -> IndexedEvent | None:
        if line.kind != "record" or (not self._data_events and is_plain_data(line.data)):
            return None
        try:
            head = self._head.decode(line.data)
            data = not head.managementEvent or head.eventCategory != "Management"
            if data and not self._data_events:
                return None
            return index_record(seq, msgspec.json.decode(line.data), data)
        except msgspec.MsgspecError:
            log.error("line %d is no record; the event history cannot show it", seq)
            return None

    async def lookup(self, query: HistoryQuery) -> Sequence[PastEvent]:
        loop = asyncio.get_running_loop()
        places = await loop.run_in_executor(self._reader, self._index.find, query)
        runs = [(seq, 1) for seq in sorted(seq for _, seq in places)]
        records = {seq: line.data async for seq, line in chosen_lines(self._ledger, runs)}
        return [PastEvent(seq, time, records[seq]) for time, seq in places if seq in records]

    def close(self) -> None:
        """Let the worker threads end."""
        self._writer.shutdown()
        self._reader.shutdown()


def is_plain_data(record: bytes) -> bool:
    """Certainly a data event, told without parsing it. A management event's line always says that it is one, and nothing
    that a client sends can take those bytes out again; a data event that also holds them is parsed."""
    return _MANAGEMENT not in record and _DATA in record


def index_record(seq: Seq, record: dict[str, Any], data: bool) -> IndexedEvent:
    """What the index keeps of a record."""
    attributes = attributes_of(record)
    return IndexedEvent(
        seq=seq,
        time=int(epoch(attributes.event_time)),
        account_id=str(record.get("recipientAccountId", "")),
        region=str(record.get("awsRegion", "")),
        data=data,
        event_id=attributes.event_id,
        values=tuple(attributes.values()),
    )
