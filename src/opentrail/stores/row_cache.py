"""Rows of the ledger kept in memory for reading, bounded by bytes."""

from __future__ import annotations

from collections import OrderedDict

from opentrail.ports import Key, Versioned

CACHE_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of rows kept in memory."""
CACHED_VALUE_BYTES_MAX = 256 * 1024
"""Larger rows are not kept."""
ROW_OVERHEAD_BYTES = 400
"""What a kept row costs besides its key and value."""


class RowCache:
    """Rows read or written lately, rows that were looked for in vain included. Goes round like a clock: a row that was hit
    since the hand last passed it gets another round, so that a hit costs no more than a set insertion."""

    def __init__(self) -> None:
        self.rows: OrderedDict[Key, Versioned | None] = OrderedDict()
        """In the order in which the hand comes to them."""
        self.hits: set[Key] = set()
        """Keys hit since the hand last passed them. Whoever reads `rows` by himself adds to it."""
        self._bytes = 0

    def add(self, key: Key, found: Versioned | None) -> None:
        """Keep a row, or that there is none."""
        if found is not None and len(found.value) > CACHED_VALUE_BYTES_MAX:
            self.forget(key)
            return
        if key in self.rows:
            self._bytes -= _weight(key, self.rows[key])
        self.rows[key] = found
        self._bytes += _weight(key, found)
        while self._bytes > CACHE_BYTES_MAX:
            self._turn()

    def _turn(self) -> None:
        key = next(iter(self.rows))
        if key in self.hits:
            self.hits.discard(key)
            self.rows.move_to_end(key)
        else:
            self._bytes -= _weight(key, self.rows.pop(key))

    def settle(self, key: Key, written: Versioned | None) -> None:
        """What was written is durable. A deleted row is not kept as absent: most are data that was replaced, which nobody
        asks for again."""
        if written is None:
            self.forget(key)
        else:
            self.add(key, written)

    def forget(self, key: Key) -> None:
        """Drop what is known of a key."""
        if key in self.rows:
            self.hits.discard(key)
            self._bytes -= _weight(key, self.rows.pop(key))


def _weight(key: Key, found: Versioned | None) -> int:
    return len(key) + ROW_OVERHEAD_BYTES + (0 if found is None else len(found.value))
