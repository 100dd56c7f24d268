"""Frames: each record compressed by itself with Zstandard, and the dictionaries that make that worth while.

A look-up inflates the records that it shows, and nothing beside them. What records have in common (nearly all of them is)
lies in their segment's dictionary. Arithmetic on bytes: knows neither words nor files.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import zstandard

DICTIONARY_BYTES = 16 * 1024
SAMPLES = 256
"""Records that a dictionary is made of, from all over the segment."""
SAMPLE_BYTES_MAX = 4 * 1024
"""Bytes of a record that are looked at for it."""
AS_GOOD = 1.03
"""How much more an earlier segment's dictionary may leave of other records than a new one, and be taken all the same."""
LEVEL_SMALL, LEVEL = 1, 3
"""Levels for segments that will soon be merged, and for those that stay."""
RECORD_BYTES_MAX = 256 * 1024 * 1024
"""Bytes of a record; a frame that tells of more is damaged."""


class Damaged(sqlite3.DatabaseError):
    """A record is not what was written: it is gone, or its checksum is wrong. Whoever bears a damaged file bears this."""


def dictionary_for(records: Sequence[bytes], known: bytes = b"") -> bytes:
    """What most records of a segment will have in common: `known`, an earlier segment's, if it does nearly as well. Segments
    that share one are read more quickly."""
    step = max(len(records) // SAMPLES, 1)
    made = _trained([record[:SAMPLE_BYTES_MAX] for record in records[::step]])
    others = [record[:SAMPLE_BYTES_MAX] for record in records[step // 2 :: step]]
    return known if known and _left(others, known) <= _left(others, made) * AS_GOOD else made


def _trained(samples: list[bytes]) -> bytes:
    try:
        return zstandard.train_dictionary(DICTIONARY_BYTES, list(samples)).as_bytes()
    except zstandard.ZstdError:  # too little, or too much of the same: the records themselves serve as one
        return b"".join(samples)[-DICTIONARY_BYTES:]


def _left(records: Sequence[bytes], dictionary: bytes) -> int:
    """Bytes that are left of some records."""
    return sum(map(len, map(Packer(dictionary).pack, records)))


class Packer:
    """Makes the frames of one segment."""

    def __init__(self, dictionary: bytes) -> None:
        common = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        level = LEVEL if dictionary else LEVEL_SMALL
        self.pack = zstandard.ZstdCompressor(level, common, write_checksum=True, write_dict_id=False).compress
        """A record in, its frame out."""


class Unpacker:
    """Reads the frames of one segment. Not for several threads at once."""

    __slots__ = ("_decompress",)

    def __init__(self, dictionary: bytes) -> None:
        common = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        self._decompress = zstandard.ZstdDecompressor(common).decompress

    def unpack(self, frame: bytes) -> bytes:
        """The record of a frame; none is empty. Raises Damaged."""
        try:
            if not 0 < zstandard.frame_content_size(frame) <= RECORD_BYTES_MAX:
                raise Damaged("a record is damaged: its size is wrong")
            return self._decompress(frame)
        except (zstandard.ZstdError, MemoryError) as error:
            raise Damaged(f"a record is damaged: {error}") from error
