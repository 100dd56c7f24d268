"""Upkeep of one file of the history: small segments are merged, full ones bound into volumes, old ones dropped.

Says what there is to do and makes what is written instead; when it is done, and in which transaction, is `history_file`'s.
Merging maps lists to new ranks, and parses no record.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from itertools import groupby

from opentrail.stores.history_frames import Damaged, Unpacker
from opentrail.stores.history_segments import EVENTS_MAX, RANK_MASK, Lists, Segment, assemble, bundled
from opentrail.stores.history_tables import LISTS, SegmentRow, dictionary_of, ids_of, newest_dictionary

VOLUME_SEGMENTS = (8, 32)
"""Full segments that are bound into a small volume, and those of small ones into a large one."""
MERGED = 8
"""Segments of about one size that are merged into one."""
TIER_BASE = 8


def expired_volumes(rows: Sequence[SegmentRow], oldest: int) -> list[SegmentRow]:
    """The segments of volumes that have nothing as young as `oldest`."""
    living = {row.volume for row in rows if row.last >= oldest}
    return [row for row in rows if row.volume not in living]


def to_bind(rows: Sequence[SegmentRow]) -> list[SegmentRow]:
    """Full segments to make a volume of, loose ones or those of small volumes, the oldest first."""
    volumes: dict[int, list[SegmentRow]] = {}
    for row in rows:
        if row.volume != row.id or row.count >= EVENTS_MAX // 2:
            volumes.setdefault(row.volume, []).append(row)
    size = 1
    for bound in VOLUME_SEGMENTS:
        alike = sorted((each for each in volumes.values() if len(each) == size), key=lambda each: min(map(_age, each)))
        if len(alike) >= bound // size:
            return [row for each in alike[: bound // size] for row in each]
        size = bound
    return []


def _age(row: SegmentRow) -> tuple[int, int]:
    return row.first, row.id


def _tier(row: SegmentRow) -> int:
    tier, size = 0, row.count
    while size >= TIER_BASE:
        tier, size = tier + 1, size // TIER_BASE
    return tier


def to_merge(rows: Sequence[SegmentRow]) -> list[SegmentRow]:
    """Segments to make one of: those of a tier that has MERGED of them, or enough to fill one; the oldest, as many as
    fit."""
    tiers: dict[int, list[SegmentRow]] = {}
    for row in rows:
        if row.volume == row.id and row.count < EVENTS_MAX // 2:
            tiers.setdefault(_tier(row), []).append(row)
    for _, members in sorted(tiers.items()):
        fitting: list[SegmentRow] = []
        for row in sorted(members, key=_age):
            if sum(each.count for each in fitting) + row.count <= EVENTS_MAX:
                fitting.append(row)
        full = len(fitting) < len(members)
        if (len(members) >= MERGED or full) and len(fitting) > 1:
            return fitting
    return []


def merge(connection: sqlite3.Connection, rows: Sequence[SegmentRow]) -> Segment:
    """One segment of several that are together not too large. Records pass through one by one."""
    places = sorted(
        (time, number, source, rank)
        for source, row in enumerate(rows)
        for rank, (time, number) in enumerate(_places(connection, row))
    )
    if len(places) != sum(row.count for row in rows):
        raise Damaged("an event is missing")
    targets = [array("H", bytes(2 * row.count)) for row in rows]
    for place, (_, _, source, rank) in enumerate(places):
        targets[source][rank] = place
    lists = Lists({}, {}, [])
    for row, target in zip(rows, targets, strict=True):
        _take_lists(connection, row.id, target, lists)
    sources = [_records(connection, row) for row in rows]
    records = (next(sources[source]) for _, _, source, _ in places)
    known = newest_dictionary(connection)
    return assemble([(time, number) for time, number, _, _ in places], records, lists, known)


def _places(connection: sqlite3.Connection, row: SegmentRow) -> Iterator[tuple[int, int]]:
    return connection.execute("SELECT time, number FROM events WHERE id >= ? AND id < ? ORDER BY id", ids_of(row))


def _records(connection: sqlite3.Connection, row: SegmentRow) -> Iterator[bytes]:
    unpack = Unpacker(dictionary_of(connection, row.dictionary)).unpack
    query = "SELECT record FROM events WHERE id >= ? AND id < ? ORDER BY id"
    return (unpack(frame) for (frame,) in connection.execute(query, ids_of(row)))


def _take_lists(connection: sqlite3.Connection, segment: int, target: Sequence[int], lists: Lists) -> None:
    """Add the words of a segment that is not bound, with their ranks in the merged one."""
    for word, ranks in connection.execute("SELECT word, ranks FROM words WHERE volume = ?", (segment,)):
        lists.plain.setdefault(word, []).extend([target[rank] for rank in memoryview(ranks).cast("H")])
    for table in ("many", "long"):
        for word, ranks in connection.execute(f"SELECT word, ranks FROM {table} WHERE volume = ?", (segment,)):
            lists.many.setdefault(word, []).extend([target[rank] for rank in memoryview(ranks).cast("H")])
    for (entries,) in connection.execute("SELECT entries FROM rare WHERE volume = ?", (segment,)):
        packed = memoryview(entries).cast("Q")
        lists.rare += [entry & ~RANK_MASK | target[entry & RANK_MASK] for entry in packed]


def bind(connection: sqlite3.Connection, rows: Sequence[SegmentRow], volume: int) -> None:
    """Make one volume of several, loose segments being their own; within a transaction."""
    volumes = ",".join({str(row.volume) for row in rows})
    for table, columns in LISTS.items():
        if table == "rare":
            _bundle(connection, volumes, volume)
        else:
            query = f"INSERT INTO {table} SELECT {volume}, {columns} FROM {table} WHERE volume IN ({volumes}) ORDER BY"
            connection.execute(f"{query} {', '.join(columns.split(', ')[:2])}")
        connection.execute(f"DELETE FROM {table} WHERE volume IN ({volumes})")
    connection.execute(f"UPDATE segments SET volume = {volume} WHERE volume IN ({volumes})")


def _bundle(connection: sqlite3.Connection, volumes: str, volume: int) -> None:
    """Put the buckets of loose segments together."""
    query = f"SELECT bucket, segment, entries FROM rare WHERE volume IN ({volumes}) ORDER BY bucket, segment"
    rows = (
        (volume, bucket, *bundled([(segment, entries) for _, segment, entries in some]))
        for bucket, some in groupby(connection.execute(query), key=lambda row: row[0])
    )
    connection.executemany("INSERT INTO bundles VALUES (?, ?, ?, ?, ?)", rows)
