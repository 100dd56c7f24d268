"""The event history's index in the data directory, written in this process. Satisfies `ports.HistoryIndex`.

A file that is damaged or of another format is replaced by an empty one, which the follower then fills from the ledger.
The server puts the writing into a process of its own (`history_process`); tests and that process use this directly.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from opentrail.ports import HistorySearch, PastEvent, Seq
from opentrail.record.history_head import read_head
from opentrail.record.history_words import Unplaceable, found_by
from opentrail.stores.history_file import HistoryFile, remove
from opentrail.stores.history_reader import EVENTS_FILE, HistoryReader
from opentrail.stores.history_segments import Entry
from opentrail.stores.history_tables import OtherFormat

log = logging.getLogger("opentrail.history")


class SqliteHistory:
    """The history of one data directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / EVENTS_FILE
        try:
            self._file = HistoryFile(self._path, durable=False)
        except (sqlite3.DatabaseError, OtherFormat) as error:
            if is_passing(error):
                raise
            log.warning("%s is replaced: %s", self._path.name, str(error) or "it is of another format")
            remove(self._path)
            self._file = HistoryFile(self._path, durable=False)
        self._reader = HistoryReader(directory)

    def replace(self) -> None:
        """The file turned out to be damaged: begin an empty one."""
        self._file.close()
        remove(self._path)
        self._file = HistoryFile(self._path, durable=False)

    def cursor(self) -> Seq:
        return self._file.cursor()

    def add(self, lines: Sequence[tuple[Seq, bytes]], *, after: Seq, through: Seq, oldest: int) -> None:
        self._file.add(list(entries_of(lines, oldest)), after=after, through=through)

    def tidy(self, oldest: int) -> bool:
        """One step of upkeep; False when there was nothing to do."""
        return self._file.tidy(oldest)

    def find(self, search: HistorySearch, limit: int) -> Sequence[PastEvent]:
        return self._reader.find(search, limit)

    def clear(self) -> None:
        self._file.clear()

    def close(self) -> None:
        self._reader.close()
        self._file.close()


def is_passing(error: Exception) -> bool:
    """A lock, a full disk, a right that is missing: nothing that a new file would mend."""
    return isinstance(error, sqlite3.OperationalError)


def entries_of(lines: Iterable[tuple[Seq, bytes]], oldest: int) -> Iterator[Entry]:
    """What is kept of lines; those that are no records are told of and passed over."""
    for seq, line in lines:
        try:
            found = found_by(read_head(line))
        except (msgspec.MsgspecError, Unplaceable, UnicodeDecodeError, RecursionError) as error:
            log.error("line %d is no record; the event history cannot show it: %s", seq, error)
            continue
        if found.time >= oldest:
            yield Entry(found.time, seq, line, found.words, found.ids)
