"""Finding events in one file of the history, newest first, and counting them. Reads only.

For each word SQLite yields the lists of all segments in one statement; a segment's lists are intersected, the shortest
first; segments are opened newest first and only as far as events are asked for. Nothing is walked that could be skipped.
"""

from __future__ import annotations

import re
import sqlite3
from array import array
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from urllib.parse import quote

from opentrail.ports import FIRST_NUMBER, HistorySearch
from opentrail.record.history_words import COUNTED
from opentrail.stores.history_file import (
    BLOCK_BITS,
    BUSY_MILLISECONDS,
    CACHE_KIB,
    SegmentRow,
    check_format,
    dictionary_of,
    hasher_of,
)
from opentrail.stores.history_segments import BLOCK_EVENTS, ranks_of, rare_ranks, unpack, unpack_head

BLOCKS_CACHED_MAX = 64
"""Inflated blocks that one search remembers: neighbours are often wanted together."""
PROBED_MAX = 512
"""Ranks that are looked for one by one in another list; more are intersected as sets."""
_SEGMENT = "s.id, s.count, s.first, s.last, s.low, s.high"
WORDS_MAX = 1_000
"""Words that a pattern may stand for."""
_HIGHEST = "\U0010ffff"
_LATEST = (1 << 62, 1 << 62)

Place = tuple[int, int]
"""(time, number)."""


@dataclass(frozen=True, slots=True)
class Hit:
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


