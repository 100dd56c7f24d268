"""Segments: up to 32,768 events in order of (time, number), each record compressed, and for each word its events.

An event's place in its segment is its rank, so what a word costs an event is two bytes. Everything here is arithmetic on
bytes; `history_file` keeps the parts in SQLite. Three forms of a word's list: plain words (`record.history_words.COUNTED`)
keep their text, so that they can be counted; of the others a keyed hash is kept, in a row of its own when it has more than
RARE_MAX events, else packed with its neighbours into a bucket, eight bytes an event.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from opentrail.record.history_words import COUNTED
from opentrail.stores.history_frames import Packer, dictionary_for

EVENTS_MAX = 32_768
"""Events of a segment: ranks fit into two bytes."""
RARE_MAX = 4
"""Events of a word that has no row of its own."""
DICTIONARY_EVENTS = 2_048
"""Segments of so many events carry a compression dictionary, made of some of their records."""
HASH_BITS = 48
BUCKET_SHIFT = 36
"""A bucket of rare words is a hash without so many of its bits: there are 4,096."""
RANK_BITS = 16
RANK_MASK = (1 << RANK_BITS) - 1
TIMES_STEP = 64
"""Of every so many events one's time is kept together with the others', so that a moment's place is found at once."""


class Entry(msgspec.Struct, frozen=True, order=True, gc=False):
    """One event to keep. `time` is epoch seconds; `number` tells events of one second apart and never changes."""

    time: int
    number: int
    record: bytes
    words: tuple[str, ...]
    """Those that many events share."""
    ids: tuple[str, ...] = ()
    """Those that few do."""


@dataclass(slots=True)
class Lists:
    """Ranks by word: of plain words by their text, of the others by their hash, or packed with it (hash, rank)."""

    plain: dict[str, list[int]]
    many: dict[int, list[int]]
    rare: list[int]

    def settle(self) -> None:
        """Put every hash into one place: into `many` if more than RARE_MAX events have it. All lists ascend then."""
        entries = self.rare
        entries.sort()
        pairs = zip(entries, entries[RARE_MAX:], strict=False)
        crowded = {one >> RANK_BITS for one, other in pairs if one >> RANK_BITS == other >> RANK_BITS}
        crowded.update(self.many)
        self.rare = [entry for entry in entries if entry >> RANK_BITS not in crowded]
        if len(self.rare) < len(entries):
            for entry in entries:
                if entry >> RANK_BITS in crowded:
                    self.many.setdefault(entry >> RANK_BITS, []).append(entry & RANK_MASK)
        for ranks in (*self.plain.values(), *self.many.values()):
            ranks.sort()

    def packed_rare(self) -> list[tuple[int, bytes]]:
        """(bucket, entries) of the rare ones."""
        entries = self.rare
        packed, start = [], 0
        while start < len(entries):
            bucket = entries[start] >> (RANK_BITS + BUCKET_SHIFT)
            end = bisect_left(entries, (bucket + 1) << (RANK_BITS + BUCKET_SHIFT), start)
            packed.append((bucket, array("Q", entries[start:end]).tobytes()))
            start = end
        return packed


class Segment(msgspec.Struct, array_like=True):
    """A segment's parts, ready to be stored, or to be sent to who stores them."""

    count: int
    first: int
    last: int
    low: int
    high: int
    """Times and numbers from, to."""
    dictionary: bytes
    places: list[tuple[int, int]]
    """(time, number) of each event, in order."""
    frames: list[bytes]
    """Its record."""
    words: list[tuple[str, bytes]]
    many: list[tuple[int, bytes]]
    rare: list[tuple[int, bytes]]


