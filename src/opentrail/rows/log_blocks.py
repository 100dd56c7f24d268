"""Log events as rows: many in one, compressed, in the order of their times.

The events of one PutLogEvents make one block, or several where they are many or far apart in time. A group has its blocks
by the time of their first event; each stream has marks that say where its own are. So searching a group, reading a stream
and letting events expire are all seeks. An event's place is a number that orders the events of a group: by time, stream,
call and position in the call; it is also the event's id. Times are epoch milliseconds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from opentrail.ports import Key, Ledger, Versioned
from opentrail.rows.log_groups import LogGroup, LogStream, add_bytes, ms_part, number_part, put_stream
from opentrail.state import Row, Table, Unit

BLOCK_BYTES_MAX: Final = 256 * 1024
"""Bytes of the messages in one block; only a single larger message makes a larger one."""
BLOCK_SPAN_MAX: Final = 60_000
"""Milliseconds between the first and the last event of a block: how far back a reader has to look for events that begin
earlier."""
EVENT_OVERHEAD: Final = 26
"""Bytes that an event counts for besides its message. Source: PutLogEvents."""
PACKED_FROM: Final = 256
"""Smaller blocks are not worth compressing."""
PUT_DIGITS, INDEX_DIGITS = 16, 10
_PUT: Final[int] = 10**INDEX_DIGITS
_STREAM: Final[int] = 10 ** (PUT_DIGITS + INDEX_DIGITS)
_TIME: Final[int] = 10**14 * _STREAM
PLACE_DIGITS: Final = 56
BLOCKS_PAGE: Final = 8
"""Blocks fetched at once."""
MARKS_PAGE: Final = 200


class Block(Row, frozen=True):
    """Events in order. Keyed by group id, time of the first, stream number and number of the call."""

    stream: str
    number: int
    put: int
    """Number of the PutLogEvents call in its stream."""
    index: int
    """Position of the first event in the call."""
    first: int
    last: int
    ingested: int
    size: int
    """Bytes of its events, as AWS counts them."""
    data: bytes
    packed: bool = False


class Mark(Row, frozen=True):
    """Where a block of a stream is. Keyed by group id, stream number, time of the first event, number of the call."""

    last: int


class LogEvent(NamedTuple):
    """One event; `place` orders the events of a group."""

    place: int
    time: int
    message: str
    ingested: int
    stream: str


BLOCKS: Table[Block] = Table("logs.block", Block)
MARKS: Table[Mark] = Table("logs.mark", Mark)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[int], list[str]]).decode


def place_of(time: int, number: int = 0, put: int = 0, index: int = 0) -> int:
    return time * _TIME + number * _STREAM + put * _PUT + index


def time_of(place: int) -> int:
    return place // _TIME


def put_events(
    unit: Unit, group: LogGroup, name: str, stream: LogStream, events: Sequence[tuple[int, str]], sizes: Sequence[int]
) -> None:
    """Add events, whose times ascend, to a stream; `sizes` are the bytes of their messages."""
    now = int(unit.now * 1000)
    put = stream.puts + 1
    start = total = 0
    for end in _ends(events, sizes):
        size = sum(sizes[start:end]) + EVENT_OVERHEAD * (end - start)
        _put_block(unit, group.id, name, stream.number, put, start, events[start:end], size, now)
        total += size
        start = end
    newest = max(stream.last, events[-1][0])
    changed = msgspec.structs.replace(stream, last=newest, ingested=now, puts=put)
    put_stream(unit, group.id, name, stream, changed)
    add_bytes(unit, group.id, total)


def _ends(events: Sequence[tuple[int, str]], sizes: Sequence[int]) -> Iterator[int]:
    """Where each block ends."""
    start = size = 0
    for index, (time, _) in enumerate(events):
        if index > start and (size + sizes[index] > BLOCK_BYTES_MAX or time - events[start][0] > BLOCK_SPAN_MAX):
            yield index
            start, size = index, 0
        size += sizes[index]
    yield len(events)


def _put_block(
    unit: Unit,
    group_id: str,
    name: str,
    number: int,
    put: int,
    index: int,
    events: Sequence[tuple[int, str]],
    size: int,
    now: int,
) -> None:
    first, last = events[0][0], events[-1][0]
    data = _encode(([time - first for time, _ in events], [message for _, message in events]))
    packed = len(data) >= PACKED_FROM
    block = Block(
        stream=name,
        number=number,
        put=put,
        index=index,
        first=first,
        last=last,
        ingested=now,
        size=size,
        data=zlib.compress(data, 1) if packed else data,
        packed=packed,
    )
    call = f"{put:0{PUT_DIGITS}d}{index:0{INDEX_DIGITS}d}"
    BLOCKS.put(unit, block, group_id, ms_part(first), number_part(number), call)
    MARKS.put(unit, Mark(last), group_id, number_part(number), ms_part(first), call)


def events_of(block: Block) -> Iterator[LogEvent]:
    """The events of a block, in order."""
    times, messages = _decode(zlib.decompress(block.data) if block.packed else block.data)
    base = place_of(0, block.number, block.put, block.index)
    for index, (delta, message) in enumerate(zip(times, messages, strict=True)):
        time = block.first + delta
        yield LogEvent(base + time * _TIME + index, time, message, block.ingested, block.stream)


class Found(NamedTuple):
    """A block as readers meet it: the times of its first event and, where a mark told it, of its last; and its row."""

    first: int
    last: int | None
    fetch: Callable[[], bytes]
    """The row's value; empty if it has gone meanwhile."""


