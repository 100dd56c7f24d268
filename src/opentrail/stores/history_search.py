"""Finding events in one file of the history, newest first, and counting them. Reads only.

First the segments that have all the words are found, by a seek in each volume; then they are opened newest first, and only
as far as events are asked for; a segment's lists are intersected, the shortest first. Nothing is walked that could be
skipped.
"""

from __future__ import annotations

import re
import sqlite3
from array import array
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from opentrail.ports import FIRST_NUMBER, HistorySearch
from opentrail.record.history_words import COUNTED, LOOKUP
from opentrail.stores.history_blocks import BLOCK_EVENTS, Damaged, Records, Unpacker
from opentrail.stores.history_file import (
    BLOCK_BITS,
    BUSY_MILLISECONDS,
    CACHE_KIB,
    SegmentRow,
    check_format,
    dictionary_of,
    hasher_of,
    segment_rows,
)
from opentrail.stores.history_segments import (
    BUCKET_SHIFT,
    ranks_of,
    rare_pattern,
    rare_ranks,
    unpack_head,
)

BLOCKS_CACHED_MAX = 64
"""Blocks that one search remembers: neighbours are often wanted together."""
UNPACKERS_CACHED_MAX = 512
"""Segments whose compression dictionary, 16 KiB and tables of about as much again, is kept between searches."""
PROBED_MAX = 512
"""Ranks that are looked for one by one in another list; more are intersected as sets."""
WORDS_MAX = 1_000
"""Words that a pattern may stand for."""
VOLUMES_ASKED_FIRST, VOLUMES_ASKED_MAX = 4, 256
"""Volumes that are asked in one go for the segments that have a word."""
FEW = 16
"""Segments that are opened at once rather than looked at further."""
_HIGHEST = "\U0010ffff"
_LATEST = (1 << 62, 1 << 62)

Place = tuple[int, int]
"""(time, number)."""


@dataclass(slots=True)
class Block:
    """Some events that lie together. Their records are inflated when one is asked for."""

    times: Sequence[int]
    numbers: Sequence[int]
    """Beyond the segment's lowest."""
    packed: bytes
    records: Records | None = None


class Hit(NamedTuple):
    """An event found, and where its record lies."""

    time: int
    number: int
    segment: SegmentRow
    rank: int


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.Error and OtherFormat."""
    address = f"file:{quote(str(path))}?mode=ro"
    try:
        return _opened(address)
    except sqlite3.OperationalError:  # a directory nobody may write to: no writer can be there either
        return _opened(address + "&immutable=1")


def _opened(address: str) -> sqlite3.Connection:
    timeout = BUSY_MILLISECONDS / 1000
    connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, timeout=timeout)
    try:
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        check_format(connection)
    except BaseException:
        connection.close()
        raise
    return connection


class Memory:
    """What one search of a file may leave to the next: what never changes, and the segments while nobody writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.hasher = hasher_of(connection)
        self._version = -1
        self._segments: list[SegmentRow] = []
        self._unpackers: OrderedDict[int, Unpacker] = OrderedDict()

    def segments(self) -> list[SegmentRow]:
        """All segments, those with the latest events first. Asked for once a transaction, before anything else."""
        count = self._connection.execute("SELECT count(*) FROM meta").fetchone()[0]  # from here on, nothing changes
        version = self._connection.execute("PRAGMA data_version").fetchone()[0] if count else -1
        if version != self._version:
            self._segments = sorted(segment_rows(self._connection), key=lambda row: (-row.last, row.id))
            self._version = version
        return self._segments

    def unpacker(self, segment: int) -> Unpacker:
        """What reads a segment's blocks."""
        found = self._unpackers.get(segment)
        if found is None:
            found = self._unpackers[segment] = Unpacker(dictionary_of(self._connection, segment))
            if len(self._unpackers) > UNPACKERS_CACHED_MAX:
                self._unpackers.popitem(last=False)
        else:
            self._unpackers.move_to_end(segment)
        return found


