"""Finding events in one file of the history, newest first, and counting them. Reads only.

First the segments that have all the words are found, by a seek in each volume; then they are opened newest first, and only
as far as events are asked for; a segment's lists are intersected, the shortest first. Nothing is walked that could be
skipped.
"""

from __future__ import annotations

import re
import sqlite3
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import msgspec

from opentrail.ports import FIRST_NUMBER, HistorySearch, PastEvent
from opentrail.record.history_words import LOOKUP
from opentrail.stores.history_frames import Damaged
from opentrail.stores.history_open import Memory, Volume, newest_first
from opentrail.stores.history_runs import Place, Row, Runs
from opentrail.stores.history_segments import TIMES_STEP, ranks_of
from opentrail.stores.history_tables import EVENT_BITS, SegmentRow

ROWS_READ_MAX = 512
"""Events that one query reads."""
PROBED_MAX = 512
"""Ranks that are looked for one by one in another list; more are intersected as sets."""
WORDS_MAX = 1_000
"""Words that a pattern may stand for."""
VOLUMES_ASKED_FIRST, VOLUMES_ASKED_OF_SCARCE, VOLUMES_ASKED_MAX = 4, 16, 256
"""Volumes that are asked in one go for the segments that have a word: of words that most segments have, the first few are
enough for a page."""
SCARCE = frozenset("dqkKru")
"""Kinds of words that a segment most likely has not."""
FEW = 16
"""Segments that are opened at once rather than looked at further."""
_HIGHEST = "\U0010ffff"

Groups = Sequence[Sequence[str]]
"""Of each group, an event has a word at least."""


class _Asked(msgspec.Struct, frozen=True, gc=False):
    """What is searched."""

    groups: Groups
    start: Place
    end: Place
    """Behind the last."""
    after: int

    def may_be_in(self, part: SegmentRow | Volume) -> bool:
        """As far as times and numbers tell."""
        return part.last >= self.start[0] and part.first <= self.end[0] and part.high > self.after


