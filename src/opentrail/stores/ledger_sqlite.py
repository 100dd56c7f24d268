"""The embedded ledger: state and lines in one SQLite file, made durable by group commit.

The loop's thread checks and orders commits against an overlay of what is accepted but not yet durable; one writer thread
turns everything accepted since its last turn into a single SQLite transaction (one fsync). A batch that fails takes with
it all that was accepted after it, since that may have read it: their callers get LedgerUnavailable, and the overlay
forgets them. This module knows keys, bytes and sequence numbers; not what they mean.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.ports import Key, Line, LineKind, Seq, Versioned, Writes

CACHE_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of rows kept in memory for reading; the least recently used go first."""
CACHED_VALUE_BYTES_MAX = 256 * 1024
"""Larger rows are not cached."""
ROWS_PER_STATEMENT = (512, 128, 32, 8, 2, 1)
"""Rows are written by multi-row statements of these sizes, so that a batch costs few calls into SQLite (each of which
gives up the interpreter lock and has to win it back)."""
BATCH_COMMITS_MAX = 4_096
"""Commits in one transaction."""
PENDING_COMMITS_MAX = 65_536
"""Commits accepted and not yet durable; beyond it the ledger refuses (503) rather than grow."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS kv (key BLOB PRIMARY KEY, version INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (last INTEGER PRIMARY KEY, lines BLOB NOT NULL);
"""
_KINDS: tuple[LineKind, ...] = ("record", "event")
_PackedLine = tuple[int, int, bytes]
_Values = tuple[object, ...]
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[_PackedLine]).decode


@dataclass(slots=True)
class _Commit:
    """One accepted commit: its rows (None deletes), its packed lines, and who waits for it."""

    last: Seq
    rows: dict[Key, Versioned | None]
    lines: list[_PackedLine]
    done: asyncio.Future[Seq]


@dataclass(slots=True)
class _Batch:
    commits: list[_Commit] = field(default_factory=list)


