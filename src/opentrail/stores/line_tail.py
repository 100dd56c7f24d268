"""The newest durable lines kept in memory, bounded by bytes, so that followers that keep up cost no reading and unpacking.

Knows sequence numbers and lines; nothing of files, batches or followers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from opentrail.ports import Line, Seq

TAIL_BYTES_MAX = 8 * 1024 * 1024
"""Bytes of lines kept."""
LINE_OVERHEAD_BYTES = 200
"""What a kept line costs besides its bytes."""

Numbered = tuple[Seq, Line]


class LineTail:
    """Everything after `since`, in runs as they became durable."""

    def __init__(self, since: Seq) -> None:
        self._since = since
        self._runs: deque[tuple[Sequence[Numbered], int]] = deque()
        self._bytes = 0

    def add(self, run: Sequence[Numbered]) -> None:
        """Lines that became durable, in order, all newer than those added before."""
        if not run:
            return
        size = sum([len(line.data) for _, line in run]) + LINE_OVERHEAD_BYTES * len(run)
        self._runs.append((run, size))
        self._bytes += size
        while self._bytes > TAIL_BYTES_MAX:
            oldest, size = self._runs.popleft()
            self._bytes -= size
            self._since = oldest[-1][0]

    def read(self, after: Seq, limit: int) -> list[Numbered] | None:
        """Up to about `limit` lines following `after`; None if some of them may not be here any more."""
        if after < self._since:
            return None
        found: list[Numbered] = []
        for run, _ in self._newer(after):
            found += run if run[0][0] > after else [one for one in run if one[0] > after]
            if len(found) >= limit:
                break
        return found

    def _newer(self, after: Seq) -> list[tuple[Sequence[Numbered], int]]:
        """The runs that have something following `after`; looked for from the end, where followers are."""
        newer = []
        for run in reversed(self._runs):
            if run[0][-1][0] <= after:
                break
            newer.append(run)
        newer.reverse()
        return newer
