"""A reader's connection to one file of the history, and what stays in memory from one search to the next. Reads only."""

from __future__ import annotations

import sqlite3
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from opentrail.stores.history_file import (
    BUSY_MILLISECONDS,
    CACHE_KIB,
    SegmentRow,
    check_format,
    hasher_of,
    opening_of,
    segment_rows,
)
from opentrail.stores.history_frames import Unpacker
from opentrail.stores.history_lists import WordLists
from opentrail.stores.history_segments import times_of

OPENINGS_CACHED_MAX = 512
"""Segments whose compression dictionary, 16 KiB and tables of about as much again, is kept between searches."""


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


class Opening(msgspec.Struct, frozen=True, gc=False):
    """What is needed to read a segment's events: what inflates them, and the time of every TIMES_STEPth."""

    unpack: Callable[[bytes], bytes]
    times: Sequence[int]


class Memory:
    """What one search of a file may leave to the next: what never changes, and the segments while nobody writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.lists = WordLists(connection, hasher_of(connection))
        self.sizes: Counter[int] = Counter()
        """How many segments each volume has."""
        self._version = -1
        self._segments: list[SegmentRow] = []
        self._openings: OrderedDict[int, Opening] = OrderedDict()

    def segments(self) -> list[SegmentRow]:
        """All segments, those with the latest events first. Asked for once a transaction, before anything else."""
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]  # from here on, nothing changes
        if version != self._version:
            self._segments = sorted(segment_rows(self._connection), key=lambda row: (-row.last, row.id))
            self.sizes = Counter(row.volume for row in self._segments)
            self._version = version
        return self._segments

    def opening(self, segment: int) -> Opening:
        """Raises Damaged."""
        found = self._openings.get(segment)
        if found is None:
            dictionary, times = opening_of(self._connection, segment)
            found = self._openings[segment] = Opening(Unpacker(dictionary).unpack, times_of(times))
            if len(self._openings) > OPENINGS_CACHED_MAX:
                self._openings.popitem(last=False)
        else:
            self._openings.move_to_end(segment)
        return found