class Hasher:
    """Hashes of words, keyed so that nobody can choose words that share one."""

    def __init__(self, key: bytes) -> None:
        self._base = hashlib.blake2b(key, digest_size=HASH_BITS // 8)

    def __call__(self, word: str) -> int:
        state = self._base.copy()
        state.update(word.encode("utf-8", "surrogatepass"))
        return int.from_bytes(state.digest())


def build(entries: Sequence[Entry], hasher: Hasher, known: bytes = b"") -> Segment:
    """A segment of 1 to EVENTS_MAX entries, in any order. `known`: another segment's dictionary."""
    ordered = sorted(entries, key=lambda entry: (entry.time, entry.number))
    by_word: defaultdict[str, list[int]] = defaultdict(list)
    rare: list[int] = []
    for rank, entry in enumerate(ordered):
        for word in entry.words:
            by_word[word].append(rank)
        rare += [hasher(word) << RANK_BITS | rank for word in entry.ids]
    lists = Lists({}, {}, rare)
    for word, ranks in by_word.items():
        if word[0] in COUNTED:
            lists.plain[word] = ranks
        elif len(ranks) > RARE_MAX:
            lists.many[hasher(word)] = ranks
        else:
            hashed = hasher(word) << RANK_BITS
            rare += [hashed | rank for rank in ranks]
    places = [(entry.time, entry.number) for entry in ordered]
    return assemble(places, (entry.record for entry in ordered), lists, known)


def assemble(places: list[tuple[int, int]], records: Iterable[bytes], lists: Lists, known: bytes) -> Segment:
    """A segment of (time, number) pairs in order, their records in the same order, and their words."""
    numbers = [number for _, number in places]
    dictionary = b""
    if len(places) >= DICTIONARY_EVENTS:
        records = list(records)
        dictionary = dictionary_for(records, known)
    frames = list(map(Packer(dictionary).pack, records))
    lists.settle()
    words = [(word, _packed(ranks)) for word, ranks in sorted(lists.plain.items())]
    many = [(word, _packed(ranks)) for word, ranks in sorted(lists.many.items())]
    bounds = (len(places), places[0][0], places[-1][0], min(numbers), max(numbers))
    return Segment(*bounds, dictionary, places, frames, words, many, lists.packed_rare())


def _packed(ranks: Sequence[int]) -> bytes:
    return array("H", ranks).tobytes()


def packed_times(places: Sequence[tuple[int, int]]) -> bytes:
    """The time of every TIMES_STEPth event."""
    return array("I", [time for time, _ in places[::TIMES_STEP]]).tobytes()


def times_of(packed: bytes) -> Sequence[int]:
    """What `packed_times` packed."""
    return memoryview(packed).cast("I")


def ranks_of(packed: bytes) -> Sequence[int]:
    """A word's ranks from its row."""
    return memoryview(packed).cast("H")


def bundled(buckets: Sequence[tuple[int, bytes]]) -> tuple[int, bytes, bytes]:
    """(segment, entries) of a bucket of several segments put together: (the first segment, parts, entries)."""
    parts = array("Q", [number for segment, entries in buckets for number in (segment, len(entries))])
    return buckets[0][0], parts.tobytes(), b"".join([entries for _, entries in buckets])


def part_of(segment: int, parts: bytes, entries: bytes) -> bytes:
    """A segment's entries of what `bundled` put together."""
    numbers = memoryview(parts).cast("Q")
    start = 0
    for number, size in zip(numbers[::2], numbers[1::2], strict=True):
        if number == segment:
            return entries[start : start + size]
        start += size
    return b""


def rare_pattern(word: int) -> bytes:
    """The bytes of a hash in its entries."""
    return word.to_bytes(HASH_BITS // 8, "little")


def rare_ranks(entries: bytes, word: int) -> list[int]:
    """A hash's ranks from its bucket. Most buckets do not have it, and searching bytes is the quickest way to see that."""
    return [_rank_at(entries, place) for place in _places_of(entries, word)]


def bundled_ranks(parts: bytes, entries: bytes, word: int) -> dict[int, list[int]]:
    """A hash's ranks by segment, from a bucket that `bundled` put together."""
    found: dict[int, list[int]] = {}
    numbers = memoryview(parts).cast("Q")
    part, end = 0, numbers[1]
    for place in _places_of(entries, word):
        while place >= end:
            part += 2
            end += numbers[part + 1]
        found.setdefault(numbers[part], []).append(_rank_at(entries, place))
    return found


def _places_of(entries: bytes, word: int) -> list[int]:
    """Where a hash lies in entries."""
    wanted = rare_pattern(word)
    places = []
    place = entries.find(wanted)
    while place >= 0:
        if place % 8 == RANK_BITS // 8:
            places.append(place)
        place = entries.find(wanted, place + 1)
    return places


def _rank_at(entries: bytes, place: int) -> int:
    return int.from_bytes(entries[place - 2 : place], "little")
