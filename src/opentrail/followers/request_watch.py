"""Which buckets are metered, and by which configurations: kept in memory, and read again only for those that changed.

A look costs one scan of the metered buckets' rows, of which there are none without configurations. What was counted for
configurations that are gone is forgotten on the way. Knows no line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from opentrail.errors import Conflict
from opentrail.ports import Key, Seq
from opentrail.rows.s3 import BUCKETS, CONFIGS, ObjectVersion
from opentrail.rows.s3_metering import (
    ANALYSES,
    ANALYTICS,
    COUNTS,
    DAYS,
    METERED,
    METRICS,
    TALLIES,
    export_of,
    filter_parts,
)
from opentrail.state import SCAN_PAGE, House, Unit

TURN_MATCHES = 1_000
"""Configurations for which something is counted before other work gets its turn."""
DROP_ROWS = 500
"""Rows of configurations that are gone, removed in one commit."""


class Watched(NamedTuple):
    """A configuration: its id, since which Seq it is in force, what it asks of keys and tags."""

    id: str
    since: Seq
    prefix: str
    tags: frozenset[tuple[str, str]]


class Choice:
    """The configurations of a kind, found by what keys begin with: those of other prefixes cost nothing."""

    def __init__(self, watched: Iterable[Watched]) -> None:
        self._by_prefix: dict[str, list[Watched]] = {}
        for each in watched:
            self._by_prefix.setdefault(each.prefix, []).append(each)
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix})
        self.ids = frozenset(each.id for found in self._by_prefix.values() for each in found)

    def of(self, key: str, version: ObjectVersion | None) -> Iterator[Watched]:
        """Those that count a request for the object of that key. One for no object fits those without a filter."""
        tags = frozenset(version.tags) if version is not None else frozenset()
        for length in self._lengths:
            if length > len(key):
                return
            for each in self._by_prefix.get(key[:length], ()):
                if each.tags <= tags:
                    yield each


class Plans(NamedTuple):
    """The configurations of one bucket."""

    version: Seq
    """Of the row that tells that they changed."""
    metrics: Choice
    analytics: Choice


def read_watched(unit: Unit, bucket: str, kind: str) -> Choice:
    """The configurations of a kind for which requests are counted."""
    found: list[Watched] = []
    prefix, after = CONFIGS.key(bucket, kind) + b"\0", b""
    while True:
        rows = unit.scan(prefix, after)
        for key, row in rows:
            document: dict[str, Any] = msgspec.json.decode(CONFIGS.decode(row.value).document)
            if kind == ANALYTICS and export_of(document) is None:
                continue
            start, tags = filter_parts(document.get("Filter"))
            found.append(Watched(CONFIGS.parts(key)[-1], row.version, start, frozenset(tags)))
        if len(rows) < SCAN_PAGE:
            return Choice(found)
        after = rows[-1][0]


class Watch:
    """The metered buckets by name."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.plans: dict[str, Plans] = {}

    async def look(self) -> dict[str, Plans]:
        """What is in force now. Raises LedgerUnavailable."""
        seen: set[str] = set()
        after = b""
        while True:
            rows = Unit(self._house, 0.0).scan(METERED.key(""), after)
            for key, row in rows:
                bucket = METERED.parts(key)[0]
                seen.add(bucket)
                known = self.plans.get(bucket)
                if known is None or known.version != row.version:
                    await self._read(bucket, row.version)
            if len(rows) < SCAN_PAGE:
                break
            after = rows[-1][0]
        for bucket in self.plans.keys() - seen:
            del self.plans[bucket]
        return self.plans

    async def _read(self, bucket: str, version: Seq) -> None:
        unit = Unit(self._house, 0.0)
        there = BUCKETS.get(unit, bucket) is not None
        kinds = [read_watched(unit, bucket, kind) if there else Choice(()) for kind in (METRICS, ANALYTICS)]
        self.plans[bucket] = Plans(version, *kinds)
        await self._forget(self.plans[bucket], bucket)

    async def _forget(self, plans: Plans, bucket: str) -> None:
        """Drop what belongs to configurations that are gone, and the bucket's own row if all are."""
        unit = Unit(self._house, 0.0)
        kept = plans.metrics.ids
        gone = [COUNTS.key(*key) for key, _ in COUNTS.all(unit, bucket) if key[1] not in kept]
        kept = plans.analytics.ids
        ended = {key[1] for table in (ANALYSES, TALLIES) for key, _ in table.all(unit, bucket) if key[1] not in kept}
        for id_ in ended:
            gone += [DAYS.key(*key) for key, _ in DAYS.all(unit, bucket, id_)]
            gone += [ANALYSES.key(bucket, id_), TALLIES.key(bucket, id_)]  # last, since by them the others are found
        if not plans.metrics.ids and not plans.analytics.ids:
            gone.append(METERED.key(bucket))
        for first in range(0, len(gone), DROP_ROWS):
            await self._drop(gone[first : first + DROP_ROWS], bucket, plans.version)

    async def _drop(self, keys: list[Key], bucket: str, version: Seq) -> None:
        """Provided the bucket's configurations are still those that were read; else they are read again."""
        unit = Unit(self._house, 0.0)
        for key in keys:
            unit.delete(key)
        unit.writes.reads[METERED.key(bucket)] = version
        try:
            await self._house.ledger.commit(unit.writes, ())
        except Conflict:
            self.plans.pop(bucket, None)
