"""An in-memory `ports.Ledger`: a dict, a sorted list of its keys, and the lines; gone with the process."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.ports import Key, Line, Seq, Versioned, Writes


class FakeLedger:
    """Satisfies `ports.Ledger`. `fail_next` makes the next commit raise LedgerUnavailable, `conflicts` so many of them
    Conflict; they change nothing."""

    def __init__(self) -> None:
        self.rows: dict[Key, Versioned] = {}
        self.lines: list[Line] = []
        self.commits = 0
        self.fail_next = False
        self.conflicts = 0
        self.closed = False
        self._keys: list[Key] = []
        self._seqs: list[Seq] = []
        self._head: Seq = 0
        self._blobs: set[str] = set()
        self._dropped: set[str] = set()
        self._grown = asyncio.Event()

    def get(self, key: Key) -> Versioned | None:
        return self.rows.get(key)

    def scan(self, prefix: Key, after: Key, limit: int) -> Sequence[tuple[Key, Versioned]]:
        start = bisect_right(self._keys, after) if after and after >= prefix else bisect_left(self._keys, prefix)
        found = []
        for key in self._keys[start : start + limit]:
            if not key.startswith(prefix):
                break
            found.append((key, self.rows[key]))
        return found

    def scan_columns(self, prefix: Key, after: Key, limit: int) -> tuple[Sequence[Key], Sequence[bytes]]:
        rows = self.scan(prefix, after, limit)
        return [key for key, _ in rows], [found.value for _, found in rows]

    def scan_back(self, prefix: Key, before: Key, limit: int) -> Sequence[tuple[Key, Versioned]]:
        end = prefix_end(prefix)
        bounds = [bound for bound in (before, end) if bound]
        stop = bisect_left(self._keys, min(bounds)) if bounds else len(self._keys)
        found = []
        for key in reversed(self._keys[max(0, stop - limit) : stop]):
            if not key.startswith(prefix):
                break
            found.append((key, self.rows[key]))
        return found

    def group_starts(self, prefix: Key, after: Key, delimiter: bytes, limit: int) -> Sequence[Key]:
        starts: list[Key] = []
        group = b""
        first = bisect_right(self._keys, after) if after and after >= prefix else bisect_left(self._keys, prefix)
        for key in self._keys[first:]:
            place = key.find(delimiter, len(prefix))
            if not key.startswith(prefix) or place < 0 or len(starts) == limit:
                break
            if key[: place + len(delimiter)] != group:
                group = key[: place + len(delimiter)]
                starts.append(key)
        return starts

    async def commit(self, writes: Writes, lines: Sequence[Line]) -> Seq:
        if self.fail_next or self.closed:
            self.fail_next = False
            raise LedgerUnavailable("asked to fail, or closed")
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict(b"asked for")
        if writes.puts or writes.deletes:
            self._check(writes)
        self.commits += 1
        self._add_lines(lines)
        for key in writes.deletes:
            self._remove(key)
        for key, value in writes.puts.items():
            if key not in self.rows:
                insort(self._keys, key)
            self.rows[key] = Versioned(value, self._head)
        self._blobs |= set(writes.blobs)
        self._blobs -= set(writes.dropped_blobs)
        self._dropped |= set(writes.dropped_blobs)
        self._grown.set()
        seq = self._head
        await asyncio.sleep(0)
        return seq

    def _check(self, writes: Writes) -> None:
        for key, seen in writes.reads.items():
            row = self.rows.get(key)
            if (0 if row is None else row.version) != seen:
                raise Conflict(key)

    def _add_lines(self, lines: Sequence[Line]) -> None:
        first = self._head + 1
        self._head += max(len(lines), 1)
        del self._seqs[len(self.lines) :]  # a test may have taken lines away
        self._seqs.extend(range(first, first + len(lines)))
        self.lines.extend(lines)

    def _remove(self, key: Key) -> None:
        if self.rows.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def read(self, after: Seq, limit: int) -> Sequence[tuple[Seq, Line]]:
        start = bisect_right(self._seqs, after, hi=min(len(self._seqs), len(self.lines)))
        return list(zip(self._seqs[start : start + limit], self.lines[start : start + limit], strict=False))

    def head(self) -> Seq:
        return self._head

    async def wait(self, after: Seq) -> Seq:
        while self.head() <= after:
            self._grown.clear()
            await self._grown.wait()
        return self.head()

    def is_referenced(self, ref: str) -> bool:
        return ref in self._blobs

    def dropped_refs(self) -> Sequence[str]:
        return sorted(self._dropped)

    async def forget_dropped(self, refs: Sequence[str]) -> None:
        self._dropped -= set(refs)

    async def close(self) -> None:
        self.closed = True


def prefix_end(prefix: Key) -> Key:
    """The smallest key greater than every key that begins with `prefix`; empty if there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b""
