"""A file's lists of ranks by word: which segments have a word, and which of their events. Reads only.

What was asked of a word is remembered for the next page of a look-up, which asks for the same: a volume's lists never
change, and a volume that is made of others has a number of its own.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from opentrail.record.history_words import COUNTED
from opentrail.stores.history_segments import (
    BUCKET_SHIFT,
    Hasher,
    bundled_ranks,
    part_of,
    ranks_of,
    rare_pattern,
    rare_ranks,
)
from opentrail.stores.history_tables import SegmentRow

LISTS_REMEMBERED_MAX = 8_192
"""Short lists kept between searches, of 128 bytes and some objects each, unless one word has more."""

Short = dict[int, Sequence[int] | None]
"""Ranks by segment; None where the list is long, and is read when it is needed."""


class WordLists:
    """The lists of one file. Not for several threads at once."""

    def __init__(self, connection: sqlite3.Connection, hasher: Hasher) -> None:
        self._connection = connection
        self._hasher = hasher
        self._words: OrderedDict[str, dict[int, Short]] = OrderedDict()
        """By word and volume."""
        self._count = 0

    def segments_with(self, word: str, volumes: Mapping[int, int]) -> set[int]:
        """The segments of some volumes that have a word. `volumes`: how many segments each has."""
        known = self._words.setdefault(word, {})
        self._words.move_to_end(word)
        if missing := {volume: count for volume, count in volumes.items() if volume not in known}:
            asked = self._asked(word, missing)
            known.update(asked)
            self._count += sum(map(len, asked.values())) + len(asked)
            self._forget()
        return {segment for volume in volumes for segment in known[volume]}

    def _forget(self) -> None:
        """Let go the words that were not asked for the longest."""
        while self._count > LISTS_REMEMBERED_MAX and len(self._words) > 1:
            _, gone = self._words.popitem(last=False)
            self._count -= sum(map(len, gone.values())) + len(gone)

    def _asked(self, word: str, volumes: Mapping[int, int]) -> dict[int, Short]:
        found: dict[int, Short] = {volume: {} for volume in volumes}
        marks = ",".join("?" * len(volumes))
        execute = self._connection.execute
        if word[0] in COUNTED:
            query = f"SELECT volume, segment FROM words WHERE volume IN ({marks}) AND word = ?"
            for volume, segment in execute(query, (*volumes, word)):
                found[volume][segment] = None
            return found
        hashed = self._hasher(word)
        query = f"SELECT volume, segment, ranks FROM many WHERE volume IN ({marks}) AND word = ?"
        for volume, segment, ranks in execute(query, (*volumes, hashed)):
            found[volume][segment] = ranks_of(ranks) if ranks else None
        if all(len(found[volume]) == count for volume, count in volumes.items()):
            return found  # a word's list is in one place only
        self._add_rare(found, hashed, volumes)
        return found

    def _add_rare(self, found: dict[int, Short], hashed: int, volumes: Mapping[int, int]) -> None:
        """Add the lists that lie in buckets. A volume of one segment is a loose segment."""
        pattern = (hashed >> BUCKET_SHIFT, rare_pattern(hashed))
        execute = self._connection.execute
        if loose := [volume for volume, count in volumes.items() if count == 1]:
            where = f"volume IN ({','.join('?' * len(loose))}) AND bucket = ? AND instr(entries, ?)"
            rows = execute(f"SELECT volume, segment, entries FROM rare WHERE {where}", (*loose, *pattern))
            for volume, segment, entries in rows:
                if ranks := rare_ranks(entries, hashed):
                    found[volume][segment] = ranks
        if bound := [volume for volume, count in volumes.items() if count > 1]:
            where = f"volume IN ({','.join('?' * len(bound))}) AND bucket = ? AND instr(entries, ?)"
            rows = execute(f"SELECT volume, parts, entries FROM bundles WHERE {where}", (*bound, *pattern))
            for volume, parts, entries in rows:
                found[volume].update(bundled_ranks(parts, entries, hashed))

    def ranks(self, segment: SegmentRow, words: Sequence[str]) -> Sequence[int]:
        """A segment's events that have one of some words, ascending."""
        if len(words) == 1:
            return self._of(segment, words[0])
        return sorted(set().union(*[self._of(segment, word) for word in words]))

    def _of(self, segment: SegmentRow, word: str) -> Sequence[int]:
        short = self._words.get(word, {}).get(segment.volume)
        if short is not None and (ranks := short.get(segment.id, ())) is not None:
            return ranks
        place = (segment.volume, segment.id)
        if word[0] in COUNTED:
            query = "SELECT ranks FROM words WHERE volume = ? AND segment = ? AND word = ?"
            row = self._connection.execute(query, (*place, word)).fetchone()
            return ranks_of(row[0]) if row else ()
        hashed = self._hasher(word)
        for table in ("long", "many"):
            query = f"SELECT ranks FROM {table} WHERE volume = ? AND segment = ? AND word = ?"
            row = self._connection.execute(query, (*place, hashed)).fetchone()
            if row:
                return ranks_of(row[0])
        for entries in rare_entries(self._connection, segment, hashed >> BUCKET_SHIFT):
            return rare_ranks(entries, hashed)
        return ()


def rare_entries(connection: sqlite3.Connection, segment: SegmentRow, bucket: int = -1) -> Iterator[bytes]:
    """The entries of a segment's rare words, bucket by bucket; of one bucket only where that is given."""
    which, given = ("", ()) if bucket < 0 else (" AND bucket = ?", (bucket,))
    if segment.volume == segment.id:
        for (entries,) in connection.execute(f"SELECT entries FROM rare WHERE volume = ?{which}", (segment.id, *given)):
            yield entries
        return
    query = f"SELECT parts, entries FROM bundles WHERE volume = ?{which}"
    for parts, entries in connection.execute(query, (segment.volume, *given)):
        if part := part_of(segment.id, parts, entries):
            yield part
