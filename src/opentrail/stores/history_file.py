"""One file of the event history: segments of events in SQLite, written by one process, read by any number.

Whatever is added becomes a segment at once, in one transaction with the cursor; small segments are merged, eight into
one, until they are full; full ones are bound, 8 and later 32 into a volume, in which a word's lists lie side by side: a
look-up seeks once in each volume. Expiry removes whole volumes. Readers see a snapshot (WAL), so writers never disturb
them. Knows numbers, words and records' bytes; not where they come from.
"""

from __future__ import annotations

import os
import sqlite3
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from opentrail.stores.history_frames import Damaged, Unpacker
from opentrail.stores.history_segments import (
    EVENTS_MAX,
    RANK_MASK,
    Entry,
    Hasher,
    Lists,
    Segment,
    assemble,
    build,
    packed_times,
)

FORMAT = 6
"""Version of the layout."""
EVENT_BITS = 15
"""An event's id is its segment's and so many bits, its rank there."""
SHORT_BYTES = 128
"""A hashed word's list lies beside the word if it takes no more, else in a table of its own: so what has a word is
found without reading the long ones, and the short ones are read with it."""
VOLUME_SEGMENTS = (8, 32)
"""Full segments that are bound into a small volume, and those of small ones into a large one."""
DICTIONARY_SEGMENTS = 32
"""Segments that share a dictionary, about: what a damaged one takes with it."""
INDEXES = {"words": "word", "many": "word", "long": "word", "rare": "bucket"}
"""The tables of lists, and what they are ordered by within a volume."""
MERGED = 8
"""Segments of about one size that are merged into one."""
TIER_BASE = 8
CACHE_KIB = 16 * 1024
"""Pages that a connection keeps in memory."""
PAGE_BYTES = 16 * 1024
BUSY_MILLISECONDS = 20_000
KEY_BYTES = 16
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE segments (id INTEGER PRIMARY KEY, volume INTEGER NOT NULL, count INTEGER NOT NULL, first INTEGER NOT NULL,
  last INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL, dictionary INTEGER NOT NULL);