class SqliteLedger:
    """`ports.Ledger` on one SQLite file in WAL mode with synchronous=FULL. Make it on the event loop's thread."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = _connect(path)
        self._writer.executescript(_SCHEMA)
        self._reader = _connect(path)
        row = self._writer.execute("SELECT version FROM kv WHERE key = ?", (_HEAD_KEY,)).fetchone()
        self._head: Seq = row[0] if row else 0
        self._next = self._head + 1
        self._overlay: dict[Key, Versioned | None] = {}
        self._pending: list[_Commit] = []
        self._pending_count = 0
        self._writing = False
        self._cache = _RowCache()
        self._waiters: list[tuple[Seq, asyncio.Future[Seq]]] = []
        self._jobs: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_batches, name="ledger", daemon=True)
        self._thread.start()

    def get(self, key: Key) -> Versioned | None:
        overlay = self._overlay
        if overlay and key in overlay:
            return overlay[key]
        cache = self._cache
        if key in cache.rows:
            return cache.hit(key)
        row = self._reader.execute("SELECT version, value FROM kv WHERE key = ?", (key,)).fetchone()
        found = None if row is None else Versioned(row[1], row[0])
        cache.add(key, found)
        return found

    def scan(self, prefix: Key, after: Key, limit: int) -> Sequence[tuple[Key, Versioned]]:
        end = _prefix_end(prefix)
        low = after if after >= prefix else prefix
        strict = after >= prefix and after != b""
        pending = {
            key: found
            for key, found in self._overlay.items()
            if key.startswith(prefix) and (key > low or (key == low and not strict))
        }
        query = (
            f"SELECT key, version, value FROM kv WHERE key {'>' if strict else '>='} ? AND key < ? ORDER BY key LIMIT ?"
        )
        return self._merge(query, (low, end), pending, limit, reverse=False)

    def scan_back(self, prefix: Key, before: Key, limit: int) -> Sequence[tuple[Key, Versioned]]:
        end = min(before, _prefix_end(prefix)) if before else _prefix_end(prefix)
        pending = {key: found for key, found in self._overlay.items() if prefix <= key < end}
        query = "SELECT key, version, value FROM kv WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?"
        return self._merge(query, (prefix, end), pending, limit, reverse=True)

    def _merge(
        self,
        query: str,
        bounds: tuple[Key, Key],
        pending: dict[Key, Versioned | None],
        limit: int,
        *,
        reverse: bool,
    ) -> list[tuple[Key, Versioned]]:
        """Rows of the file and of the overlay in order; the overlay wins, its deletions take rows away."""
        hidden = sum(1 for found in pending.values() if found is None)
        rows = self._reader.execute(query, (*bounds, limit + hidden)).fetchall()
        if not pending:
            return [(key, Versioned(value, version)) for key, version, value in rows]
        if len(rows) == limit + hidden:
            edge = rows[-1][0]
            pending = {key: found for key, found in pending.items() if (key >= edge if reverse else key <= edge)}
        merged: dict[Key, Versioned | None] = {key: Versioned(value, version) for key, version, value in rows}
        merged.update(pending)
        alive = [(key, found) for key, found in merged.items() if found is not None]
        alive.sort(key=lambda row: row[0], reverse=reverse)
        return alive[:limit]

    async def commit(self, writes: Writes, lines: Sequence[Line]) -> Seq:
        return await self._accept(writes, lines)

    def _accept(self, writes: Writes, lines: Sequence[Line]) -> asyncio.Future[Seq]:
        for key, version in writes.reads.items():
            found = self.get(key)
            if (0 if found is None else found.version) != version:
                raise Conflict(key)
        if self._pending_count >= PENDING_COMMITS_MAX:
            raise LedgerUnavailable("too many commits are waiting for the disk")
        first = self._next
        last = first + max(len(lines), 1) - 1
        self._next = last + 1
        rows: dict[Key, Versioned | None] = {key: Versioned(value, last) for key, value in writes.puts.items()}
        for key in writes.deletes:
            rows[key] = None
        for ref in writes.blobs:
            rows[blob_key(ref)] = Versioned(b"", last)
        for ref in writes.dropped_blobs:
            rows[blob_key(ref)] = None
            rows[_drop_key(ref)] = Versioned(b"", last)
        self._overlay.update(rows)
        packed = [(first + i, _KINDS.index(line.kind), line.data) for i, line in enumerate(lines)]
        commit = _Commit(last, rows, packed, self._loop.create_future())
        self._pending.append(commit)
        self._pending_count += 1
        if not self._writing:
            self._hand_over()
        return commit.done

    def _hand_over(self) -> None:
        batch = _Batch(self._pending[:BATCH_COMMITS_MAX])
        self._pending = self._pending[BATCH_COMMITS_MAX:]
        self._writing = True
        self._jobs.put(batch)

    def read(self, after: Seq, limit: int) -> Sequence[tuple[Seq, Line]]:
        found: list[tuple[Seq, Line]] = []
        query = "SELECT lines FROM batches WHERE last > ? ORDER BY last"
        cursor = self._reader.execute(query, (after,))
        try:
            for (data,) in cursor:
                for seq, kind, line in _unpack(data):
                    if after < seq <= self._head:
                        found.append((seq, Line(_KINDS[kind], line)))
                if len(found) >= limit:
                    break
        finally:
            cursor.close()  # an open cursor would pin the write-ahead log
        return found

    def head(self) -> Seq:
        return self._head

    async def wait(self, after: Seq) -> Seq:
        if self._head > after:
            return self._head
        waiter: asyncio.Future[Seq] = self._loop.create_future()
        self._waiters.append((after, waiter))
        return await waiter

    async def close(self) -> None:
        while self._pending_count:
            await asyncio.sleep(0.001)
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        self._reader.close()
        self._writer.close()

    def dropped_refs(self) -> list[str]:
        """Blobs let go by a durable commit whose bytes may still be there (a crash came between)."""
        prefix = _drop_key("")
        return [key[len(prefix) :].decode() for key, _ in self.scan(prefix, b"", 1 << 30)]

    def is_referenced(self, ref: str) -> bool:
        return self.get(blob_key(ref)) is not None

    async def forget_dropped(self, refs: Sequence[str]) -> None:
        """Their bytes are gone: nothing needs to remember them."""
        await self.commit(Writes(deletes={_drop_key(ref) for ref in refs}), ())

    def _write_batches(self) -> None:
        """The writer thread: one transaction for each batch, until it is given None."""
        while (batch := self._jobs.get()) is not None:
            failure: Exception | None = None
            try:
                _write(self._writer, batch)
            except (sqlite3.Error, MemoryError) as error:
                failure = error
            self._loop.call_soon_threadsafe(self._settle, batch, failure)

    def _settle(self, batch: _Batch, failure: Exception | None) -> None:
        self._writing = False
        if failure is not None:
            self._fail(batch, failure)
            return
        overlay, cache = self._overlay, self._cache
        for commit in batch.commits:
            for key, found in commit.rows.items():
                if overlay.get(key, _MISSING) is found:
                    del overlay[key]
                    cache.add(key, found)
        self._head = batch.commits[-1].last
        self._pending_count -= len(batch.commits)
        if self._pending:
            self._hand_over()
        for commit in batch.commits:
            if not commit.done.done():
                commit.done.set_result(commit.last)
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for after, waiter in waiters:
            if self._head <= after:
                self._waiters.append((after, waiter))
            elif not waiter.done():
                waiter.set_result(self._head)

    def _fail(self, batch: _Batch, failure: Exception) -> None:
        """Nothing accepted since the last durable batch happened."""
        lost = batch.commits + self._pending
        self._pending = []
        self._pending_count = 0
        self._overlay.clear()
        self._cache = _RowCache()
        for commit in lost:
            if not commit.done.done():
                commit.done.set_exception(LedgerUnavailable(str(failure)))


_MISSING = object()
_HEAD_KEY: Key = b"\0head"
"""Its version is the newest durable Seq, rewritten by every batch."""


class _RowCache:
    """Rows read or written lately, absent ones included, bounded by bytes."""

    def __init__(self) -> None:
        self.rows: OrderedDict[Key, Versioned | None] = OrderedDict()
        self._bytes = 0

    def hit(self, key: Key) -> Versioned | None:
        self.rows.move_to_end(key)
        return self.rows[key]

    def add(self, key: Key, found: Versioned | None) -> None:
        if key in self.rows:
            self._bytes -= _weight(key, self.rows.pop(key))
        if found is not None and len(found.value) > CACHED_VALUE_BYTES_MAX:
            return
        self.rows[key] = found
        self._bytes += _weight(key, found)
        while self._bytes > CACHE_BYTES_MAX:
            gone, row = self.rows.popitem(last=False)
            self._bytes -= _weight(gone, row)


def _weight(key: Key, found: Versioned | None) -> int:
    return len(key) + 300 + (0 if found is None else len(found.value))


def blob_key(ref: str) -> Key:
    """The row that says a blob is named by somebody."""
    return b"blob\0" + ref.encode()


def _drop_key(ref: str) -> Key:
    return b"blob-drop\0" + ref.encode()


def _prefix_end(prefix: Key) -> Key:
    """The smallest key greater than every key beginning with the prefix."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else b"\xff" * 64


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-32768; PRAGMA mmap_size=268435456;"
        "PRAGMA busy_timeout=10000; PRAGMA wal_autocheckpoint=4000;"
    )
    return connection


