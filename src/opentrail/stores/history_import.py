"""Events from elsewhere: the file that keeps them, which of their files are done, and what is there already.

A file counts as done in the very transaction that keeps its events, so an import that is killed goes on where it was and
keeps nothing twice. An event is known by its id and the account it belongs to, one without an id by its bytes; it is
looked for among imported events and among the ledger's own. Knows no log file and no bucket: records come in as bytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from opentrail.record.history_words import EVENT_ID, WORD_MAX, Unplaceable, found_by
from opentrail.stores.history_file import HistoryFile, OtherFormat, SegmentRow, hasher_of, meta
from opentrail.stores.history_reader import EVENTS_FILE, IMPORTED_FILE
from opentrail.stores.history_search import Hit, Shelf, open_reader
from opentrail.stores.history_segments import EVENTS_MAX, RANK_BITS, RANK_MASK, Entry, build, ranks_of

LOCK_FILE = "import.lock"
COMPRESSORS = 2
"""Threads that compress beside the one that reads."""
BLOCKS_PER_TASK = 64
_FILES = """
CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, version TEXT NOT NULL, events INTEGER NOT NULL) WITHOUT ROWID
"""


class AnotherImport(Exception):
    """Somebody else imports into this directory right now."""


class _Identity(msgspec.Struct):
    accountId: str | None = None


class _Known(msgspec.Struct):
    """As much of a record as tells whose it is."""

    eventID: str | None = None
    recipientAccountId: str | None = None
    userIdentity: _Identity | None = None


@dataclass(slots=True)
class Tally:
    """What became of the records of some files."""

    kept: int = 0
    known: int = 0
    """Were there already."""
    unusable: int = 0

    def add(self, other: Tally) -> None:
        self.kept += other.kept
        self.known += other.known
        self.unusable += other.unusable


@dataclass(slots=True)
class _Read:
    """One file's events, not yet kept. `key` is what an event is known by."""

    name: str
    version: str
    events: list[tuple[int, tuple[str, ...], bytes, bytes]] = field(default_factory=list)
    """(time, words, record, key)."""


