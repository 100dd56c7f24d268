"""The newest lines, searched as they are: what is durable and not yet in the history's index.

A look-up has to show them, and waiting for the index to be written takes longer than the look-up itself. Each line is
parsed once, when first asked for. Knows the words of a record; nothing of ledgers and files.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from opentrail.ports import HistorySearch, PastEvent, Seq
from opentrail.record.history_head import read_head
from opentrail.record.history_words import Unplaceable, found_by

LINES_MAX = 500
"""Lines that one look-up searches here; if more are not in the index yet, it waits for it."""


class _Line(msgspec.Struct, frozen=True, gc=False):
    """A line's event, and what it is found by. No words: it is no event."""

    event: PastEvent
    words: frozenset[str]


class HistoryTail:
    """Remembers the lines of the look-up before. Not for several threads at once."""

    def __init__(self) -> None:
        self._parsed: dict[Seq, _Line] = {}

    def find(self, lines: Sequence[tuple[Seq, bytes]], search: HistorySearch) -> list[PastEvent]:
        """The events of some lines that a search is for (`any_of` is not looked at), in no order."""
        before = self._parsed
        self._parsed = parsed = {seq: before.get(seq) or _parsed(seq, line) for seq, line in lines}
        wanted = frozenset(search.words)
        return [line.event for line in parsed.values() if wanted <= line.words and _within(line.event, search)]


def _parsed(seq: Seq, line: bytes) -> _Line:
    try:
        found = found_by(read_head(line))
    except (msgspec.MsgspecError, Unplaceable, UnicodeDecodeError, RecursionError):
        return _Line(PastEvent(seq, -1, line), frozenset())  # whoever writes the index tells of it
    return _Line(PastEvent(seq, found.time, line), frozenset((*found.words, *found.ids)))


def _within(event: PastEvent, search: HistorySearch) -> bool:
    if not max(search.start, 0) <= event.time <= search.end or event.seq <= search.after:
        return False
    return search.before is None or (event.time, event.seq) < search.before


def merged(kept: Sequence[PastEvent], newer: Sequence[PastEvent], limit: int) -> Sequence[PastEvent]:
    """The first of both, newest first; what has come into the index meanwhile once."""
    if not newer:
        return kept
    events = {event.seq: event for event in (*newer, *kept)}
    return sorted(events.values(), key=lambda event: (event.time, event.seq), reverse=True)[:limit]
