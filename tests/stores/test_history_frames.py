"""Frames of records: byte for byte back, with any dictionary, and damage told rather than shown."""

from __future__ import annotations

import random

import pytest

from opentrail.stores.history_frames import DICTIONARY_BYTES, Damaged, Packer, Unpacker, dictionary_for

RNG = random.Random(7)
COMMON = RNG.randbytes(200).hex().encode()
ALIKE = [b'{"eventName":"Call%d","id":"%x","more":"%s"}' % (n % 9, RNG.getrandbits(64), COMMON) for n in range(600)]


def frames_of(records: list[bytes], dictionary: bytes) -> list[bytes]:
    return list(map(Packer(dictionary).pack, records))


@pytest.mark.parametrize(
    "records",
    [
        [b"x"],
        [b"{}"] * 3_000,
        [RNG.randbytes(1 + n % 40) for n in range(200)],
        [RNG.randbytes(30_000) for _ in range(8)],
        ALIKE,
    ],
)
def test_records_come_back_whatever_they_are(records):
    for dictionary in (b"", dictionary_for(records), dictionary_for(ALIKE)):
        assert len(dictionary) <= DICTIONARY_BYTES
        assert list(map(Unpacker(dictionary).unpack, frames_of(records, dictionary))) == records


def test_a_dictionary_makes_frames_small():
    plain, shared = frames_of(ALIKE, b""), frames_of(ALIKE, dictionary_for(ALIKE))
    assert sum(map(len, shared)) < sum(map(len, plain)) * 0.3


def test_a_known_dictionary_is_taken_while_it_does_as_well():
    alike = [b'{"name":"Call%d","id":"%x","more":"%s"}' % (n % 9, RNG.getrandbits(64), COMMON) for n in range(2_000)]
    known = dictionary_for(alike[:1_000])
    assert dictionary_for(alike[1_000:], known) == known
    others = [b'{"unlike":"%d","%s":1}' % (n, COMMON[::-1]) for n in range(600)]
    fresh = dictionary_for(others, known)
    assert fresh != known
    assert fresh == dictionary_for(others)


def test_damage_is_never_shown_as_a_record():
    dictionary = dictionary_for(ALIKE)
    frame, unpack = frames_of(ALIKE, dictionary)[3], Unpacker(dictionary).unpack
    broken = [frame[:cut] for cut in range(len(frame))]
    for place in range(len(frame)):
        for bit in range(8):
            changed = bytearray(frame)
            changed[place] ^= 1 << bit
            broken.append(bytes(changed))
    told = 0
    for each in broken:
        try:
            assert unpack(each) == ALIKE[3]  # a bit that means nothing, or a match at another place that is alike
        except Damaged:
            told += 1
    assert told > len(broken) * 0.95


def test_a_frame_cannot_claim_the_memory_of_the_machine():
    frame = bytearray(frames_of([b"x" * 70_000], b"")[0])
    assert frame[4] >> 6 == 2, "the frame tells its size in four bytes"
    start = 5 if frame[4] & 0x20 else 6
    for size in (0xFFFFFFFF, 0):
        frame[start : start + 4] = size.to_bytes(4, "little")
        with pytest.raises(Damaged, match="size"):
            Unpacker(b"").unpack(bytes(frame))
