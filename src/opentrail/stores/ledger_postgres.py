"""A ledger in PostgreSQL: state and lines in three tables, made durable by group commit; `ports.Ledger`.

One node at a time, which an advisory lock sees to: the node checks and orders commits against an overlay of what is
accepted but not yet durable, reads through a cache, and misses by a round trip on a connection of its own. A thread
(`ledger_postgres_writer`) turns what was accepted since its last turn into one transaction. A batch that fails takes with
it all that was accepted after it. This module knows keys, bytes and sequence numbers; not what they mean.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.ports import Key, Line, LineKind, Seq, Versioned, Writes
from opentrail.stores.ledger_postgres_writer import Batch, WriterThread, connect, durable_head
from opentrail.stores.row_cache import RowCache

BATCH_COMMITS_MAX = 4_096
"""Commits in one transaction."""
PENDING_COMMITS_MAX = 65_536
"""Commits accepted and not yet durable; beyond it the ledger refuses (503) rather than grow."""

_KINDS: tuple[LineKind, ...] = ("record", "event")
_GET = "SELECT version, value FROM opentrail_rows WHERE key = %b"
_SCAN = "SELECT key, version, value FROM opentrail_rows WHERE key {op} %b AND key < %b ORDER BY key {order} LIMIT %b"
_UP, _UP_AFTER = _SCAN.format(op=">=", order=""), _SCAN.format(op=">", order="")
_DOWN = _SCAN.format(op=">=", order="DESC")
_FOUND = "position(%(mark)b::bytea in substring(step.key from %(length)b::int + 1))"
_NEXT = "SELECT key FROM opentrail_rows WHERE key {} %(low)b AND key < %(end)b ORDER BY key LIMIT 1"
_GROUP_STARTS = f"""
WITH RECURSIVE step(key) AS (
  ({_NEXT}) UNION ALL
  SELECT (SELECT key FROM opentrail_rows WHERE key < %(end)b
    AND key >= substring(step.key from 1 for %(length)b::int + {_FOUND} - 1) || %(behind)b::bytea ORDER BY key LIMIT 1)
  FROM step WHERE {_FOUND} > 0
)
SELECT key FROM (SELECT key FROM step LIMIT %(most)b) AS step WHERE {_FOUND} > 0
"""
"""From the first row of a group a seek to what follows the group, and so on."""
_READ = "SELECT seq, kind, data FROM opentrail_lines WHERE seq > %b AND seq <= %b ORDER BY seq LIMIT %b"
_LAST_KEY = b"\xff" * 4_097
"""Greater than any key there may be."""

Rows = dict[Key, Versioned | None]
"""None deletes."""

log = logging.getLogger("opentrail.ledger")


class PostgresLedger:
    """Make it on the event loop's thread. Raises psycopg.Error if the database cannot be reached, and LedgerUnavailable
    if another node works on it."""

    def __init__(self, conninfo: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._conninfo = conninfo
        self._writer = WriterThread(conninfo, self._told)
        self._reader = connect(conninfo)
        self._head: Seq = durable_head(self._reader)
        self._next = self._head + 1
        self._overlay: Rows = {}
        self._cache = RowCache()
        self._pending: list[tuple[Seq, Rows, list[tuple[Seq, int, bytes]], asyncio.Future[Seq]]] = []
        self._under_way = self._pending
        self._waiters: list[tuple[Seq, asyncio.Future[Seq]]] = []
        self._writing = False
        self._closed = False

    # --- reading

    def get(self, key: Key) -> Versioned | None:
        if key in self._overlay:
            return self._overlay[key]
        if key in self._cache.rows:
            self._cache.hits.add(key)
            return self._cache.rows[key]
        row = next(iter(self._ask(_GET, key)), None)
        found = None if row is None else Versioned(row[1], row[0])
        self._cache.add(key, found)
        return found

    def scan(self, prefix: Key, after: Key, limit: int) -> Sequence[tuple[Key, Versioned]]:
        end = _prefix_end(prefix)
        follows = after != b"" and after >= prefix
        low = after if follows else prefix
        pending = {
            key: found for key, found in self._overlay.items() if low <= key < end and not (follows and key == low)
        }
        return self._merge(_UP_AFTER if follows else _UP, (low, end), pending, limit, reverse=False)

    def scan_columns(self, prefix: Key, after: Key, limit: int) -> tuple[Sequence[Key], Sequence[bytes]]:
        rows = self.scan(prefix, after, limit)
        return [key for key, _ in rows], [found.value for _, found in rows]

    def scan_back(self, prefix: Key, before: Key, limit: int) -> Sequence[tuple[Key, Versioned]]:
        end = min(before or _LAST_KEY, _prefix_end(prefix))
        pending = {key: found for key, found in self._overlay.items() if prefix <= key < end}
        return self._merge(_DOWN, (prefix, end), pending, limit, reverse=True)

    def group_starts(self, prefix: Key, after: Key, delimiter: bytes, limit: int) -> Sequence[Key]:
        end, behind = _prefix_end(prefix), _prefix_end(delimiter)
        low = max(after, prefix)
        if len(behind) != len(delimiter) or any(low <= key < end for key in self._overlay):
            return ()  # what is not durable yet may begin a group, or have taken one away
        query = _GROUP_STARTS.format(">" if low == after else ">=")
        found = self._ask(
            query, low=low, end=end, length=len(prefix), mark=delimiter, behind=behind, most=max(limit, 0)
        )
        return [key for (key,) in found]

    def _merge(
        self, query: str, bounds: tuple[Key, Key], pending: Rows, limit: int, *, reverse: bool
    ) -> list[tuple[Key, Versioned]]:
        """Rows of the database and of the overlay in order. As many more are fetched as the overlay may take away; where
        that was not all there is, what lies behind the last one fetched is left out."""
        if limit <= 0:
            return []
        wanted = limit + sum(found is None for found in pending.values())
        rows = self._ask(query, *bounds, wanted)
        merged: Rows = {key: Versioned(value, version) for key, version, value in rows}
        edge = rows[-1][0] if len(rows) == wanted else None
        for key, found in pending.items():
            if edge is None or (key >= edge if reverse else key <= edge):
                merged[key] = found
        alive = [(key, found) for key, found in merged.items() if found is not None]
        return sorted(alive, key=lambda row: row[0], reverse=reverse)[:limit]

    def read(self, after: Seq, limit: int) -> Sequence[tuple[Seq, Line]]:
        return [(seq, Line(_KINDS[kind], data)) for seq, kind, data in self._ask(_READ, after, self._head, limit)]

    def _ask(self, query: str, *values: object, **named: object) -> list[tuple[Any, ...]]:
        """One round trip; a connection that was lost is opened again once."""
        given = named or values
        try:
            return self._reader.execute(query, given, binary=True).fetchall()
        except psycopg.OperationalError as lost:
            log.warning("the connection for reading was lost: %s", lost)
        try:
            self._reader.close()
            self._reader = connect(self._conninfo)
            return self._reader.execute(query, given, binary=True).fetchall()
        except psycopg.OperationalError as error:
            raise LedgerUnavailable(f"the database cannot be read: {error}") from error

    def head(self) -> Seq:
        return self._head

    # --- commits

    async def commit(self, writes: Writes, lines: Sequence[Line]) -> Seq:
        return await self._accept(writes, lines)

    def _accept(self, writes: Writes, lines: Sequence[Line]) -> asyncio.Future[Seq]:
        if writes.puts or writes.deletes:
            self._check(writes.reads)
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        if len(self._pending) >= PENDING_COMMITS_MAX:
            raise LedgerUnavailable("too many commits are waiting for the database")
        first, self._next = self._next, self._next + max(len(lines), 1)
        rows = _rows_of(writes, self._next - 1)
        self._overlay.update(rows)
        packed = [(first + place, _KINDS.index(line.kind), line.data) for place, line in enumerate(lines)]
        done: asyncio.Future[Seq] = self._loop.create_future()
        self._pending.append((self._next - 1, rows, packed, done))
        if not self._writing:
            self._writing = True
            self._loop.call_soon(self._hand_over)
        return done

    def _check(self, reads: Mapping[Key, Seq]) -> None:
        for key, version in reads.items():
            found = self.get(key)
            if (0 if found is None else found.version) != version:
                raise Conflict(key)

    def _hand_over(self) -> None:
        """What was accepted so far becomes one batch."""
        self._under_way, self._pending = self._pending[:BATCH_COMMITS_MAX], self._pending[BATCH_COMMITS_MAX:]
        rows: Rows = {}
        lines: list[tuple[Seq, int, bytes]] = []
        for _, changed, packed, _ in self._under_way:
            rows.update(changed)
            lines += packed
        puts = [(key, found.version, found.value) for key, found in rows.items() if found is not None]
        deletes = [key for key, found in rows.items() if found is None]
        self._writer.send(Batch(self._under_way[-1][0], puts, deletes, lines))

    def _told(self, last: Seq, failure: str) -> None:
        """From the writer's thread: a batch is durable, or never will be."""
        self._loop.call_soon_threadsafe(self._settled, last, failure)

    def _settled(self, last: Seq, failure: str) -> None:
        if failure:
            self._fail(failure)
            return
        settled, self._under_way = self._under_way, []
        self._head = last
        for _, rows, _, _ in settled:
            for key, found in rows.items():
                if self._overlay.get(key, _MISSING) is found and (found is not None or not self._written_later(key)):
                    del self._overlay[key]
                    self._cache.settle(key, found)
        for seq, _, _, done in settled:
            if not done.done():
                done.set_result(seq)
        self._wake()
        if self._pending:
            self._hand_over()
        else:
            self._writing = False

    def _written_later(self, key: Key) -> bool:
        return any(key in rows for _, rows, _, _ in self._pending)

    def _fail(self, failure: str) -> None:
        """Nothing accepted since the last durable batch happened."""
        lost, self._under_way, self._pending = self._under_way + self._pending, [], []
        log.error("%d commits could not be made durable: %s", len(lost), failure)
        self._writing = False
        self._overlay.clear()
        self._cache = RowCache()
        for _, _, _, done in lost:
            if not done.done():
                done.set_exception(LedgerUnavailable(failure))

    # --- waiting, blobs, the end

    async def wait(self, after: Seq) -> Seq:
        if self._head > after:
            return self._head
        waiter: asyncio.Future[Seq] = self._loop.create_future()
        self._waiters.append((after, waiter))
        return await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for after, waiter in waiters:
            if self._head <= after:
                self._waiters.append((after, waiter))
            elif not waiter.done():
                waiter.set_result(self._head)

    def is_referenced(self, ref: str) -> bool:
        return self.get(_blob_key(ref)) is not None

    def dropped_refs(self) -> Sequence[str]:
        prefix = _drop_key("")
        return [key[len(prefix) :].decode() for key, _ in self.scan(prefix, b"", 1 << 30)]

    async def forget_dropped(self, refs: Sequence[str]) -> None:
        await self.commit(Writes(deletes={_drop_key(ref) for ref in refs}), ())

    async def close(self) -> None:
        self._closed = True
        waiting = [done for *_, done in (*self._under_way, *self._pending)]
        if waiting:
            await asyncio.wait(waiting)
        await asyncio.to_thread(self._writer.close)
        self._reader.close()


_MISSING: Any = object()


def _rows_of(writes: Writes, version: Seq) -> Rows:
    """What a commit does to rows, those of its blobs included."""
    rows: Rows = {key: Versioned(value, version) for key, value in writes.puts.items()}
    rows.update(dict.fromkeys(writes.deletes))
    rows.update({_blob_key(ref): Versioned(b"", version) for ref in writes.blobs})
    rows.update(dict.fromkeys(_blob_key(ref) for ref in writes.dropped_blobs))
    rows.update({_drop_key(ref): Versioned(b"", version) for ref in writes.dropped_blobs})
    return rows


def _blob_key(ref: str) -> Key:
    return b"blob\0" + ref.encode()


def _drop_key(ref: str) -> Key:
    return b"blob-drop\0" + ref.encode()


def _prefix_end(prefix: Key) -> Key:
    """The smallest key greater than every key beginning with the prefix."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else _LAST_KEY