class ImportStore:
    """Takes files' records and keeps them, some 32,768 at a time. Raises AnotherImport, OtherFormat, sqlite3.Error."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._lock = os.open(directory / LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file = HistoryFile(directory / IMPORTED_FILE, durable=True)
            self._file.connection.execute(_FILES)
        except BlockingIOError as error:
            os.close(self._lock)
            raise AnotherImport from error
        except BaseException:
            os.close(self._lock)
            raise
        self._pool = ThreadPoolExecutor(COMPRESSORS, "import-compress")
        self._hasher = hasher_of(self._file.connection)
        self._waiting: list[_Read] = []
        self._count = 0

    def is_done(self, name: str, version: str) -> bool:
        """Was this very file imported before?"""
        query = "SELECT 1 FROM files WHERE name = ? AND version = ?"
        return self._file.connection.execute(query, (name, version)).fetchone() is not None

    def take(self, name: str, version: str, records: Iterable[bytes]) -> Tally:
        """Keep a file's records with the next flush; how many of them were unusable (and, if it flushed, what became of
        the others)."""
        read, tally = _Read(name, version), Tally()
        for record in records:
            try:
                read.events.append(_event(record))
            except (msgspec.MsgspecError, Unplaceable, UnicodeDecodeError, RecursionError):
                tally.unusable += 1
        if self._waiting and self._count + len(read.events) > EVENTS_MAX:
            tally.add(self.flush())
        self._waiting.append(read)
        self._count += len(read.events)
        return tally

    def flush(self) -> Tally:
        """Make durable what was taken."""
        reads, self._waiting, self._count = self._waiting, [], 0
        if not reads:
            return Tally()
        known = self._known(reads)
        fresh: dict[bytes, tuple[int, tuple[str, ...], bytes]] = {}
        for read in reads:
            for time, words, record, key in read.events:
                if key not in known:
                    fresh.setdefault(key, (time, words, record))
        number = meta(self._file.connection, "imported")
        entries = [
            Entry(time, -number - place, record, words) for place, (time, words, record) in enumerate(fresh.values(), 1)
        ]
        parts = [entries[start : start + EVENTS_MAX] for start in range(0, len(entries), EVENTS_MAX)]
        segments = [build(part, self._hasher, self._side_by_side) for part in parts]

        def work() -> None:
            for segment in segments:
                self._file.insert(segment)
            self._file.set_meta("imported", number + len(entries))
            rows = ((read.name, read.version, len(read.events)) for read in reads)
            self._file.connection.executemany("REPLACE INTO files VALUES (?, ?, ?)", rows)

        self._file.transact(work)
        self._file.tidy(0)
        return Tally(len(entries), sum(len(read.events) for read in reads) - len(entries))

    def _side_by_side(self, work: Any, items: Iterable[Any]) -> Iterator[Any]:  # noqa: ANN401  (as `map`)
        """`map`, on threads: zlib lets go of the interpreter while it works."""
        whole = list(items)
        tasks = [whole[start : start + BLOCKS_PER_TASK] for start in range(0, len(whole), BLOCKS_PER_TASK)]
        for done in self._pool.map(lambda task: [work(item) for item in task], tasks):
            yield from done

    def _known(self, reads: Sequence[_Read]) -> set[bytes]:
        """The keys of events that are kept already, here or by the server."""
        events = [event for read in reads for event in read.events]
        if not events:
            return set()
        wanted = {_id_word(words): key for _, words, _, key in events}
        bounds = min(event[0] for event in events), max(event[0] for event in events)
        found: set[bytes] = set()
        for name in (IMPORTED_FILE, EVENTS_FILE):
            if (self._directory / name).exists():
                try:
                    connection = open_reader(self._directory / name)
                except OtherFormat:
                    continue  # the server will replace it when it starts
                with Shelf(connection) as shelf:
                    found |= _kept(connection, shelf, wanted, bounds)
                connection.close()
        return found

    def close(self) -> None:
        """Let go; what was not flushed is not kept."""
        self._pool.shutdown()
        self._file.close()
        os.close(self._lock)


def _event(record: bytes) -> tuple[int, tuple[str, ...], bytes, bytes]:
    decoded = msgspec.json.decode(record)
    if not isinstance(decoded, dict):
        raise Unplaceable("it is no object")
    found = found_by(decoded)
    if found.event_id:
        return found.time, found.words, record, _key(found.event_id, found.account_id)
    digest = hashlib.sha256(record).digest()
    return found.time, (*found.words, f"{EVENT_ID}#{digest.hex()}"), record, digest


def _key(event_id: str, account_id: str) -> bytes:
    return f"{event_id}\0{account_id}".encode("utf-8", "surrogatepass")


def _id_word(words: Sequence[str]) -> str:
    return next(word for word in words if word[0] == EVENT_ID)


def _kept(
    connection: sqlite3.Connection, shelf: Shelf, wanted: dict[str, bytes], bounds: tuple[int, int]
) -> set[bytes]:
    """Which of the wanted events a file keeps: by the hash of their ids first, and then by their records."""
    hasher = hasher_of(connection)
    hashes = {hasher(word) for word in wanted}
    query = "SELECT id, count, first, last, low, high FROM segments WHERE last >= ? AND first <= ?"
    found: set[bytes] = set()
    for row in connection.execute(query, bounds).fetchall():
        segment = SegmentRow(*row)
        for rank in sorted(_ranks(connection, segment.id, hashes)):
            time, number = shelf.place(segment, rank)
            found.add(known_by(shelf.record(Hit(time, number, segment, rank))))
    return found


def _ranks(connection: sqlite3.Connection, segment: int, hashes: set[int]) -> set[int]:
    """The events of a segment that have a word with one of these hashes."""
    ranks: set[int] = set()
    for (entries,) in connection.execute("SELECT entries FROM rare WHERE segment = ?", (segment,)):
        view = memoryview(entries).cast("Q")
        ranks.update([entry & RANK_MASK for entry in view if entry >> RANK_BITS in hashes])
    for word, packed in connection.execute("SELECT word, ranks FROM many WHERE segment = ?", (segment,)):
        if word in hashes:
            ranks.update(ranks_of(packed))
    return ranks


def known_by(record: bytes) -> bytes:
    """What a kept event is known by."""
    try:
        known = msgspec.json.decode(record, type=_Known)
    except msgspec.ValidationError:  # a member of an odd type
        return _event(record)[3]
    if not known.eventID:
        return hashlib.sha256(record).digest()
    account_id = known.recipientAccountId or (known.userIdentity.accountId if known.userIdentity else "") or ""
    return _key(known.eventID[:WORD_MAX], account_id[:WORD_MAX])