class Shelf:
    """One file, as it stood when the search began: use it within `with`."""

    def __init__(self, connection: sqlite3.Connection, memory: Memory | None = None) -> None:
        self._connection = connection
        self._memory = memory or Memory(connection)
        self._lists = self._memory.lists

    def __enter__(self) -> Shelf:
        self._connection.execute("BEGIN")
        self._memory.refresh()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.execute("COMMIT")

    def find(self, search: HistorySearch, first: int) -> Iterator[Row]:
        """Events that have all the words, newest first by (time, number); `first` of them are most likely wanted."""
        asked = _asked(search)
        rows = Runs(self._having(asked), partial(self._matching, asked), self._read).newest_first(first)
        return rows if search.after == FIRST_NUMBER else (row for row in rows if row[1] > search.after)

    def matching_ranks(self, search: HistorySearch) -> Iterator[tuple[SegmentRow, Sequence[int]]]:
        """(segment, ranks of its events within the times that have all the words), by last time, newest first."""
        asked = _asked(search)
        for segment in self._having(asked):
            yield segment, self._matching(asked, segment)

    def _matching(self, asked: _Asked, segment: SegmentRow) -> Sequence[int]:
        """A segment's events within the times that have a word of each group."""
        if segment.first >= asked.start[0] and segment.last < asked.end[0]:
            low, high = 0, segment.count
        else:
            low, high = self._within(segment, asked)
        if not asked.groups:
            return range(low, high)
        lists = [self._lists.ranks(segment, group) for group in asked.groups]
        lists.sort(key=len)
        ranks = lists[0] if high - low == segment.count else _between(lists[0], low, high)
        for other in lists[1:]:
            ranks = intersect(ranks, other)
        return ranks

    def _having(self, asked: _Asked) -> Iterator[SegmentRow]:
        """Segments that may have an event that is searched, by their last time, newest first. Volumes are asked in the same
        order, more and more of them together: who needs a few events of the newest asks few."""
        if not asked.groups:
            yield from filter(asked.may_be_in, self._memory.segments)
            return
        volumes = list(filter(asked.may_be_in, self._memory.volumes))
        by_id = self._memory.by_id
        passed: list[SegmentRow] = []
        scarce = any(word[0] in SCARCE for group in asked.groups for word in group)
        start, size = 0, VOLUMES_ASKED_OF_SCARCE if scarce else VOLUMES_ASKED_FIRST
        while start < len(volumes):
            found = self._having_all(asked.groups, volumes[start : start + size])
            passed += filter(asked.may_be_in, [by_id[segment] for segment in found])
            passed.sort(key=newest_first)
            start, size = start + size, min(2 * size, VOLUMES_ASKED_MAX)
            due = len(passed)
            if start < len(volumes):  # what is not asked yet may have later ones than the last of these
                due = bisect_right(passed, -volumes[start].last, key=lambda row: -row.last)
            yield from passed[:due]
            del passed[:due]

    def _having_all(self, groups: Groups, volumes: Sequence[Volume]) -> set[int]:
        """The segments of some volumes that have a word of each group; where few are left, not all are asked for."""
        sizes = {volume.id: volume.count for volume in volumes}
        candidates = self._having_one(groups[0], sizes)
        for group in groups[1:]:
            if len(candidates) > FEW:  # few are quicker opened than sifted
                candidates &= self._having_one(group, sizes)
        return candidates

    def _having_one(self, words: Sequence[str], volumes: Mapping[int, int]) -> set[int]:
        """The segments of some volumes that have one of some words."""
        found: set[int] = set()
        for word in words:
            found |= self._lists.segments_with(word, volumes)
        return found

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

    def _within(self, segment: SegmentRow, asked: _Asked) -> tuple[int, int]:
        """Ranks [low, high) of a segment's events from the start to the end."""
        low = 0 if segment.first >= asked.start[0] else self._rank_of(segment, asked.start)
        high = segment.count if segment.last < asked.end[0] else self._rank_of(segment, asked.end)
        return low, high

    def _rank_of(self, segment: SegmentRow, place: Place) -> int:
        """How many of a segment's events come before a place."""
        times = self._memory.times(segment.id)
        low = max(bisect_left(times, place[0]) - 1, 0) * TIMES_STEP
        high = bisect_right(times, place[0]) * TIMES_STEP
        first = segment.id << EVENT_BITS
        query = "SELECT count(*) FROM events WHERE id >= ? AND id < ? AND (time, number) < (?, ?)"
        counted = self._connection.execute(query, (first + low, first + high, *place)).fetchone()[0]
        return low + int(counted)

    def rows(self, segment: SegmentRow, ranks: Iterable[int]) -> list[Row]:
        """Some of a segment's events, by rank. Raises Damaged."""
        first = segment.id << EVENT_BITS
        return self._read([first | rank for rank in ranks])

    def _read(self, ids: Sequence[int]) -> list[Row]:
        """Events by id. Raises Damaged."""
        rows: list[Row] = []
        for start in range(0, len(ids), ROWS_READ_MAX):
            some = ids[start : start + ROWS_READ_MAX]
            query = f"SELECT time, number, id, record FROM events WHERE id IN ({','.join('?' * len(some))})"
            rows += self._connection.execute(query, some)
        if len(rows) < len(ids):
            raise Damaged("an event is missing")
        return rows

    def events(self, rows: Iterable[Row]) -> Iterator[PastEvent]:
        """Events with their records. Raises Damaged."""
        by_id, opened = self._memory.by_id, 0
        unpack = self._memory.unpack_with(opened)
        for time, number, id_, frame in rows:
            if (dictionary := by_id[id_ >> EVENT_BITS].dictionary) != opened:
                opened, unpack = dictionary, self._memory.unpack_with(dictionary)
            yield PastEvent(number, time, unpack(frame))

    def record(self, row: Row) -> bytes:
        """An event's record, as it was kept. Raises Damaged."""
        return self._memory.unpack_with(self._memory.by_id[row[2] >> EVENT_BITS].dictionary)(row[3])

    def last(self) -> int:
        """The time of the latest event; -1 when there is none."""
        segments = self._memory.segments
        return segments[0].last if segments else -1

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


def _asked(search: HistorySearch) -> _Asked:
    """Words that few events have come first; a page begins where the one before it ended."""
    groups = [(word,) for word in sorted(search.words, key=_fewest_first)] + list(search.any_of)
    end = (search.end + 1, FIRST_NUMBER)
    return _Asked(groups, (search.start, FIRST_NUMBER), min(search.before, end) if search.before else end, search.after)


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