class Shelf:
    """One file, as it stood when the search began: use it within `with`."""

    def __init__(self, connection: sqlite3.Connection, memory: Memory | None = None) -> None:
        self._connection = connection
        self._memory = memory or Memory(connection)
        self._hasher = self._memory.hasher
        self._segments: list[SegmentRow] = []
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        self._rare: dict[tuple[str, int], list[int]] = {}
        """Lists of rare words that were come across, by (word, segment): a few numbers for each segment at the most."""

    def __enter__(self) -> Shelf:
        self._connection.execute("BEGIN")
        self._segments = self._memory.segments()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.execute("COMMIT")

    def find(self, search: HistorySearch) -> Iterator[Hit]:
        """Events that have all the words, newest first by (time, number)."""
        before = search.before or _LATEST
        waiting = self._matching(search)
        heads: list[tuple[int, int, int, _Cursor]] = []
        coming = next(waiting, None)
        while True:
            while coming is not None and (not heads or coming.segment.last >= -heads[0][0]):
                self._enter(heads, coming)
                coming = next(waiting, None)
            if not heads:
                return
            time, number, _, cursor = heappop(heads)
            if (-time, -number) < before and -number > search.after:
                yield Hit(-time, -number, cursor.segment, cursor.rank)
            self._enter(heads, cursor)

    def _enter(self, heads: list[tuple[int, int, int, _Cursor]], cursor: _Cursor) -> None:
        """Put a segment's next event into the race."""
        if cursor.advance():
            time, number = self.place(cursor.segment, cursor.rank)
            heappush(heads, (-time, -number, cursor.segment.id, cursor))

    def _matching(self, search: HistorySearch) -> Iterator[_Cursor]:
        """Segments that have an event with all the words, by their last time, newest first."""
        for segment, ranks in self.matching_ranks(search):
            if len(ranks):
                yield _Cursor(segment, ranks)

    def matching_ranks(self, search: HistorySearch) -> Iterator[tuple[SegmentRow, Sequence[int]]]:
        """(segment, ranks of its events within the times that have all the words), by last time, newest first."""
        end = min(search.end, search.before[0]) if search.before else search.end
        within = (row for row in self._segments if row.last >= search.start and row.first <= end)
        groups = [(word,) for word in sorted(search.words, key=_fewest_first)] + list(search.any_of)
        for segment in self._candidates(within, groups) if groups else within:
            if segment.high <= search.after:
                continue
            low, high = self._within(segment, search.start, end)
            if not groups:
                yield segment, range(low, high)
                continue
            lists = sorted((self._list(segment, group) for group in groups), key=len)
            ranks = _between(lists[0], low, high)
            for other in lists[1:]:
                ranks = intersect(ranks, other)
            yield segment, ranks

    def _candidates(self, segments: Iterable[SegmentRow], groups: Sequence[Sequence[str]]) -> Iterator[SegmentRow]:
        """Those of some segments that have a word of each group, in the same order. Volumes are asked when their first
        segment is come to, more and more of them together: who needs a few events of the newest asks few."""
        asked: set[int] = set()
        found: set[int] = set()
        passed: list[SegmentRow] = []
        coming: list[str] = []
        size = VOLUMES_ASKED_FIRST
        for segment in segments:
            passed.append(segment)
            if segment.volume not in asked:
                asked.add(segment.volume)
                coming.append(str(segment.volume))
                if len(coming) == size:
                    found |= self._having_all(groups, ",".join(coming))
                    yield from [each for each in passed if each.id in found]
                    passed, coming, size = [], [], min(2 * size, VOLUMES_ASKED_MAX)
        if coming:
            found |= self._having_all(groups, ",".join(coming))
        yield from [each for each in passed if each.id in found]

    def _having_all(self, groups: Sequence[Sequence[str]], volumes: str) -> set[int]:
        """The segments of some volumes that have a word of each group; where few are left, not all are asked for."""
        candidates = self._having(groups[0], volumes)
        for group in groups[1:]:
            if len(candidates) > FEW:  # few are quicker opened than sifted
                candidates &= self._having(group, volumes)
        return candidates

    def _having(self, words: Sequence[str], volumes: str) -> set[int]:
        """The segments of some volumes that have one of some words."""
        found: set[int] = set()
        execute = self._connection.execute
        for word in words:
            if word[0] in COUNTED:
                query = f"SELECT segment FROM words WHERE volume IN ({volumes}) AND word = ?"
                found.update([row[0] for row in execute(query, (word,))])
                continue
            hashed = self._hasher(word)
            query = f"SELECT segment FROM many INDEXED BY many_places WHERE volume IN ({volumes}) AND word = ?"
            found.update([row[0] for row in execute(query, (hashed,))])
            query = (
                f"SELECT segment, entries FROM rare WHERE volume IN ({volumes}) AND bucket = ? AND instr(entries, ?)"
            )
            rows = execute(query, (hashed >> BUCKET_SHIFT, rare_pattern(hashed)))
            for segment, entries in rows:
                if ranks := rare_ranks(entries, hashed):
                    found.add(segment)
                    self._rare[word, segment] = ranks
        return found

    def _list(self, segment: SegmentRow, words: Sequence[str]) -> Sequence[int]:
        """A segment's events that have one of some words."""
        if len(words) == 1:
            return self._ranks(segment, words[0])
        found: set[int] = set()
        for word in words:
            found.update(self._ranks(segment, word))
        return array("H", sorted(found))

    def _ranks(self, segment: SegmentRow, word: str) -> Sequence[int]:
        place = (segment.volume, segment.id)
        if word[0] in COUNTED:
            query = "SELECT ranks FROM words WHERE volume = ? AND segment = ? AND word = ?"
            row = self._connection.execute(query, (*place, word)).fetchone()
            return ranks_of(row[0]) if row else ()
        if (seen := self._rare.get((word, segment.id))) is not None:
            return seen
        hashed = self._hasher(word)
        query = "SELECT ranks FROM many WHERE volume = ? AND segment = ? AND word = ?"
        row = self._connection.execute(query, (*place, hashed)).fetchone()
        if row:
            return ranks_of(row[0])
        query = "SELECT entries FROM rare WHERE volume = ? AND segment = ? AND bucket = ?"
        row = self._connection.execute(query, (*place, hashed >> BUCKET_SHIFT)).fetchone()
        return rare_ranks(row[0], hashed) if row else ()

    def matching_words(self, kind: str, pattern: str) -> list[str]:
        """The words of a kind of COUNTED that a pattern with `*` and `?` fits, WORDS_MAX at the most, in order."""
        low = kind + re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        glob = kind + pattern.replace("[", "[[]")
        query = (
            "SELECT DISTINCT word FROM words WHERE volume IN (SELECT DISTINCT volume FROM segments)"
            " AND word >= ? AND word < ? AND word GLOB ? LIMIT ?"
        )
        rows = self._connection.execute(query, (low, low + _HIGHEST, glob, WORDS_MAX + 1))
        return sorted(word for (word,) in rows)

    def _within(self, segment: SegmentRow, start: int, end: int) -> tuple[int, int]:
        """Ranks [low, high) of a segment's events whose times lie in [start, end]."""
        low = 0 if segment.first >= start else self._first_at(segment, start)
        high = segment.count if segment.last <= end else self._first_at(segment, end + 1)
        return low, high

    def _first_at(self, segment: SegmentRow, time: int) -> int:
        """The rank of the first event at `time` or later."""
        low, high = 0, segment.count
        while low < high:
            middle = (low + high) // 2
            if self.place(segment, middle)[0] < time:
                low = middle + 1
            else:
                high = middle
        return low

    def place(self, segment: SegmentRow, rank: int) -> Place:
        """(time, number) of an event."""
        block = self._block(segment, rank // BLOCK_EVENTS)
        within = rank % BLOCK_EVENTS
        return block.times[within], segment.low + block.numbers[within]

    def record(self, hit: Hit) -> bytes:
        """An event's record, as it was kept. Raises Damaged."""
        segment, place = hit.segment, hit.rank // BLOCK_EVENTS
        block = self._block(segment, place)
        if block.records is None:
            count = min(segment.count - place * BLOCK_EVENTS, BLOCK_EVENTS)
            block.records = self._memory.unpacker(segment.id).unpack(block.packed, count)
        return block.records.record(hit.rank % BLOCK_EVENTS)

    def _block(self, segment: SegmentRow, place: int) -> Block:
        number = segment.id << BLOCK_BITS | place
        block = self._blocks.get(number)
        if block is None:
            row = self._connection.execute("SELECT head, records FROM blocks WHERE id = ?", (number,)).fetchone()
            if row is None:
                raise Damaged("a block of records is missing")
            block = self._blocks[number] = Block(*unpack_head(row[0], segment.low, segment.high), row[1])
            if len(self._blocks) > BLOCKS_CACHED_MAX:
                self._blocks.popitem(last=False)
        return block

    def newest(self) -> int:
        """The greatest number in the file; FIRST_NUMBER when it is empty."""
        highest: int | None = self._connection.execute("SELECT max(high) FROM segments").fetchone()[0]
        return FIRST_NUMBER if highest is None else highest

    def count(self, search: HistorySearch) -> int:
        """How many events have all the words."""
        return sum(len(ranks) for _, ranks in self.matching_ranks(search))

    def count_by(self, search: HistorySearch, kind: str) -> Counter[str]:
        """How many of them have each value of a kind of COUNTED; `after` and `before` play no part."""
        counts: Counter[str] = Counter()
        chosen = {segment.id: (segment, ranks) for segment, ranks in self.matching_ranks(search) if len(ranks)}
        sets: dict[int, frozenset[int]] = {}
        query = "SELECT word, segment, ranks FROM words WHERE volume = ? AND word >= ? AND word < ?"
        for volume in {segment.volume for segment, _ in chosen.values()}:
            for word, number, packed in self._connection.execute(query, (volume, kind, chr(ord(kind) + 1))):
                if number not in chosen:
                    continue
                segment, ranks = chosen[number]
                if len(ranks) == segment.count:
                    counts[word[1:]] += len(packed) // 2
                    continue
                if number not in sets:
                    sets[number] = frozenset(ranks)
                if shared := len(sets[number].intersection(ranks_of(packed))):
                    counts[word[1:]] += shared
        return counts


class _Cursor:
    """A segment's matching events, from the newest on."""

    __slots__ = ("_left", "_ranks", "rank", "segment")

    def __init__(self, segment: SegmentRow, ranks: Sequence[int]) -> None:
        self.segment = segment
        self._ranks = ranks
        self._left = len(ranks)
        self.rank = -1

    def advance(self) -> bool:
        """Go to the next; False when there is none."""
        if not self._left:
            return False
        self._left -= 1
        self.rank = self._ranks[self._left]
        return True


def _fewest_first(word: str) -> int:
    """Words of ids first, then LookupEvents' own, then those that are shared by more and more events."""
    return ("dqkKr" + LOOKUP + "epiEubnsgoca").find(word[0])


def _between(ranks: Sequence[int], low: int, high: int) -> Sequence[int]:
    return ranks[bisect_left(ranks, low) : bisect_left(ranks, high)]


def intersect(few: Sequence[int], many: Sequence[int]) -> Sequence[int]:
    """What two ascending lists share, ascending."""
    if len(few) > PROBED_MAX:
        return array("H", sorted(set(few).intersection(many)))
    shared = []
    start, end = 0, len(many)
    for rank in few:
        start = bisect_left(many, rank, start)
        if start == end:
            break
        if many[start] == rank:
            shared.append(rank)
    return shared
