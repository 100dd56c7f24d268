"""Events from elsewhere: the file that keeps them, which log files of theirs are done, and what is there already.

Two halves. `BatchBuilder`, in as many processes as are useful, makes segments of what some files hold and leaves out what
is kept already; `ImportStore`, in one process, keeps them. A file counts as done in the very transaction that keeps its
events, so an import that is killed goes on where it was and keeps nothing twice. An event is known by its id and the account
it belongs to, one without an id by its bytes; it is looked for among imported events and among the ledger's own. Knows no
log file and no bucket: records come in as bytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
from array import array
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from opentrail.record.history_head import read_head
from opentrail.record.history_words import EVENT_ID, WORD_MAX, Unplaceable, found_by
from opentrail.stores.history_damage import EVENTS_FILE, IMPORTED_FILE
from opentrail.stores.history_file import HistoryFile
from opentrail.stores.history_lists import rare_entries
from opentrail.stores.history_open import open_reader
from opentrail.stores.history_search import Shelf
from opentrail.stores.history_segments import (
    EVENTS_MAX,
    RANK_BITS,
    RANK_MASK,
    Entry,
    Hasher,
    Segment,
    build,
    ranks_of,
)
from opentrail.stores.history_tables import (
    OtherFormat,
    SegmentRow,
    hasher_of,
    lacking,
    meta,
    newest_dictionary,
    segment_rows,
)

LOCK_FILE = "import.lock"
RECENT_MAX = 32
"""Batches whose events are remembered, to be compared with those of batches that were made at the same time."""
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


class FileDone(msgspec.Struct, frozen=True, array_like=True):
    """A file whose events are in a batch. `unusable` records of it are no records, or have no time."""

    name: str
    version: str
    events: int
    unusable: int


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """What some files hold that was not kept yet. `since` tells how much was kept when that was looked at; numbers of
    events count down from -1."""

    files: list[FileDone]
    segments: list[Segment]
    kept: int
    known: int
    since: int
    keys: bytes
    """Eight bytes of hash of what each event is known by."""


class _Event(msgspec.Struct, frozen=True, gc=False):
    time: int
    words: tuple[str, ...]
    ids: tuple[str, ...]
    record: bytes
    key: bytes
    """What it is known by."""


class BatchBuilder:
    """Makes batches for a directory that an ImportStore has open. Raises sqlite3.Error."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: list[FileDone] = []
        self._events: list[_Event] = []

    def take(self, name: str, version: str, records: Sequence[bytes]) -> None:
        """A file's records belong to the next batch."""
        unusable = 0
        for record in records:
            try:
                self._events.append(_event(record))
            except (msgspec.MsgspecError, Unplaceable, UnicodeDecodeError, RecursionError):
                unusable += 1
        self._files.append(FileDone(name, version, len(records) - unusable, unusable))

    def build(self) -> Batch:
        """The batch of what was taken."""
        files, events = self._files, self._events
        self._files, self._events = [], []
        with closing(open_reader(self._directory / IMPORTED_FILE)) as connection:
            since = meta(connection, "imported")
            hasher, dictionary = hasher_of(connection), newest_dictionary(connection)
        known = self._known(events)
        fresh: dict[bytes, _Event] = {}
        for event in events:
            if event.key not in known:
                fresh.setdefault(event.key, event)
        entries = [
            Entry(each.time, -number, each.record, each.words, each.ids)
            for number, each in enumerate(fresh.values(), 1)
        ]
        entries.sort(key=lambda entry: entry.time)
        parts = -(-len(entries) // EVENTS_MAX)
        size = -(-len(entries) // parts) if parts else 1
        segments = [build(entries[start : start + size], hasher, dictionary) for start in range(0, len(entries), size)]
        keys = array("Q", [_short(key) for key in fresh]).tobytes()
        return Batch(files, segments, len(entries), len(events) - len(entries), since, keys)

    def _known(self, events: Sequence[_Event]) -> set[bytes]:
        """What of it is kept already, by an import or by the server."""
        if not events:
            return set()
        wanted = {_id_word(event.ids) for event in events}
        bounds = min(event.time for event in events), max(event.time for event in events)
        found: set[bytes] = set()
        for name in (IMPORTED_FILE, EVENTS_FILE):
            if (self._directory / name).exists():
                try:
                    connection = open_reader(self._directory / name)
                except OtherFormat:
                    continue  # the server will replace it when it starts
                with Shelf(connection) as shelf:
                    if lacking(connection):  # or what is imported now would be there twice
                        raise sqlite3.ProgrammingError(f"{name} is being built again; import when it is whole")
                    found |= _kept(connection, shelf, wanted, bounds)
                connection.close()
        return found


class ImportStore:
    """Keeps batches. Raises AnotherImport, OtherFormat, OSError, sqlite3.Error."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
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
        self._recent: deque[tuple[int, frozenset[int]]] = deque(maxlen=RECENT_MAX)
        self._remembered = meta(self._file.connection, "imported")
        """Batches that were made before are remembered no more."""

    def is_done(self, name: str, version: str) -> bool:
        """Was this very file imported before?"""
        query = "SELECT 1 FROM files WHERE name = ? AND version = ?"
        return self._file.connection.execute(query, (name, version)).fetchone() is not None

    def keep(self, batch: Batch) -> bool:
        """Make a batch durable. False if an event of it was kept since the batch was made: make it again."""
        keys = frozenset(memoryview(batch.keys).cast("Q"))
        newer = [others for number, others in self._recent if number >= batch.since]
        if batch.since < self._remembered or not all(keys.isdisjoint(others) for others in newer):
            return False
        number = meta(self._file.connection, "imported")

        def work() -> None:
            for segment in batch.segments:
                self._file.insert(segment, lower=number)
            self._file.set_meta("imported", number + batch.kept)
            rows = ((file.name, file.version, file.events) for file in batch.files)
            self._file.connection.executemany("REPLACE INTO files VALUES (?, ?, ?)", rows)

        self._file.transact(work)
        if len(self._recent) == RECENT_MAX:
            self._remembered = self._recent[1][0]
        self._recent.append((number, keys))
        return True

    def tidy(self) -> None:
        """Merge what is small, as far as it goes."""
        while self._file.tidy(0):
            pass

    def close(self) -> None:
        self._file.close()
        os.close(self._lock)


def _event(record: bytes) -> _Event:
    found = found_by(read_head(record))
    if found.event_id:
        return _Event(found.time, found.words, found.ids, record, _key(found.event_id, found.account_id))
    digest = hashlib.sha256(record).digest()
    return _Event(found.time, found.words, (*found.ids, f"{EVENT_ID}#{digest.hex()}"), record, digest)


def _key(event_id: str, account_id: str) -> bytes:
    return f"{event_id}\0{account_id}".encode("utf-8", "surrogatepass")


def _short(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest())


def _id_word(words: Sequence[str]) -> str:
    return next(word for word in words if word[0] == EVENT_ID)


def _kept(connection: sqlite3.Connection, shelf: Shelf, wanted: set[str], bounds: tuple[int, int]) -> set[bytes]:
    """What a file keeps of events with the wanted ids: by the hash of the ids first, and then by the records."""
    segments = [row for row in segment_rows(connection) if row.last >= bounds[0] and row.first <= bounds[1]]
    if not segments:
        return set()
    hasher: Hasher = hasher_of(connection)
    hashes = {hasher(word) for word in wanted}
    found: set[bytes] = set()
    for segment in segments:
        ranks = sorted(_ranks(connection, segment, hashes))
        found.update(known_by(shelf.record(row)) for row in shelf.rows(segment, ranks))
    return found


def _ranks(connection: sqlite3.Connection, segment: SegmentRow, hashes: set[int]) -> set[int]:
    """The events of a segment that have a word with one of these hashes."""
    ranks: set[int] = set()
    for entries in rare_entries(connection, segment):
        view = memoryview(entries).cast("Q")
        ranks.update([entry & RANK_MASK for entry in view if entry >> RANK_BITS in hashes])
    place = (segment.volume, segment.id)
    for table in ("many", "long"):
        for word, packed in connection.execute(
            f"SELECT word, ranks FROM {table} WHERE volume = ? AND segment = ?", place
        ):
            if word in hashes:
                ranks.update(ranks_of(packed))
    return ranks


def known_by(record: bytes) -> bytes:
    """What a kept event is known by."""
    try:
        known = msgspec.json.decode(record, type=_Known)
    except msgspec.ValidationError:  # a member of an odd type
        return _event(record).key
    if not known.eventID:
        return hashlib.sha256(record).digest()
    account_id = known.recipientAccountId or (known.userIdentity.accountId if known.userIdentity else "") or ""
    return _key(known.eventID[:WORD_MAX], account_id[:WORD_MAX])
