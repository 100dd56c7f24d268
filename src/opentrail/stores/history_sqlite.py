"""The event history's index in a SQLite file of its own. Everything in it can be rebuilt from the ledger.

It holds places, times and interned attribute values; the records stay in the ledger and are read by Seq. Knows nothing
of records or of AWS's rules. One row for each event and attribute, ordered by time, makes every lookup a seek.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence
from heapq import merge
from itertools import islice
from pathlib import Path

from opentrail.ports import HistoryQuery, IndexedEvent, Seq

FORMAT = 1
"""Version of the layout; a file of another one is thrown away and rebuilt."""
WORDS_CACHED_MAX = 50_000
"""Interned strings whose number is remembered."""
_ANY = 0
"""The word that every event has."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS words (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS ids (id TEXT NOT NULL, place INTEGER NOT NULL, time INTEGER NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY (id, place, time, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS found (place INTEGER NOT NULL, word INTEGER NOT NULL, time INTEGER NOT NULL,
  seq INTEGER NOT NULL, PRIMARY KEY (place, word, time, seq)) WITHOUT ROWID;
"""
_NEWEST = 1 << 62

_Position = tuple[int, Seq]


class SqliteHistory:
    """Satisfies `ports.HistoryIndex`. A file that is damaged or of another format is replaced by an empty one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._words: OrderedDict[str, int] = OrderedDict()
        self._writer, self._reader = self._open()

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        try:
            writer = _connect(self._path)
            if _format_of(writer) != FORMAT:
                writer.close()
                self._remove()
                writer = _connect(self._path)
        except sqlite3.DatabaseError:
            self._remove()
            writer = _connect(self._path)
        writer.executescript(_SCHEMA)
        writer.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?), ('cursor', 0)", (FORMAT,))
        writer.commit()
        return writer, _connect(self._path)

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def cursor(self) -> Seq:
        with self._lock:
            row = self._reader.execute("SELECT value FROM meta WHERE name = 'cursor'").fetchone()
        return int(row[0])

    def add(self, events: Sequence[IndexedEvent], through: Seq) -> None:
        writer, done = self._writer, False
        try:
            with writer:  # commits, or rolls back whatever the exception
                rows, ids = self._rows(events)
                writer.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?, ?, ?)", ids)
                writer.executemany("INSERT OR IGNORE INTO found VALUES (?, ?, ?, ?)", rows)
                writer.execute("UPDATE meta SET value = ? WHERE name = 'cursor'", (through,))
            done = True
        finally:
            if not done:
                self._words.clear()  # words numbered meanwhile are gone again

    def _rows(
        self, events: Sequence[IndexedEvent]
    ) -> tuple[list[tuple[int, int, int, Seq]], list[tuple[str, int, int, Seq]]]:
        rows: list[tuple[int, int, int, Seq]] = []
        ids: list[tuple[str, int, int, Seq]] = []
        for event in events:
            place = self._number(_place(event.account_id, event.region, event.data))
            ids.append((event.event_id, place, event.time, event.seq))
            rows.append((place, _ANY, event.time, event.seq))
            rows.extend((place, self._number(_word(key, value)), event.time, event.seq) for key, value in event.values)
        return rows, ids

    def _number(self, word: str) -> int:
        """The number of an interned string, given now if it has none. Writer only."""
        number = self._words.get(word)
        if number is not None:
            self._words.move_to_end(word)
            return number
        row = self._writer.execute("SELECT id FROM words WHERE word = ?", (word,)).fetchone()
        if row is None:
            number = int(self._writer.execute("INSERT INTO words (word) VALUES (?)", (word,)).lastrowid or 0)
        else:
            number = int(row[0])
        self._words[word] = number
        if len(self._words) > WORDS_CACHED_MAX:
            self._words.popitem(last=False)
        return number

    def find(self, query: HistoryQuery) -> Sequence[_Position]:
        kinds = (False, True) if query.data_events else (False,)
        with self._lock:
            pages = [self._page(query, data) for data in kinds]
        return list(islice(merge(*pages, reverse=True), query.limit))

    def _page(self, query: HistoryQuery, data: bool) -> list[_Position]:
        place = self._known(_place(query.account_id, query.region, data))
        key, value = query.attribute or ("", "")
        if place is None:
            return []
        if key == "EventId":
            return self._select("ids", "id", value, place, query)
        word = self._known(_word(key, value)) if key else _ANY
        return [] if word is None else self._select("found", "word", word, place, query)

    def _select(self, table: str, column: str, wanted: int | str, place: int, query: HistoryQuery) -> list[_Position]:
        before = query.before or (_NEWEST, _NEWEST)
        statement = (
            f"SELECT time, seq FROM {table} WHERE {column} = ? AND place = ? AND time >= ? AND time <= ?"
            " AND (time, seq) < (?, ?) ORDER BY time DESC, seq DESC LIMIT ?"
        )
        bounds = (query.start, min(query.end, before[0]))
        return self._reader.execute(statement, (wanted, place, *bounds, *before, query.limit)).fetchall()

    def _known(self, word: str) -> int | None:
        row = self._reader.execute("SELECT id FROM words WHERE word = ?", (word,)).fetchone()
        return None if row is None else int(row[0])

    def clear(self) -> None:
        for table in ("ids", "found", "words"):
            self._writer.execute(f"DELETE FROM {table}")
        self._writer.execute("UPDATE meta SET value = 0 WHERE name = 'cursor'")
        self._writer.commit()
        self._words.clear()

    def close(self) -> None:
        self._writer.close()
        self._reader.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")  # a lost tail is read again from the ledger
    return connection


def _format_of(connection: sqlite3.Connection) -> int:
    """The file's format; FORMAT for a new file."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return FORMAT
    if "meta" not in tables:
        return -1
    row = connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
    return -1 if row is None else int(row[0])


def _place(account_id: str, region: str, data: bool) -> str:
    return f"@{account_id}\0{region}\0{'data' if data else 'management'}"


def _word(key: str, value: str) -> str:
    return f"{key}\0{value}"
