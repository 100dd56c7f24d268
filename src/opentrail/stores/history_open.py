"""A reader's connection to one file of the history, and what stays in memory from one search to the next. Reads only."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec

from opentrail.stores.history_file import BUSY_MILLISECONDS, CACHE_KIB
from opentrail.stores.history_frames import Unpacker
from opentrail.stores.history_lists import WordLists
from opentrail.stores.history_segments import times_of
from opentrail.stores.history_tables import (
    Lacking,
    SegmentRow,
    check_format,
    dictionary_of,
    hasher_of,
    lacking,
    packed_times_of,
    segment_rows,
)

DICTIONARIES_CACHED_MAX = 256
"""Compression dictionaries, 16 KiB and tables of about as much again, that are kept between searches."""
TIMES_CACHED_MAX = 512
"""Segments whose times, 2 KiB, are kept between searches."""

Kept = TypeVar("Kept")
Unpack = Callable[[bytes], bytes]


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.Error and OtherFormat."""
    address = f"file:{quote(str(path))}?mode=ro"
    try:
        return _opened(address)
    except sqlite3.OperationalError as error:  # a directory nobody may write to: no writer can be there either
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise  # without what lies in its log, the file would seem to hold less
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


class Volume(msgspec.Struct, frozen=True, gc=False):
    """What is known of a volume by its segments."""

    id: int
    count: int
    first: int
    last: int
    high: int


class Memory:
    """What one search of a file may leave to the next: what never changes, and the segments while nobody writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.lists = WordLists(connection, hasher_of(connection))
        self.segments: list[SegmentRow] = []
        """All, those with the latest events first."""
        self.volumes: list[Volume] = []
        """In the same order."""
        self.by_id: dict[int, SegmentRow] = {}
        self.lacking = Lacking()
        self._version = -1
        self._unpackers: OrderedDict[int, Unpack] = OrderedDict()
        self._times: OrderedDict[int, Sequence[int]] = OrderedDict()

    def refresh(self) -> None:
        """To be called once a transaction, before anything else is read in it."""
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]  # from here on, nothing changes
        if version != self._version:
            self.segments = sorted(segment_rows(self._connection), key=newest_first)
            self.volumes = sorted(_volumes(self.segments), key=newest_first)
            self.by_id = {row.id: row for row in self.segments}
            self.lacking = lacking(self._connection)
            self._version = version

    def unpack_with(self, dictionary: int) -> Unpack:
        """What inflates the records of segments with a dictionary. Raises Damaged."""
        found = self._unpackers.get(dictionary)
        if found is None:
            found = Unpacker(dictionary_of(self._connection, dictionary)).unpack
            _remember(self._unpackers, dictionary, found, DICTIONARIES_CACHED_MAX)
        return found

    def times(self, segment: int) -> Sequence[int]:
        """The time of every TIMES_STEPth event of a segment. Raises Damaged."""
        found = self._times.get(segment)
        if found is None:
            found = times_of(packed_times_of(self._connection, segment))
            _remember(self._times, segment, found, TIMES_CACHED_MAX)
        return found


def _remember(memory: OrderedDict[int, Kept], number: int, kept: Kept, most: int) -> None:
    memory[number] = kept
    if len(memory) > most:
        memory.popitem(last=False)


def newest_first(part: SegmentRow | Volume) -> tuple[int, int]:
    """How segments and volumes are ordered."""
    return -part.last, part.id


def _volumes(segments: Iterable[SegmentRow]) -> Iterator[Volume]:
    members: dict[int, list[SegmentRow]] = {}
    for row in segments:
        members.setdefault(row.volume, []).append(row)
    for id_, rows in members.items():
        first, high = min(row.first for row in rows), max(row.high for row in rows)
        yield Volume(id_, len(rows), first, max(row.last for row in rows), high)
