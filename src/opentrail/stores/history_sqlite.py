"""The event history's index in the data directory, written in this process. Satisfies `ports.HistoryIndex`.

A file that is damaged is set aside, one of another format removed; the follower fills a new one from the ledger.
The server puts the writing into a process of its own (`history_process`); tests and that process use this directly.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from opentrail.ports import HistorySearch, PastEvent, Seq
from opentrail.record.history_head import read_head
from opentrail.record.history_words import Unplaceable, found_by
from opentrail.stores.history_damage import ASIDE_FILE, EVENTS_FILE, NONSENSE, is_damage
from opentrail.stores.history_file import HistoryFile, remove, set_aside
from opentrail.stores.history_reader import HistoryReader
from opentrail.stores.history_segments import Entry
from opentrail.stores.history_tables import Lacking, OtherFormat, lacking

NEW_FILE = "history.db.new"
"""What will be `history.db`, while it is made."""
UNKNOWN = -1
"""How far it reached, of a file that does not tell any more."""

log = logging.getLogger("opentrail.history")


class SqliteHistory:
    """The history of one data directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / EVENTS_FILE
        try:
            self._file = HistoryFile(self._path, durable=False)
        except (sqlite3.Error, OtherFormat, *NONSENSE) as error:
            if isinstance(error, OtherFormat):
                log.warning(
                    "%s is of another version of OpenTrail, and is built again from the ledger", self._path.name
                )
                remove(self._path)
            elif is_damage(error):
                self._set_aside(error)
            else:
                raise
            self._file = self._begun(Lacking(through=UNKNOWN))
        self._reader = HistoryReader(directory)

    def _begun(self, lacking: Lacking) -> HistoryFile:
        """A new file. It has its name only when it tells what it lacks."""
        made = self._path.with_name(NEW_FILE)
        remove(made)
        file = HistoryFile(made, durable=False)
        file.lack(lacking, max(lacking.through, 0))
        file.close()
        made.rename(self._path)
        return HistoryFile(self._path, durable=False)

    def _set_aside(self, error: Exception | None) -> None:
        aside = self._path.with_name(ASIDE_FILE)
        told = f" ({error})" if error is not None else ""
        log.error(
            "%s is damaged%s: it is set aside as %s and built again from the ledger", EVENTS_FILE, told, aside.name
        )
        set_aside(self._path, aside)

    def mend(self, error: Exception | None = None) -> None:
        """The file turned out to be damaged: begin another at its cursor, and read it for what that one lacks, as far as it
        can be read."""
        try:
            cursor, begun = self._file.cursor(), bool(lacking(self._file.connection))
        except (sqlite3.Error, *NONSENSE):
            cursor, begun = UNKNOWN, False
        with contextlib.suppress(sqlite3.Error):
            self._file.close()
        if begun:  # what was set aside before is the fuller one
            log.error("%s was damaged while it was built again, which begins anew (%s)", EVENTS_FILE, error)
            remove(self._path)
        else:
            self._set_aside(error)
        self._file = self._begun(Lacking(0, cursor, int(not begun and cursor > 0)))

    def cursor(self) -> Seq:
        return self._file.cursor()

    def lacks(self) -> tuple[Seq, Seq]:
        found = lacking(self._file.connection)
        return found.filled, found.through

    def begin(self, through: Seq) -> None:
        self._file.lack(Lacking(0, through), through)

    def add(self, lines: Sequence[tuple[Seq, bytes]], *, after: Seq, through: Seq, oldest: int) -> None:
        self._file.add(list(entries_of(lines, oldest)), after=after, through=through)

    def fill(self, lines: Sequence[tuple[Seq, bytes]], *, after: Seq, through: Seq, oldest: int) -> None:
        self._file.add(list(entries_of(lines, oldest)), after=after, through=through, cursor="filled")

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
