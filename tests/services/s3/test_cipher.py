"""AES-256 in counter mode: the published vectors, any run of a stream, counters that run over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail.services.s3.cipher import THREAD_BYTES, DataKey, Decrypted, crypt, encrypted, new_data_key, unpack

NIST = DataKey(
    bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
    bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
)
"""SP 800-38A, F.5.5."""
PLAIN = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
CIPHERED = bytes.fromhex("601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5")


class Held:
    """A stream of given chunks."""

    def __init__(self, *chunks: bytes) -> None:
        self.length = sum(map(len, chunks))
        self.given = chunks
        self.closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self.given:
            yield chunk

    def runs(self) -> None:
        raise AssertionError("encrypted bytes must not go out as they lie")

    async def close(self) -> None:
        self.closed = True


async def together(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def test_the_published_vectors():
    assert crypt(NIST, 0, PLAIN) == CIPHERED
    assert crypt(NIST, 0, CIPHERED) == PLAIN


@given(data=st.binary(max_size=200), cut=st.integers(0, 200), high=st.booleans())
def test_any_run_is_decrypted_by_itself(data: bytes, cut: int, high: bool):
    """Also where the counter runs over its last value."""
    key = DataKey(bytes(32), b"\xff" * 16) if high else NIST
    start = min(cut, len(data))
    assert crypt(key, start, crypt(key, 0, data)[start:]) == data[start:]


@pytest.mark.parametrize("sizes", [(1, 2, 30), (0, 16, 17), (THREAD_BYTES, 5, THREAD_BYTES + 3)])
async def test_streams_are_those_bytes_whatever_their_chunks(sizes: tuple[int, ...]):
    key = new_data_key()
    chunks = [bytes([number]) * size for number, size in enumerate(sizes)]
    stored = await together(encrypted(Held(*chunks).chunks(), key))
    assert stored == crypt(key, 0, b"".join(chunks))
    offset = 17
    held = Held(*[stored[at : at + 1000] for at in range(offset, len(stored), 1000)])
    stream = Decrypted(held, key, offset)
    assert (stream.length, stream.runs()) == (len(stored) - offset, None)
    assert await together(stream.chunks()) == b"".join(chunks)[offset:]
    await stream.close()
    assert held.closed


def test_keys_are_random_and_packed():
    keys = {new_data_key() for _ in range(50)}
    assert len({key.secret for key in keys}) == len({key.counter for key in keys}) == 50
    assert all(unpack(key.pack()) == key for key in keys)


@pytest.mark.parametrize("packed", [b"", bytes(47), bytes(49)])
def test_what_is_no_key(packed: Any):
    with pytest.raises(ValueError, match="not a data key"):
        unpack(packed)
