"""Answers of `Ledger.group_starts` that are remembered as long as they stay true.

An answer is some hundred seeks in a tree of many levels, and who lists a folder lists it again. What a write does to an
answer is told from the keys alone: a row behind the first of its group changes nothing, nor does one whose deletion leaves
the first. Knows keys, prefixes and delimiters; neither the ledger's rows nor what they mean.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from opentrail.ports import Key

ANSWERS_MAX = 8
"""Answers that are remembered; every commit is compared with each of them."""
STARTS_MIN, STARTS_MAX = 64, 4_096
"""Groups of an answer that is remembered: fewer are found again quickly, more are too many to keep."""


class Asked(NamedTuple):
    """The question, and with `end` (exclusive) where what begins with `prefix` ends."""

    prefix: Key
    after: Key
    delimiter: bytes
    limit: int
    end: Key


@dataclass(frozen=True, slots=True)
class Groups:
    """A question and its answer: the first keys of the groups, in order."""

    asked: Asked
    starts: Sequence[Key]

    def edge(self, writes: Mapping[Key, Any], keys: Iterable[Key]) -> Key | None:
        """The smallest of `keys` (all in the range asked for) whose write changes the answer; a write of None deletes.
        What is smaller in the answer holds."""
        return min((key for key in keys if self.is_changed_by(key, deleted=writes[key] is None)), default=None)

    def is_changed_by(self, key: Key, *, deleted: bool) -> bool:
        """Whether the write of a key that begins with the prefix asked for changes the answer."""
        if key < self.asked.after:
            return False
        prefix, mark = self.asked.prefix, self.asked.delimiter
        if deleted:
            place = bisect_left(self.starts, key)
            return place < len(self.starts) and self.starts[place] == key
        place = bisect_right(self.starts, key)
        if place == len(self.starts):
            return False  # in the last group, or behind it, and an answer may end sooner than it could
        if place == 0:
            return True
        first = self.starts[place - 1]
        return not key.startswith(first[: first.index(mark, len(prefix)) + len(mark)])


def in_range(asked: Asked, keys: Iterable[Key]) -> list[Key]:
    """Those of the keys that a question is about."""
    low, end = asked.prefix, asked.end
    return [key for key in keys if low <= key < end]


class GroupMemory:
    """Answers by their questions; the oldest makes room. What is accepted by the ledger MUST be told (`note`)."""

    def __init__(self) -> None:
        self.kept: dict[Asked, Groups] = {}
        self._low, self._end = b"", b""
        """All keys that the answers are about lie between these."""

    def keep(self, groups: Groups) -> None:
        """Remember an answer that is true with all that was accepted so far."""
        if STARTS_MIN <= len(groups.starts) <= STARTS_MAX:
            self.kept[groups.asked] = groups
            if len(self.kept) > ANSWERS_MAX:
                del self.kept[next(iter(self.kept))]
            self._low = min(asked.prefix for asked in self.kept)
            self._end = max(asked.end for asked in self.kept)

    def note(self, writes: Mapping[Key, Any]) -> None:
        """Forget the answers that these writes change; a write of None deletes."""
        low, end = self._low, self._end
        for key in [key for key in writes if low <= key < end]:
            deleted = writes[key] is None
            changed = [
                asked
                for asked, groups in self.kept.items()
                if key.startswith(asked.prefix) and groups.is_changed_by(key, deleted=deleted)
            ]
            for asked in changed:
                del self.kept[asked]
