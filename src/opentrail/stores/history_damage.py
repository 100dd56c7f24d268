"""Damage in the files of the event history: telling it from what passes, and from which file it comes.

A torn page or a bad sector shows as an error of SQLite's, or as numbers and bytes that make no sense, wherever they are
first used. Knows the files by name; who mends them is not its business.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType

from opentrail.errors import HistoryUnavailable
from opentrail.ports import HistorySearch, PastEvent
from opentrail.stores.history_open import Memory
from opentrail.stores.history_runs import Row
from opentrail.stores.history_search import Shelf
from opentrail.stores.history_tables import Lacking

EVENTS_FILE = "history.db"
"""Made of the ledger's lines; deleting it rebuilds it."""
IMPORTED_FILE = "imported.db"
"""Made of log files from elsewhere; nothing can rebuild it but importing them again."""
ASIDE_FILE = "history.db.damaged"
"""What was `history.db` before it was found damaged; read while a new one is filled."""

NONSENSE = (LookupError, ValueError, TypeError, ArithmeticError)
"""What comes of numbers and bytes that were never written."""
_UNREADABLE = (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS)


def is_damage(error: BaseException) -> bool:
    """Would another file mend it? A lock, a full disk, a right that is missing pass."""
    if isinstance(error, sqlite3.ProgrammingError | HistoryUnavailable):
        return False
    if isinstance(error, sqlite3.OperationalError):
        # text that is none has no code; a table that is gone has that of any error
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        return code == sqlite3.SQLITE_ERROR or code in _UNREADABLE
    return isinstance(error, (sqlite3.DatabaseError, *NONSENSE))


def unavailable(name: str, error: BaseException) -> HistoryUnavailable:
    """What to tell whoever searches: what is damaged, and what mends it."""
    if not is_damage(error):
        return HistoryUnavailable(f"{name} cannot be read now: {error}")
    reason = f"{name} is damaged ({str(error) or type(error).__name__})"
    if name == IMPORTED_FILE:
        hint = "it holds imported events, which the ledger lacks: move it away and run opentrail import again"
        return HistoryUnavailable(f"{reason}; {hint}")
    if name == ASIDE_FILE:
        return HistoryUnavailable(f"{reason}; {EVENTS_FILE} is being built again from the ledger, wait for its end")
    hint = "the server builds it again from the ledger when a look-up of its own needs the damaged part, or at its next"
    return HistoryUnavailable(f"{reason}; {hint} start after you have moved the file away", mend=True)


class _Naming:
    """Errors that come from within are told with the file's name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None and (isinstance(error, sqlite3.Error) or is_damage(error)):
            raise unavailable(self._name, error) from error


class KeptShelf(Shelf):
    """A file of the data directory. Raises HistoryUnavailable where it is damaged; what does not touch the damaged part does
    not notice it."""

    def __init__(self, name: str, connection: sqlite3.Connection, memory: Memory, after: int | None = None) -> None:
        super().__init__(connection, memory)
        self.name = name
        self.after = after
        """Only events with greater numbers are shown, and none counted: the others are in another file by now."""
        self._naming = _Naming(name)

    @property
    def lacking(self) -> Lacking:
        """What is missing in it, once entered."""
        return self._memory.lacking

    def __enter__(self) -> KeptShelf:
        with self._naming:
            try:
                super().__enter__()
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._naming:
            if self._connection.in_transaction:  # some errors end it
                self._connection.execute("COMMIT")

    def find(self, search: HistorySearch, first: int) -> Iterator[Row]:
        if self.after is not None:
            search = HistorySearch(
                search.words, search.start, search.end, search.before, max(search.after, self.after), search.any_of
            )
        with self._naming:
            yield from super().find(search, first)

    def matching_words(self, kind: str, pattern: str) -> list[str]:
        with self._naming:
            return super().matching_words(kind, pattern)

    def events(self, rows: Iterable[Row]) -> Iterator[PastEvent]:
        with self._naming:
            yield from super().events(rows)

    def record(self, row: Row) -> bytes:
        with self._naming:
            return super().record(row)

    def newest(self) -> int:
        with self._naming:
            return super().newest()

    def count(self, search: HistorySearch) -> int:
        self._check_countable()
        with self._naming:
            return super().count(search)

    def count_by(self, search: HistorySearch, kind: str) -> Counter[str]:
        self._check_countable()
        with self._naming:
            return super().count_by(search, kind)

    def _check_countable(self) -> None:
        if self.after is not None:
            raise HistoryUnavailable(
                f"{EVENTS_FILE} is being built again, and nothing can be counted until it is whole"
            )


def parts_lacking(shelves: Sequence[Shelf]) -> bool:
    """Is one of them the file that was set aside?"""
    return any(isinstance(shelf, KeptShelf) and shelf.after is not None for shelf in shelves)