CREATE TABLE dictionaries (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE times (segment INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE events (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, number INTEGER NOT NULL, record BLOB NOT NULL);
CREATE TABLE words (volume INTEGER, word TEXT, segment INTEGER, ranks BLOB NOT NULL,
  PRIMARY KEY (volume, word, segment)) WITHOUT ROWID;
CREATE TABLE many (volume INTEGER, word INTEGER, segment INTEGER, ranks BLOB NOT NULL,
  PRIMARY KEY (volume, word, segment)) WITHOUT ROWID;
CREATE TABLE long (volume INTEGER, word INTEGER, segment INTEGER, ranks BLOB NOT NULL,
  PRIMARY KEY (volume, word, segment)) WITHOUT ROWID;
CREATE TABLE rare (volume INTEGER, bucket INTEGER, segment INTEGER, entries BLOB NOT NULL,
  PRIMARY KEY (volume, bucket, segment)) WITHOUT ROWID;
"""

Work = TypeVar("Work")


class OtherFormat(Exception):
    """The file is none of the history's, or of another version of it."""


class Moved(Exception):
    """The cursor is not where the caller thought: somebody else has written meanwhile."""


class SegmentRow(msgspec.Struct, frozen=True, gc=False):
    """What is known of a segment without opening it. A segment that is not bound is a volume of its own."""

    id: int
    volume: int
    count: int
    first: int
    last: int
    low: int
    high: int
    dictionary: int = 0
    """What its records were compressed with; 0 for none."""


def connect(path: Path, *, durable: bool) -> sqlite3.Connection:
    """A writer's connection; makes the file. Raises OtherFormat, sqlite3.DatabaseError (damage).

    With `durable` a commit survives a power cut; without, the last ones may be gone, and with them the cursor.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_MILLISECONDS / 1000)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            values = [("format", FORMAT), ("cursor", 0), ("imported", 0), ("next", 1), ("key", os.urandom(KEY_BYTES))]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", values)
        check_format(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def check_format(connection: sqlite3.Connection) -> None:
    """Raises OtherFormat."""
    named = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
    row = connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone() if named else None
    if row is None or row[0] != FORMAT:
        raise OtherFormat


def meta(connection: sqlite3.Connection, name: str) -> int:
    """A number that the file keeps beside its segments."""
    value: int = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0]
    return value


def hasher_of(connection: sqlite3.Connection) -> Hasher:
    """The hashes of this file's words."""
    return Hasher(connection.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()[0])


def remove(path: Path) -> None:
    """Delete a history's file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class HistoryFile:
    """The writer of one file. Not for several threads at once."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self.connection = connect(path, durable=durable)
        self._hasher = hasher_of(self.connection)

    def cursor(self) -> int:
        return meta(self.connection, "cursor")

    def add(self, entries: Sequence[Entry], *, after: int, through: int) -> None:
        """Keep events and move the cursor, all or nothing. Raises Moved unless the cursor stands at `after`."""
        segments = [self.built(entries[start : start + EVENTS_MAX]) for start in range(0, len(entries), EVENTS_MAX)]

        def work() -> None:
            if self.cursor() != after:
                raise Moved
            for segment in segments:
                self.insert(segment)
            self.set_meta("cursor", through)

        self.transact(work)

    def built(self, entries: Sequence[Entry]) -> Segment:
        return build(entries, self._hasher, newest_dictionary(self.connection))

    def transact(self, work: Callable[[], Work]) -> Work:
        """Run in one transaction: all of it, or nothing when it raises."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = work()
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        return result

    def set_meta(self, name: str, value: int) -> None:
        self.connection.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))

    def insert(self, segment: Segment, lower: int = 0) -> None:
        """Store a segment's parts, within a transaction. All its events' numbers are lowered by `lower`."""
        number = meta(self.connection, "next")
        self.set_meta("next", number + 1)
        bounds = (segment.count, segment.first, segment.last, segment.low - lower, segment.high - lower)
        dictionary = self._dictionary(segment.dictionary, number)
        write = self.connection.executemany
        write("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)", ((number, number, *bounds, dictionary),))
        write("INSERT INTO times VALUES (?, ?)", ((number, packed_times(segment.places)),))
        write("INSERT INTO events VALUES (?, ?, ?, ?)", _event_rows(number << EVENT_BITS, segment, lower))
        many = [(word, ranks if len(ranks) <= SHORT_BYTES else b"") for word, ranks in segment.many]
        long = [(word, ranks) for word, ranks in segment.many if len(ranks) > SHORT_BYTES]
        lists: tuple[tuple[str, Sequence[tuple[object, bytes]]], ...]
        lists = (("words", segment.words), ("many", many), ("long", long), ("rare", segment.rare))
        for table, rows in lists:
            write(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", [(number, word, number, ranks) for word, ranks in rows])

    def _dictionary(self, dictionary: bytes, segment: int) -> int:
        """The number of a dictionary; a new one has its first segment's, so that none is ever given again."""
        if not dictionary:
            return 0
        row = self.connection.execute("SELECT id FROM dictionaries WHERE bytes = ?", (dictionary,)).fetchone()
        if row is None:
            self.connection.execute("INSERT INTO dictionaries VALUES (?, ?)", (segment, dictionary))
        return segment if row is None else int(row[0])

    def rows(self) -> list[SegmentRow]:
        """All segments, in the order in which they were made."""
        return segment_rows(self.connection)

    def tidy(self, oldest: int) -> bool:
        """One step of upkeep: drop what is older than `oldest` (epoch seconds), or merge. False: nothing to do."""
        rows = self.rows()
        if expired := expired_volumes(rows, oldest):
            self.transact(lambda: self._delete(expired))
            return True
        if chosen := to_merge(rows):
            merged = merge(self.connection, chosen)
            self.transact(lambda: self._replace(chosen, merged))
            return True
        if chosen := to_bind(rows):
            self.transact(lambda: self._bind(chosen))
            return True
        return False

    def _replace(self, chosen: Sequence[SegmentRow], merged: Segment) -> None:
        """One segment instead of several, unless somebody else has done it meanwhile."""
        if set(chosen) <= set(self.rows()):
            self._delete(chosen)
            self.insert(merged)

    def _bind(self, chosen: Sequence[SegmentRow]) -> None:
        """Make one volume of several, loose segments being their own."""
        if not set(chosen) <= set(self.rows()):
            return
        volume = meta(self.connection, "next")
        self.set_meta("next", volume + 1)
        volumes = ",".join({str(row.volume) for row in chosen})
        for table, word in INDEXES.items():
            value = "entries" if table == "rare" else "ranks"
            self.connection.execute(
                f"INSERT INTO {table} SELECT {volume}, {word}, segment, {value} FROM {table}"
                f" WHERE volume IN ({volumes}) ORDER BY {word}, segment"
            )
            self.connection.execute(f"DELETE FROM {table} WHERE volume IN ({volumes})")
        self.connection.execute(f"UPDATE segments SET volume = {volume} WHERE volume IN ({volumes})")

    def _delete(self, rows: Sequence[SegmentRow]) -> None:
        """Remove segments; those of a volume together."""
        for row in rows:
            self.connection.execute("DELETE FROM segments WHERE id = ?", (row.id,))
            self.connection.execute("DELETE FROM times WHERE segment = ?", (row.id,))
            self.connection.execute("DELETE FROM events WHERE id >= ? AND id < ?", ids_of(row))
        self.connection.execute("DELETE FROM dictionaries WHERE id NOT IN (SELECT dictionary FROM segments)")
        for volume in {row.volume for row in rows}:
            for table in INDEXES:
                self.connection.execute(f"DELETE FROM {table} WHERE volume = ?", (volume,))

    def clear(self) -> None:
        """Forget every event and start at cursor 0."""

        def work() -> None:
            for table in ("segments", "dictionaries", "times", "events", *INDEXES):
                self.connection.execute(f"DELETE FROM {table}")
            self.set_meta("cursor", 0)

        self.transact(work)

    def close(self) -> None:
        self.connection.close()


def _event_rows(first: int, segment: Segment, lower: int) -> Iterator[tuple[int, int, int, bytes]]:
    events = zip(segment.places, segment.frames, strict=True)
    return ((id_, time, number - lower, frame) for id_, ((time, number), frame) in enumerate(events, first))


def ids_of(row: SegmentRow) -> tuple[int, int]:
    """The ids that a segment's events have: from, and below."""
    return row.id << EVENT_BITS, (row.id + 1) << EVENT_BITS


def segment_rows(connection: sqlite3.Connection) -> list[SegmentRow]:
    """All segments of a file, in the order in which they were made."""
    query = "SELECT id, volume, count, first, last, low, high, dictionary FROM segments ORDER BY id"
    return [SegmentRow(*row) for row in connection.execute(query)]


def expired_volumes(rows: Sequence[SegmentRow], oldest: int) -> list[SegmentRow]:
    """The segments of volumes that have nothing as young as `oldest`."""
    living = {row.volume for row in rows if row.last >= oldest}
    return [row for row in rows if row.volume not in living]


def to_bind(rows: Sequence[SegmentRow]) -> list[SegmentRow]:
    """Full segments to make a volume of, loose ones or those of small volumes, the oldest first."""
    volumes: dict[int, list[SegmentRow]] = {}
    for row in rows:
        if row.volume != row.id or row.count >= EVENTS_MAX // 2:
            volumes.setdefault(row.volume, []).append(row)
    size = 1
    for bound in VOLUME_SEGMENTS:
        alike = sorted((each for each in volumes.values() if len(each) == size), key=lambda each: min(map(_age, each)))
        if len(alike) >= bound // size:
            return [row for each in alike[: bound // size] for row in each]
        size = bound
    return []


def _age(row: SegmentRow) -> tuple[int, int]:
    return row.first, row.id


def _tier(row: SegmentRow) -> int:
    tier, size = 0, row.count
    while size >= TIER_BASE:
        tier, size = tier + 1, size // TIER_BASE
    return tier


def to_merge(rows: Sequence[SegmentRow]) -> list[SegmentRow]:
    """Segments to make one of: those of a tier that has MERGED of them, or enough to fill one; the oldest, as many as
    fit."""
    tiers: dict[int, list[SegmentRow]] = {}
    for row in rows:
        if row.volume == row.id and row.count < EVENTS_MAX // 2:
            tiers.setdefault(_tier(row), []).append(row)
    for _, members in sorted(tiers.items()):
        fitting: list[SegmentRow] = []
        for row in sorted(members, key=_age):
            if sum(each.count for each in fitting) + row.count <= EVENTS_MAX:
                fitting.append(row)
        full = len(fitting) < len(members)
        if (len(members) >= MERGED or full) and len(fitting) > 1:
            return fitting
    return []


def merge(connection: sqlite3.Connection, rows: Sequence[SegmentRow]) -> Segment:
    """One segment of several that are together not too large. Records pass through one by one."""
    places = sorted(
        (time, number, source, rank)
        for source, row in enumerate(rows)
        for rank, (time, number) in enumerate(_places(connection, row))
    )
    if len(places) != sum(row.count for row in rows):
        raise Damaged("an event is missing")
    targets = [array("H", bytes(2 * row.count)) for row in rows]
    for place, (_, _, source, rank) in enumerate(places):
        targets[source][rank] = place
    lists = Lists({}, {}, [])
    for row, target in zip(rows, targets, strict=True):
        _take_lists(connection, row.id, target, lists)
    sources = [_records(connection, row) for row in rows]
    records = (next(sources[source]) for _, _, source, _ in places)
    known = newest_dictionary(connection)
    return assemble([(time, number) for time, number, _, _ in places], records, lists, known)


def _places(connection: sqlite3.Connection, row: SegmentRow) -> Iterator[tuple[int, int]]:
    return connection.execute("SELECT time, number FROM events WHERE id >= ? AND id < ? ORDER BY id", ids_of(row))


def _records(connection: sqlite3.Connection, row: SegmentRow) -> Iterator[bytes]:
    unpack = Unpacker(dictionary_of(connection, row.dictionary)).unpack
    query = "SELECT record FROM events WHERE id >= ? AND id < ? ORDER BY id"
    return (unpack(frame) for (frame,) in connection.execute(query, ids_of(row)))


def dictionary_of(connection: sqlite3.Connection, number: int) -> bytes:
    """A dictionary by its number. Raises Damaged."""
    row = connection.execute("SELECT bytes FROM dictionaries WHERE id = ?", (number,)).fetchone() if number else (b"",)
    if row is None:
        raise Damaged("a dictionary is missing")
    dictionary: bytes = row[0]
    return dictionary


def newest_dictionary(connection: sqlite3.Connection) -> bytes:
    """One that the next segment may share; empty when there is none, or enough share it."""
    newest = connection.execute("SELECT max(id) FROM dictionaries").fetchone()[0] or 0
    count = connection.execute("SELECT count(*) FROM segments WHERE dictionary = ?", (newest,)).fetchone()[0]
    return dictionary_of(connection, newest) if count < DICTIONARY_SEGMENTS else b""


def packed_times_of(connection: sqlite3.Connection, segment: int) -> bytes:
    """The times that are kept of a segment (`history_segments.times_of`). Raises Damaged."""
    row: tuple[bytes] | None
    row = connection.execute("SELECT bytes FROM times WHERE segment = ?", (segment,)).fetchone()
    if row is None:
        raise Damaged("a segment's times are missing")
    return row[0]


def _take_lists(connection: sqlite3.Connection, segment: int, target: Sequence[int], lists: Lists) -> None:
    """Add the words of a segment that is not bound, with their ranks in the merged one."""
    for word, ranks in connection.execute("SELECT word, ranks FROM words WHERE volume = ?", (segment,)):
        lists.plain.setdefault(word, []).extend([target[rank] for rank in memoryview(ranks).cast("H")])
    for table in ("many", "long"):
        for word, ranks in connection.execute(f"SELECT word, ranks FROM {table} WHERE volume = ?", (segment,)):
            lists.many.setdefault(word, []).extend([target[rank] for rank in memoryview(ranks).cast("H")])
    for (entries,) in connection.execute("SELECT entries FROM rare WHERE volume = ?", (segment,)):
        packed = memoryview(entries).cast("Q")
        lists.rare += [entry & ~RANK_MASK | target[entry & RANK_MASK] for entry in packed]
