"""Blocks: a few records compressed together with Zstandard, and the dictionaries that make small blocks small.

What a look-up inflates for one event is a block, so blocks are short; what their records have in common (nearly all of
them is) lies in the segment's dictionary. Arithmetic on bytes: knows neither words nor files.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice, pairwise

import zstandard

BLOCK_EVENTS = 8
"""Records compressed together: what a look-up has to inflate for one of them."""
DICTIONARY_BYTES = 16 * 1024
SAMPLES = 256
"""Records that a dictionary is made of, from all over the segment."""
SAMPLE_BYTES_MAX = 4 * 1024
"""Bytes of a record that are looked at for it."""
LEVEL_SMALL, LEVEL = 1, 3
"""Levels for segments that will soon be merged, and for those that stay."""
BLOCK_BYTES_MAX = 256 * 1024 * 1024
"""Bytes of a block's records; one that tells of more is damaged."""


class Damaged(sqlite3.DatabaseError):
    """A block is not what was written: its checksum or its form is wrong. Whoever bears a damaged file bears this."""


def dictionary_for(records: Sequence[bytes]) -> bytes:
    """What most records of a segment will have in common."""
    step = max(len(records) // SAMPLES, 1)
    samples: list[bytes | bytearray | memoryview[int]] = [record[:SAMPLE_BYTES_MAX] for record in records[::step]]
    try:
        return zstandard.train_dictionary(DICTIONARY_BYTES, samples).as_bytes()
    except zstandard.ZstdError:  # too little, or too much of the same: the records themselves serve as one
        return b"".join(samples)[-DICTIONARY_BYTES:]


class Packer:
    """Makes the blocks of one segment."""

    def __init__(self, dictionary: bytes) -> None:
        common = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        level = LEVEL if dictionary else LEVEL_SMALL
        self._compress = zstandard.ZstdCompressor(level, common, write_checksum=True, write_dict_id=False).compress

    def pack(self, records: Iterable[bytes]) -> Iterator[bytes]:
        """Blocks of BLOCK_EVENTS records each: their lengths and bytes, compressed. One record after the other is taken."""
        left = iter(records)
        while group := list(islice(left, BLOCK_EVENTS)):
            yield self._compress(b"".join((array("I", map(len, group)).tobytes(), *group)))


class Unpacker:
    """Reads the blocks of one segment. Not for several threads at once."""

    __slots__ = ("_decompress",)

    def __init__(self, dictionary: bytes) -> None:
        common = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        self._decompress = zstandard.ZstdDecompressor(common).decompress

    def unpack(self, block: bytes, count: int) -> Records:
        """The `count` records of a block. Raises Damaged."""
        try:
            if not 4 * count <= zstandard.frame_content_size(block) <= BLOCK_BYTES_MAX:
                raise Damaged("a block of records is damaged: its size is wrong")
            return Records(self._decompress(block), count)
        except (zstandard.ZstdError, MemoryError) as error:
            raise Damaged(f"a block of records is damaged: {error}") from error


class Records:
    """A block's records, cut out as they are asked for."""

    __slots__ = ("_data", "_ends")

    def __init__(self, data: bytes, count: int) -> None:
        self._data = data
        self._ends = list(accumulate(memoryview(data)[: 4 * count].cast("I"), initial=4 * count))
        if self._ends[-1] != len(data):
            raise Damaged("a block of records is damaged: it does not end where it should")

    def record(self, place: int) -> bytes:
        """One of the records."""
        return self._data[self._ends[place] : self._ends[place + 1]]

    def __iter__(self) -> Iterator[bytes]:
        return (self._data[start:end] for start, end in pairwise(self._ends))
