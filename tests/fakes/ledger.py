"""An in-memory `ports.Ledger`: a dict, a sorted list of its keys, and the lines; gone with the process."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.ports import Key, Line, Seq, Versioned, Writes

LINELESS_SHIFT = 48
"""A commit without lines gets a version of its own above every Seq, so that no two commits share one."""


class FakeLedger:
    """Satisfies `ports.Ledger`. `fail_next` makes the next commit raise LedgerUnavailable, changing nothing."""

    def __init__(self) -> None:
        self.rows: dict[Key, Versioned] = {}
        self.lines: list[Line] = []
        self.commits = 0
        self.fail_next = False
        self._keys: list[Key] = []
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

    async def commit(self, writes: Writes, lines: Sequence[Line]) -> Seq:
        if self.fail_next:
            self.fail_next = False
            raise LedgerUnavailable("asked to fail")
        for key, seen in writes.reads.items():
            row = self.rows.get(key)
            if (0 if row is None else row.version) != seen:
                raise Conflict(key)
        self.commits += 1
        self.lines.extend(lines)
        version = len(self.lines) if lines else (self.commits << LINELESS_SHIFT)
        for key in writes.deletes:
            self._remove(key)
        for key, value in writes.puts.items():
            if key not in self.rows:
                insort(self._keys, key)
            self.rows[key] = Versioned(value, version)
        self._grown.set()
        await asyncio.sleep(0)
        return len(self.lines)

    def _remove(self, key: Key) -> None:
        if self.rows.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def read(self, after: Seq, limit: int) -> Sequence[tuple[Seq, Line]]:
        return list(enumerate(self.lines[after : after + limit], start=after + 1))

    def head(self) -> Seq:
        return len(self.lines)

    async def wait(self, after: Seq) -> Seq:
        while self.head() <= after:
            self._grown.clear()
            await self._grown.wait()
        return self.head()

    async def close(self) -> None:
        return None


def prefix_end(prefix: Key) -> Key:
    """The smallest key greater than every key that begins with `prefix`; empty if there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b""
