"""Blocks of records: byte for byte back, with any dictionary, and damage told rather than shown."""

from __future__ import annotations

import random

import pytest

from opentrail.stores.history_blocks import (
    BLOCK_EVENTS,
    DICTIONARY_BYTES,
    Damaged,
    Packer,
    Unpacker,
    dictionary_for,
)

RNG = random.Random(7)
COMMON = RNG.randbytes(200).hex().encode()
ALIKE = [b'{"eventName":"Call%d","id":"%x","more":"%s"}' % (n % 9, RNG.getrandbits(64), COMMON) for n in range(600)]


def blocks_of(records: list[bytes], dictionary: bytes) -> list[bytes]:
    return list(Packer(dictionary).pack(iter(records)))


@pytest.mark.parametrize(
    "records",
    [
        [b""],
        [b"{}"] * 3_000,
        [RNG.randbytes(n % 40) for n in range(BLOCK_EVENTS * 3 + 1)],
        [RNG.randbytes(30_000) for _ in range(BLOCK_EVENTS)],
        ALIKE,
    ],
)
def test_records_come_back_whatever_they_are(records):
    for dictionary in (b"", dictionary_for(records), dictionary_for(ALIKE)):
        assert len(dictionary) <= DICTIONARY_BYTES
        unpack, found = Unpacker(dictionary).unpack, []
        for block in blocks_of(records, dictionary):
            count = min(BLOCK_EVENTS, len(records) - len(found))
            inside = unpack(block, count)
            assert [inside.record(place) for place in range(count)] == list(inside)
            found += inside
        assert found == records


def test_a_dictionary_makes_small_blocks_small():
    plain, shared = blocks_of(ALIKE, b""), blocks_of(ALIKE, dictionary_for(ALIKE))
    assert sum(map(len, shared)) < sum(map(len, plain)) * 0.7


def test_damage_is_never_shown_as_a_record():
    dictionary = dictionary_for(ALIKE)
    block, unpack = blocks_of(ALIKE, dictionary)[3], Unpacker(dictionary).unpack
    right = list(unpack(block, BLOCK_EVENTS))
    broken = [block[:cut] for cut in range(len(block))]
    for place in range(len(block)):
        changed = bytearray(block)
        changed[place] ^= 1 << RNG.randrange(8)
        broken.append(bytes(changed))
    told = 0
    for each in broken:
        try:
            assert list(unpack(each, BLOCK_EVENTS)) == right  # a bit that means nothing
        except Damaged:
            told += 1
    assert told >= len(broken) - 2


def test_a_block_cannot_claim_the_memory_of_the_machine():
    block = bytearray(blocks_of([b"x" * 70_000], b"")[0])
    assert block[4] >> 6 == 2, "the frame tells its size in four bytes"
    start = 5 if block[4] & 0x20 else 6
    block[start : start + 4] = (0xFFFFFFFF).to_bytes(4, "little")
    with pytest.raises(Damaged, match="size"):
        Unpacker(b"").unpack(bytes(block), 1)
    for count in (2, 20_000):
        with pytest.raises(Damaged):
            Unpacker(b"").unpack(blocks_of([b"x" * 70_000], b"")[0], count)
