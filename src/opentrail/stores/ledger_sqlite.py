"""The embedded ledger: state and lines in one SQLite file, made durable by group commit.

The loop's thread checks and orders commits against an overlay of what is accepted but not yet durable; the writer process
(`ledger_writer`) turns everything accepted since its last turn into a single SQLite transaction, one fsync. A batch that
fails takes with it all that was accepted after it, since that may have read it: their callers get LedgerUnavailable, and
the overlay forgets them. This module knows keys, bytes and sequence numbers; not what they mean.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.ports import Key, Line, LineKind, Seq, Versioned, Writes
from opentrail.stores.group_memory import Asked, GroupMemory, Groups, in_range
from opentrail.stores.ledger_channel import WriterChannel
from opentrail.stores.ledger_writer import SCHEMA, Batch, Put, connect, durable_head, unpack_lines
from opentrail.stores.line_tail import LineTail
from opentrail.stores.row_cache import RowCache

BATCH_COMMITS_MAX = 4_096
"""Commits in one transaction."""
GATHER_COMMITS = 32
GATHER_SECONDS = 0.001
"""Under load a batch of fewer commits waits this long for more, since what a batch costs does not depend on its size."""
PENDING_COMMITS_MAX = 65_536
"""Commits accepted and not yet durable; beyond it the ledger refuses (503) rather than grow."""
KEY_BYTES_MAX = 4_096
"""No key is longer: table, bucket, S3's key of 1,024 bytes, a version."""

_SCAN = "SELECT {} FROM kv WHERE key {} ? AND key < ? ORDER BY key LIMIT ?"
_GROUP_STARTS = """
WITH RECURSIVE step(key) AS (
  SELECT (SELECT key FROM kv WHERE key {} :low AND key < :end ORDER BY key LIMIT 1)
  UNION ALL
  SELECT (SELECT key FROM kv WHERE key < :end
    AND key >= CAST(substr(step.key, 1, :length + instr(substr(step.key, :length + 1), :mark) - 1) || :behind AS BLOB)
    ORDER BY key LIMIT 1)
  FROM step WHERE instr(substr(step.key, :length + 1), :mark)
  LIMIT :most
)
SELECT key FROM step WHERE instr(substr(key, :length + 1), :mark)
"""
"""From the first row of a group a seek to what follows the group, and so on."""

_KINDS: tuple[LineKind, ...] = ("record", "event")
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}

log = logging.getLogger("opentrail.ledger")


class _Batch:
    """Commits accepted one after the other, to be made durable together: what is left of their rows (None deletes), their
    lines, and who waits for which Seq. Gathered as they come, so that a commit leaves nothing else behind."""

    __slots__ = ("last", "lines", "rows", "waiting")

    def __init__(self) -> None:
        self.last: Seq = 0
        self.rows: dict[Key, Versioned | None] = {}
        self.lines: list[tuple[Seq, Line]] = []
        self.waiting: list[tuple[asyncio.Future[Seq], Seq]] = []