def group_blocks(ledger: Ledger, group_id: str, low: int, high: int, *, back: bool = False) -> Iterator[Found]:
    """Blocks of a group that may hold events of the times from `low` to `high`, by their first event."""
    for key, row in _scanned(ledger, BLOCKS, (group_id,), low, high, BLOCKS_PAGE, back=back):
        yield Found(int(BLOCKS.parts(key)[1]), None, partial(_value, row))


def stream_blocks(
    ledger: Ledger, group_id: str, number: int, low: int, high: int, *, back: bool = False
) -> Iterator[Found]:
    """As `group_blocks`, of one stream; what ends before `low` is not even fetched."""
    part = number_part(number)
    for key, row in _scanned(ledger, MARKS, (group_id, part), low, high, MARKS_PAGE, back=back):
        last = MARKS.decode(row.value).last
        if last >= low:
            _, _, first, call = MARKS.parts(key)
            yield Found(int(first), last, partial(_fetched, ledger, BLOCKS.key(group_id, first, part, call)))


def _value(row: Versioned) -> bytes:
    return row.value


def _fetched(ledger: Ledger, key: Key) -> bytes:
    """By a scan, which leaves the row cache to rows that are read again."""
    found = ledger.scan(key, b"", 1)
    return found[0][1].value if found and found[0][0] == key else b""


def _scanned(
    ledger: Ledger,
    table: Table[Block] | Table[Mark],
    parts: tuple[str, ...],
    low: int,
    high: int,
    page: int,
    *,
    back: bool,
) -> Iterator[tuple[Key, Versioned]]:
    prefix = table.key(*parts, "")
    start = table.key(*parts, ms_part(max(0, low - BLOCK_SPAN_MAX)))
    end = table.key(*parts, ms_part(max(0, high) + 1))
    at = end if back else start
    while True:
        rows = ledger.scan_back(prefix, at, page) if back else ledger.scan(prefix, at, page)
        for key, row in rows:
            if key < start if back else key >= end:
                return
            yield key, row
        if len(rows) < page:
            return
        at = rows[-1][0]


def drop_block(unit: Unit, group_id: str, first: str, number: str, call: str) -> None:
    """Take a block and its mark away. Parts as in its key."""
    BLOCKS.delete(unit, group_id, first, number, call)
    MARKS.delete(unit, group_id, number, first, call)


def first_time(unit: Unit, group_id: str, number: int) -> int | None:
    """The time of a stream's oldest event that is still there."""
    rows = unit.scan(MARKS.key(group_id, number_part(number), ""), b"", 1)
    return int(MARKS.parts(rows[0][0])[2]) if rows else None
