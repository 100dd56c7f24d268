"""Reading a whole history: the file that follows the ledger and the file of imported events, as one.

A file that is not there yet counts as empty; one that was replaced is opened again. One that is damaged raises
HistoryUnavailable as soon as a search needs the damaged part, and so does one that is being built again, where the file that
was set aside for it cannot serve. Reads only.
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

from opentrail.errors import HistoryUnavailable
from opentrail.ports import HistorySearch, PastEvent
from opentrail.stores.history_damage import (
    ASIDE_FILE,
    EVENTS_FILE,
    IMPORTED_FILE,
    NONSENSE,
    KeptShelf,
    unavailable,
)
from opentrail.stores.history_open import Memory, open_reader
from opentrail.stores.history_runs import Row
from opentrail.stores.history_search import Shelf
from opentrail.stores.history_tables import OtherFormat

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

    def shelf(self, after: int | None = None) -> KeptShelf | None:
        """The file as it will stand when the shelf is entered; None if there is none, or none of this version. `after`: only
        events with greater numbers. Raises HistoryUnavailable."""
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
                self._file, self._told = (status.st_dev, status.st_ino), None
            except OtherFormat:  # or one that is being made just now: it is looked at again each time
                if self._told != (status.st_dev, status.st_ino):
                    log.warning("%s is of another version of OpenTrail, and is not shown", self._path.name)
                self._told = (status.st_dev, status.st_ino)
            except (sqlite3.Error, *NONSENSE) as error:
                self.close()
                raise unavailable(self._path.name, error) from error
        if self._connection is None or self._memory is None:
            return None
        return KeptShelf(self._path.name, self._connection, self._memory, after)

    def exists(self) -> bool:
        return self._path.exists()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._file, self._memory = None, None, None


class HistoryReader:
    """Searches a data directory's history. For several threads, one at a time."""

    def __init__(self, directory: Path) -> None:
        self._lock = threading.Lock()
        self._files = [_Open(directory / name) for name in (EVENTS_FILE, IMPORTED_FILE)]
        self._aside = _Open(directory / ASIDE_FILE)
        self._told = ""

    @contextmanager
    def shelves(self) -> Iterator[list[Shelf]]:
        """The files that are there, each as it stands now; while the ledger's is being built again, the one that was set
        aside for what it lacks. Raises HistoryUnavailable, and so do the shelves."""
        try:
            with self._lock, ExitStack() as stack:
                yield self._entered(stack)
        except HistoryUnavailable as failure:
            self._tell(str(failure))
            raise

    def _entered(self, stack: ExitStack) -> list[Shelf]:
        shelves: list[Shelf] = []
        for file in self._files:
            if (shelf := file.shelf()) is None:
                if file is self._files[0] and self._aside.exists():
                    raise HistoryUnavailable(f"{EVENTS_FILE} is being built again from the ledger (it begins)")
                continue
            shelves.append(stack.enter_context(shelf))
            if lacking := shelf.lacking:
                aside = self._aside.shelf(lacking.filled) if lacking.aside else None
                if aside is None:
                    told = f"{lacking.filled:,} of {lacking.through:,} lines" if lacking.through > 0 else "it begins"
                    raise HistoryUnavailable(f"{EVENTS_FILE} is being built again from the ledger ({told})")
                shelves.append(stack.enter_context(aside))
            elif shelf.name == EVENTS_FILE:
                self._aside.close()
        return shelves

    def _tell(self, failure: str) -> None:
        """Once, not for each search."""
        if "damaged" in failure and failure != self._told:
            log.error("%s", failure)
            self._told = failure

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
            for file in (*self._files, self._aside):
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
