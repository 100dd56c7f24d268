"""Reading a whole history: the file that follows the ledger and the file of imported events, as one.

A file that is not there yet, or is not readable, counts as empty; one that was replaced is opened again. Reads only.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from heapq import merge
from itertools import groupby, islice
from pathlib import Path

from opentrail.ports import HistorySearch, PastEvent
from opentrail.stores.history_open import Memory, open_reader
from opentrail.stores.history_runs import Row
from opentrail.stores.history_search import Shelf
from opentrail.stores.history_tables import OtherFormat

EVENTS_FILE = "history.db"
"""Made of the ledger's lines; deleting it rebuilds it."""
IMPORTED_FILE = "imported.db"
"""Made of log files from elsewhere; nothing can rebuild it but importing them again."""

log = logging.getLogger("opentrail.history")


class _Open:
    """One file's connection, and which file it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: tuple[int, int] | None = None
        self._told: tuple[int, int] | None = None
        """Which file was told of as one that cannot be shown."""
        self._connection: sqlite3.Connection | None = None
        self._memory: Memory | None = None

    def shelf(self) -> Shelf | None:
        """The file as it will stand when the shelf is entered; None if there is none that can be read."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self.close()
            return None
        if (status.st_dev, status.st_ino) != self._file:
            self.close()
            try:
                self._connection = open_reader(self._path)
                self._memory = Memory(self._connection)
                self._file = (status.st_dev, status.st_ino)
            except OtherFormat:  # or one that is being made just now: it is looked at again each time
                if self._told != (status.st_dev, status.st_ino):
                    log.warning("%s is of another version of OpenTrail, and is not shown", self._path.name)
                self._told = (status.st_dev, status.st_ino)
            except sqlite3.Error as error:
                log.warning("cannot read %s: %s", self._path.name, error)
        return None if self._connection is None else Shelf(self._connection, self._memory)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._file, self._memory = None, None, None


class HistoryReader:
    """Searches a data directory's history. For several threads, one at a time."""

    def __init__(self, directory: Path) -> None:
        self._lock = threading.Lock()
        self._files = [_Open(directory / name) for name in (EVENTS_FILE, IMPORTED_FILE)]

    @contextmanager
    def shelves(self) -> Iterator[list[Shelf]]:
        """The files that are there, each as it stands now."""
        with self._lock, ExitStack() as stack:
            yield [stack.enter_context(shelf) for file in self._files if (shelf := file.shelf()) is not None]

    def find(self, search: HistorySearch, limit: int) -> Sequence[PastEvent]:
        """Up to `limit` events, newest first."""
        with self.shelves() as shelves:
            found: list[tuple[Shelf, list[Row]]] = []
            for shelf in sorted(shelves, key=Shelf.last, reverse=True):
                if rows := list(islice(shelf.find(search, limit), limit)):
                    found.append((shelf, rows))
                if len(rows) == limit:  # what is older than these is not wanted
                    search = replace(search, start=max(search.start, rows[-1][0]))
            if len(found) > 1:
                found = _newest(found, limit)
            return [event for shelf, rows in found for event in shelf.events(rows)]

    def close(self) -> None:
        with self._lock:
            for file in self._files:
                file.close()


def _newest(found: Sequence[tuple[Shelf, list[Row]]], limit: int) -> list[tuple[Shelf, list[Row]]]:
    """The newest of what several shelves have, in one order, neighbours of one shelf together."""
    rows = sorted(((row, shelf) for shelf, rows in found for row in rows), key=_place, reverse=True)[:limit]
    return [(shelf, [row for row, _ in some]) for shelf, some in groupby(rows, key=_shelf)]


def newest_first(shelves: Sequence[Shelf], search: HistorySearch, first: int) -> Iterator[tuple[Row, Shelf]]:
    """What all the shelves hold of a search, in one order; `first` of it are most likely wanted."""

    def found(shelf: Shelf) -> Iterator[tuple[Row, Shelf]]:
        return ((row, shelf) for row in shelf.find(search, first))

    return merge(*map(found, shelves), key=_place, reverse=True)


def _place(found: tuple[Row, Shelf]) -> Row:
    return found[0]


def _shelf(found: tuple[Row, Shelf]) -> Shelf:
    return found[1]