def _write(connection: sqlite3.Connection, batch: _Batch) -> None:
    rows: dict[Key, Versioned | None] = {}
    lines: list[_PackedLine] = []
    for commit in batch.commits:
        rows.update(commit.rows)
        lines += commit.lines
    puts: list[_Values] = [(key, found.version, found.value) for key, found in rows.items() if found is not None]
    puts.append((_HEAD_KEY, batch.commits[-1].last, b""))
    deletes: list[_Values] = [(key,) for key, found in rows.items() if found is None]
    connection.execute("BEGIN IMMEDIATE")
    try:
        for group in _groups(puts):
            connection.execute(_statement("REPLACE INTO kv VALUES", "(?,?,?)", len(group)), _flat(group))
        for keys in _groups(deletes):
            connection.execute(_statement("DELETE FROM kv WHERE key IN (VALUES", "(?)", len(keys)) + ")", _flat(keys))
        if lines:
            connection.execute("INSERT INTO batches VALUES (?, ?)", (batch.commits[-1].last, _pack(lines)))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statement(head: str, row: str, count: int) -> str:
    return head + ",".join([row] * count)


def _flat(rows: Sequence[_Values]) -> list[object]:
    return [value for row in rows for value in row]


def _groups(rows: list[_Values]) -> Iterator[list[_Values]]:
    start = 0
    for size in ROWS_PER_STATEMENT:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size
