"""One file of the event history: segments of events in SQLite, written by one process, read by any number.

Whatever is added becomes a segment at once, in one transaction with the cursor; small segments are merged, eight into
one, until they are full; full ones are bound, 8 and later 32 into a volume, in which a word's lists lie side by side: a
look-up seeks once in each volume. Expiry removes whole volumes. Readers see a snapshot (WAL), so writers never disturb
them. Knows numbers, words and records' bytes; not where they come from.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from opentrail.stores.history_segments import EVENTS_MAX, Entry, Segment, build, packed_times
from opentrail.stores.history_tables import (
    EVENT_BITS,
    FORMAT,
    LISTS,
    SCHEMA,
    Lacking,
    SegmentRow,
    check_format,
    hasher_of,
    ids_of,
    meta,
    newest_dictionary,
    segment_rows,
)
from opentrail.stores.history_upkeep import bind, expired_volumes, merge, to_bind, to_merge

SHORT_BYTES = 128
"""A hashed word's list lies beside the word if it takes no more, else in a table of its own: so what has a word is
found without reading the long ones, and the short ones are read with it."""
CACHE_KIB = 16 * 1024
"""Pages that a connection keeps in memory."""
PAGE_BYTES = 16 * 1024
BUSY_MILLISECONDS = 20_000
KEY_BYTES = 16
Work = TypeVar("Work")


class Moved(Exception):
    """The cursor is not where the caller thought: somebody else has written meanwhile."""


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
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            values = [("format", FORMAT), ("cursor", 0), ("imported", 0), ("next", 1), ("key", os.urandom(KEY_BYTES))]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", values)
        check_format(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def remove(path: Path) -> None:
    """Delete a history's file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def set_aside(path: Path, aside: Path) -> None:
    """Give a history's file, and what SQLite keeps beside it, another name. What had that name is gone. The file itself is
    renamed first: one that lost its log must not be taken for a whole one under its own name."""
    remove(aside)
    for suffix in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    remove(path)


class HistoryFile:
    """The writer of one file. Not for several threads at once."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self.connection = connect(path, durable=durable)
        self._hasher = hasher_of(self.connection)

    def cursor(self) -> int:
        return meta(self.connection, "cursor")

    def add(self, entries: Sequence[Entry], *, after: int, through: int, cursor: str = "cursor") -> None:
        """Keep events and move a cursor, all or nothing. Raises Moved unless the cursor stands at `after`."""
        segments = [self.built(entries[start : start + EVENTS_MAX]) for start in range(0, len(entries), EVENTS_MAX)]

        def work() -> None:
            if meta(self.connection, cursor) != after:
                raise Moved
            for segment in segments:
                self.insert(segment)
            self.set_meta(cursor, through)

        self.transact(work)

    def lack(self, lacking: Lacking, cursor: int) -> None:
        """What is behind `cursor` is lacking."""

        def work() -> None:
            rows = (("cursor", cursor), *msgspec.structs.asdict(lacking).items())
            self.connection.executemany("REPLACE INTO meta VALUES (?, ?)", rows)

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
        bind(self.connection, chosen, volume)

    def _delete(self, rows: Sequence[SegmentRow]) -> None:
        """Remove segments; those of a volume together."""
        for row in rows:
            self.connection.execute("DELETE FROM segments WHERE id = ?", (row.id,))
            self.connection.execute("DELETE FROM times WHERE segment = ?", (row.id,))
            self.connection.execute("DELETE FROM events WHERE id >= ? AND id < ?", ids_of(row))
        self.connection.execute("DELETE FROM dictionaries WHERE id NOT IN (SELECT dictionary FROM segments)")
        for volume in {row.volume for row in rows}:
            for table in LISTS:
                self.connection.execute(f"DELETE FROM {table} WHERE volume = ?", (volume,))

    def clear(self) -> None:
        """Forget every event and start at cursor 0."""

        def work() -> None:
            for table in ("segments", "dictionaries", "times", "events", *LISTS):
                self.connection.execute(f"DELETE FROM {table}")
            self.set_meta("cursor", 0)
            self.connection.execute("DELETE FROM meta WHERE name IN ('filled', 'through', 'aside')")

        self.transact(work)

    def close(self) -> None:
        self.connection.close()


def _event_rows(first: int, segment: Segment, lower: int) -> Iterator[tuple[int, int, int, bytes]]:
    events = zip(segment.places, segment.frames, strict=True)
    return ((id_, time, number - lower, frame) for id_, ((time, number), frame) in enumerate(events, first))
