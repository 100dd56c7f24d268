"""The tables of one file of the history, and the small questions that every reader and writer of it asks.

Knows numbers, words and bytes; neither how they are found nor how they came.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec

from opentrail.stores.history_frames import Damaged
from opentrail.stores.history_segments import Hasher

FORMAT = 6
"""Version of the layout."""
EVENT_BITS = 15
"""An event's id is its segment's and so many bits, its rank there."""
DICTIONARY_SEGMENTS = 32
"""Segments that share a dictionary, about: what a damaged one takes with it."""
LISTS: Mapping[str, str] = {
    "words": "word, segment, ranks",
    "many": "word, segment, ranks",
    "long": "word, segment, ranks",
    "rare": "bucket, segment, entries",
    "bundles": "bucket, first, parts, entries",
}
"""The tables of lists, and their columns after the volume. They are ordered by volume and the first two of these.

`rare` has a bucket of a loose segment; `bundles` has one of several segments of a volume, whose `parts` say how many of its
entries are whose (`history_segments.bundled`).
"""
SCHEMA = """
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
CREATE TABLE bundles (volume INTEGER, bucket INTEGER, first INTEGER, parts BLOB NOT NULL, entries BLOB NOT NULL,
  PRIMARY KEY (volume, bucket, first)) WITHOUT ROWID;
"""


class OtherFormat(Exception):
    """The file is none of the history's, or of another version of it."""


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


class Lacking(msgspec.Struct, frozen=True, gc=False):
    """Lines of the ledger that a file lacks although its cursor is past them: it is being built again."""

    filled: int = 0
    through: int = 0
    """Those behind `filled`, up to here; -1: nobody knows yet how far."""
    aside: int = 0
    """1: the file that was set aside has them, as far as it can be read."""

    def __bool__(self) -> bool:
        return self.through > self.filled or self.through < 0


def lacking(connection: sqlite3.Connection) -> Lacking:
    """What a file lacks; files that never lacked anything say nothing of it."""
    rows = connection.execute("SELECT name, value FROM meta WHERE name IN ('filled', 'through', 'aside')")
    return Lacking(**dict(rows))


def hasher_of(connection: sqlite3.Connection) -> Hasher:
    """The hashes of this file's words."""
    return Hasher(connection.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()[0])


def ids_of(row: SegmentRow) -> tuple[int, int]:
    """The ids that a segment's events have: from, and below."""
    return row.id << EVENT_BITS, (row.id + 1) << EVENT_BITS


def segment_rows(connection: sqlite3.Connection) -> list[SegmentRow]:
    """All segments of a file, in the order in which they were made."""
    query = "SELECT id, volume, count, first, last, low, high, dictionary FROM segments ORDER BY id"
    return [SegmentRow(*row) for row in connection.execute(query)]


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