class SqliteLedger:
    """`ports.Ledger` on one SQLite file in WAL mode with synchronous=FULL. Make it on the event loop's thread."""

    def __init__(self, path: Path, keep_open: Sequence[int] = ()) -> None:
        """`keep_open`: file descriptors the writer holds as long as it lives (the data directory's lock)."""
        self._loop = asyncio.get_running_loop()
        self._reader = connect(path)
        self._reader.executescript(SCHEMA)
        self._head: Seq = durable_head(self._reader)
        self._next = self._head + 1
        self._overlay: dict[Key, Versioned | None] = {}
        self._pending: list[_Batch] = []
        self._under_way: _Batch | None = None
        self._pending_count = 0
        self._writing = False
        self._closed = False
        self._cache = RowCache()
        self._groups = GroupMemory()
        self._tail = LineTail(self._head)
        self._waiters: list[tuple[Seq, asyncio.Future[Seq]]] = []
        self._channel = WriterChannel(path, keep_open, self._settled, self._writer_lost)

    def get(self, key: Key) -> Versioned | None:
        overlay = self._overlay
        if overlay and key in overlay:
            return overlay[key]
        cache = self._cache
        found: Versioned | None = cache.rows.get(key, _MISSING)
        if found is not _MISSING:
            cache.hits.add(key)
            return found
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
        query = _SCAN.format("key, version, value", ">" if strict else ">=")
        return self._merge(query, (low, end), pending, limit, reverse=False)

    def scan_columns(self, prefix: Key, after: Key, limit: int) -> tuple[Sequence[Key], Sequence[bytes]]:
        end, low = _prefix_end(prefix), max(after, prefix)
        found: Sequence[tuple[Key, bytes]]
        if any(low <= key < end for key in self._overlay):
            found = [(key, row.value) for key, row in self.scan(prefix, after, limit)]
        else:
            query = _SCAN.format("key, value", ">" if after >= prefix and after != b"" else ">=")
            found = self._reader.execute(query, (low, end, max(limit, 0))).fetchall()
        return columns_of(found)

    def scan_back(self, prefix: Key, before: Key, limit: int) -> Sequence[tuple[Key, Versioned]]:
        end = min(before, _prefix_end(prefix)) if before else _prefix_end(prefix)
        pending = {key: found for key, found in self._overlay.items() if prefix <= key < end}
        query = "SELECT key, version, value FROM kv WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?"
        return self._merge(query, (prefix, end), pending, limit, reverse=True)

    def group_starts(self, prefix: Key, after: Key, delimiter: bytes, limit: int) -> Sequence[Key]:
        asked = Asked(prefix, after, delimiter, limit, _prefix_end(prefix))
        known = self._groups.kept.get(asked)
        if known is not None:
            return known.starts
        found = Groups(asked, self._seek_groups(asked))
        pending = in_range(asked, self._overlay)
        edge = found.edge(self._overlay, pending) if pending else None
        if edge is not None:  # what is not durable yet begins a group there, or has taken one away
            return found.starts[: bisect_left(found.starts, edge)]
        self._groups.keep(found)
        return found.starts

    def _seek_groups(self, asked: Asked) -> list[Key]:
        """The durable answer."""
        prefix, after, delimiter, limit, end = asked
        low, behind = max(after, prefix), _prefix_end(delimiter)
        if len(behind) != len(delimiter):
            return []
        values = {"low": low, "end": end, "length": len(prefix), "mark": delimiter, "behind": behind, "most": limit}
        query = _GROUP_STARTS.format(">" if low == after else ">=")
        return [key for (key,) in self._reader.execute(query, values)]

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
        if limit <= 0:
            return []
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
        if writes.puts or writes.deletes:
            self._check(writes.reads)
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        if self._pending_count >= PENDING_COMMITS_MAX:
            raise LedgerUnavailable("too many commits are waiting for the disk")
        pending = self._pending
        batch = pending[-1] if pending and len(pending[-1].waiting) < BATCH_COMMITS_MAX else self._new_batch()
        first = self._next
        last = batch.last = first + (len(lines) or 1) - 1
        self._next = last + 1
        batch.lines += enumerate(lines, first)
        if writes.puts or writes.deletes or writes.blobs or writes.dropped_blobs:
            rows = _rows_of(writes, last)
            self._overlay.update(rows)
            if self._groups.kept:
                self._groups.note(rows)
            batch.rows.update(rows)
        done: asyncio.Future[Seq] = self._loop.create_future()
        batch.waiting.append((done, last))
        self._pending_count += 1
        if not self._writing:
            self._writing = True
            self._loop.call_soon(self._hand_over)  # with all that this turn of the loop still brings
        return done

    def _new_batch(self) -> _Batch:
        """The batch that takes in the next commits."""
        self._pending.append(_Batch())
        return self._pending[-1]

    def _check(self, reads: Mapping[Key, Seq]) -> None:
        """Raise Conflict if something read has another version by now. A commit that changes nothing is not asked: what
        it tells was true when it was read."""
        for key, version in reads.items():
            found = self.get(key)
            if (0 if found is None else found.version) != version:
                raise Conflict(key)

    def _hand_over(self) -> None:
        """The oldest batch goes to the writer."""
        batch = self._under_way = self._pending.pop(0)
        puts: list[Put] = [(key, found.version, found.value) for key, found in batch.rows.items() if found is not None]
        deletes = [key for key, found in batch.rows.items() if found is None]
        lines = [(seq, _NUMBERS[line.kind], line.data) for seq, line in batch.lines]
        self._channel.send(Batch(batch.last, puts, deletes, lines))

    def read(self, after: Seq, limit: int) -> Sequence[tuple[Seq, Line]]:
        recent = self._tail.read(after, limit)
        return self._read_file(after, limit) if recent is None else recent

    def _read_file(self, after: Seq, limit: int) -> Sequence[tuple[Seq, Line]]:
        found: list[tuple[Seq, Line]] = []
        query = "SELECT lines FROM batches WHERE last > ? ORDER BY last"
        cursor = self._reader.execute(query, (after,))
        try:
            for (data,) in cursor:
                for seq, kind, line in unpack_lines(data):
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
        self._closed = True
        while self._pending_count:
            await asyncio.sleep(0.001)
        await self._channel.close()
        self._reader.close()

    def dropped_refs(self) -> list[str]:
        """Blobs let go by a durable commit whose bytes may still be there (a crash came between)."""
        prefix = _drop_key("")
        return [key[len(prefix) :].decode() for key, _ in self.scan(prefix, b"", 1 << 30)]

    def is_referenced(self, ref: str) -> bool:
        return self.get(blob_key(ref)) is not None

    async def forget_dropped(self, refs: Sequence[str]) -> None:
        """Their bytes are gone: nothing needs to remember them."""
        await self.commit(Writes(deletes={_drop_key(ref) for ref in refs}), ())

    def _settled(self, last: Seq, failure: str) -> None:
        """The batch under way is durable, or never will be."""
        batch, self._under_way = self._under_way, None
        if batch is None:
            return
        if failure:
            self._fail(batch, failure)
            return
        overlay, cache = self._overlay, self._cache
        for key, found in batch.rows.items():
            if overlay.get(key, _MISSING) is found and (found is not None or not self._written_later(key)):
                del overlay[key]
                cache.settle(key, found)
        self._tail.add(batch.lines)
        self._head = last
        self._pending_count -= len(batch.waiting)
        for done, seq in batch.waiting:
            if not done.done():
                done.set_result(seq)
        self._wake()
        self._go_on()

    def _written_later(self, key: Key) -> bool:
        """Deletions are all alike: one settles, another of the same key may still be waiting behind a put."""
        return any(key in batch.rows for batch in self._pending)

    def _writer_lost(self) -> None:
        """The writer process died. What it made durable counts; the rest did not happen; another one takes over."""
        head = durable_head(self._reader)
        log.error("the ledger's writer process ended unexpectedly; starting another")
        if self._under_way is not None:
            last = self._under_way.last
            self._settled(last, "" if head >= last else "the ledger's writer process ended")

    def _go_on(self) -> None:
        """The next batch, or rest. A batch that took in several commits tells of more to come: let them gather."""
        if not self._pending:
            self._writing = False
        elif len(self._pending[0].waiting) < GATHER_COMMITS:
            self._loop.call_later(GATHER_SECONDS, self._hand_over)
        else:
            self._hand_over()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for after, waiter in waiters:
            if self._head <= after:
                self._waiters.append((after, waiter))
            elif not waiter.done():
                waiter.set_result(self._head)

    def _fail(self, batch: _Batch, failure: str) -> None:
        """Nothing accepted since the last durable batch happened."""
        lost = [done for each in (batch, *self._pending) for done, _ in each.waiting]
        log.error("%d commits could not be made durable: %s", len(lost), failure)
        self._pending = []
        self._pending_count = 0
        self._writing = False
        self._overlay.clear()
        self._cache = RowCache()
        self._groups = GroupMemory()
        for done in lost:
            if not done.done():
                done.set_exception(LedgerUnavailable(failure))


def _rows_of(writes: Writes, version: Seq) -> dict[Key, Versioned | None]:
    """What a commit does to rows, those of its blobs included; None deletes."""
    rows: dict[Key, Versioned | None] = {key: Versioned(value, version) for key, value in writes.puts.items()}
    for key in writes.deletes:
        rows[key] = None
    for ref in writes.blobs:
        rows[blob_key(ref)] = Versioned(b"", version)
    for ref in writes.dropped_blobs:
        rows[blob_key(ref)] = None
        rows[_drop_key(ref)] = Versioned(b"", version)
    return rows


def columns_of(rows: Sequence[tuple[Key, bytes]]) -> tuple[Sequence[Key], Sequence[bytes]]:
    """The keys and the values of rows, each by themselves."""
    keys, values = zip(*rows, strict=True) if rows else ((), ())
    return keys, values


_MISSING: Any = object()


def blob_key(ref: str) -> Key:
    """The row that says a blob is named by somebody."""
    return b"blob\0" + ref.encode()


def _drop_key(ref: str) -> Key:
    return b"blob-drop\0" + ref.encode()


def _prefix_end(prefix: Key) -> Key:
    """The smallest key greater than every key beginning with the prefix."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else b"\xff" * (KEY_BYTES_MAX + 1)