class Shelf:
    """One file, as it stood when the search began: use it within `with`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._hasher = hasher_of(connection)
        self._blocks: OrderedDict[int, list[bytes]] = OrderedDict()
        self._dictionaries: OrderedDict[int, bytes] = OrderedDict()
        self._heads: OrderedDict[int, tuple[Sequence[int], Sequence[int]]] = OrderedDict()

    def __enter__(self) -> Shelf:
        self._connection.execute("BEGIN")
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
        """(segment, ranks of its events within the times that have all the words); lists may be empty."""
        end = min(search.end, search.before[0]) if search.before else search.end
        for segment, lists in self._lists(search.words, (search.start, end, search.after)):
            lists += [self._any_of(segment, group) for group in search.any_of]
            low, high = self._within(segment, search.start, end)
            if not lists:
                yield segment, range(low, high)
                continue
            lists.sort(key=len)
            ranks = _between(lists[0], low, high)
            for other in lists[1:]:
                ranks = intersect(ranks, other)
            yield segment, ranks

    def _any_of(self, segment: SegmentRow, words: Sequence[str]) -> Sequence[int]:
        """A segment's events that have one of some words."""
        found: set[int] = set()
        for word in words:
            if word[0] in COUNTED:
                query = "SELECT ranks FROM words WHERE segment = ? AND word = ?"
                row = self._connection.execute(query, (segment.id, word)).fetchone()
                found.update(ranks_of(row[0]) if row else ())
                continue
            hashed = self._hasher(word)
            query = "SELECT ranks FROM many WHERE segment = ? AND word = ?"
            row = self._connection.execute(query, (segment.id, hashed)).fetchone()
            found.update(ranks_of(row[0]) if row else ())
            query = (
                "SELECT entries FROM rare WHERE segment = ?1"
                " AND bucket = (?2 >> (SELECT shift FROM segments WHERE id = ?1))"
            )
            row = self._connection.execute(query, (segment.id, hashed)).fetchone()
            found.update(rare_ranks(row[0], hashed) if row else ())
        return array("H", sorted(found))

    def matching_words(self, kind: str, pattern: str) -> list[str]:
        """The words of a kind of COUNTED that a pattern with `*` and `?` fits, WORDS_MAX at the most, in order."""
        literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        low = kind + literal
        glob = kind + pattern.replace("[", "[[]")
        query = (
            "SELECT DISTINCT w.word FROM segments s CROSS JOIN words w"
            " ON w.segment = s.id AND w.word >= ? AND w.word < ? AND w.word GLOB ? LIMIT ?"
        )
        rows = self._connection.execute(query, (low, low + _HIGHEST, glob, WORDS_MAX + 1))
        return sorted(word for (word,) in rows)

    def _lists(
        self, words: Sequence[str], bounds: tuple[int, int, int]
    ) -> Iterator[tuple[SegmentRow, list[Sequence[int]]]]:
        """Every segment that has all the words, with their lists."""
        joins, parameters, columns, hashes = [], [], [], []
        for place, word in enumerate(words):
            if word[0] in COUNTED:
                hashes.append(-1)
                columns.append(f"w{place}.ranks, NULL")
                joins.append(f"CROSS JOIN words w{place} ON w{place}.segment = s.id AND w{place}.word = ?")
                parameters.append(word)
            else:
                hashed = self._hasher(word)
                hashes.append(hashed)
                columns.append(f"m{place}.ranks, r{place}.entries")
                joins.append(f"LEFT JOIN many m{place} ON m{place}.segment = s.id AND m{place}.word = ?")
                joins.append(f"LEFT JOIN rare r{place} ON r{place}.segment = s.id AND r{place}.bucket = (? >> s.shift)")
                parameters += [hashed, hashed]  # type: ignore[list-item]
        query = (
            f"SELECT {', '.join([_SEGMENT, *columns])} FROM segments s {' '.join(joins)}"
            " WHERE s.last >= ? AND s.first <= ? AND s.high > ? ORDER BY s.last DESC, s.id"
        )
        for row in self._connection.execute(query, (*parameters, *bounds)):
            lists: list[Sequence[int]] = []
            for place, hashed in enumerate(hashes):
                ranks, entries = row[6 + 2 * place], row[7 + 2 * place]
                lists.append(ranks_of(ranks) if ranks is not None else rare_ranks(entries or b"", hashed))
            if all(lists):
                yield SegmentRow(*row[:6]), lists

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
        block = segment.id << BLOCK_BITS | rank // BLOCK_EVENTS
        head = self._heads.get(block)
        if head is None:
            row = self._connection.execute("SELECT head FROM blocks WHERE id = ?", (block,)).fetchone()
            head = self._heads[block] = unpack_head(row[0], segment.low, segment.high)
            if len(self._heads) > BLOCKS_CACHED_MAX:
                self._heads.popitem(last=False)
        within = rank % BLOCK_EVENTS
        return head[0][within], segment.low + head[1][within]

    def record(self, hit: Hit) -> bytes:
        """An event's record, as it was kept."""
        segment = hit.segment
        place = hit.rank // BLOCK_EVENTS
        block = segment.id << BLOCK_BITS | place
        records = self._blocks.get(block)
        if records is None:
            row = self._connection.execute("SELECT records FROM blocks WHERE id = ?", (block,)).fetchone()
            count = min(segment.count - place * BLOCK_EVENTS, BLOCK_EVENTS)
            records = self._blocks[block] = unpack(row[0], count, self._dictionary(segment.id))
            if len(self._blocks) > BLOCKS_CACHED_MAX:
                self._blocks.popitem(last=False)
        return records[hit.rank % BLOCK_EVENTS]

    def _dictionary(self, segment: int) -> bytes:
        found = self._dictionaries.get(segment)
        if found is None:
            found = self._dictionaries[segment] = dictionary_of(self._connection, segment)
            if len(self._dictionaries) > BLOCKS_CACHED_MAX:
                self._dictionaries.popitem(last=False)
        return found

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
        for segment, ranks in self.matching_ranks(search):
            whole = len(ranks) == segment.count
            chosen = frozenset(ranks) if not whole else frozenset()
            query = "SELECT word, ranks FROM words WHERE segment = ? AND word >= ? AND word < ?"
            for word, packed in self._connection.execute(query, (segment.id, kind, chr(ord(kind) + 1))):
                number = len(packed) // 2 if whole else len(chosen.intersection(ranks_of(packed)))
                if number:
                    counts[word[1:]] += number
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
