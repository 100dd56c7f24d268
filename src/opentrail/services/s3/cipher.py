"""AES-256 in counter mode over object bytes: data keys, and streams that are encrypted and decrypted as they pass.

Every run of bytes that is stored (an object's, or one part's of a multipart upload) has a data key and a first counter
block of its own, both random, so no key stream is ever used twice. Counter mode, because a range read must decrypt what
it gives and nothing before: GCM yields no byte that may be trusted before the whole run was read, its tag would have to be
kept for each chunk, and one key covers 64 GiB at most. Integrity is not its task here: ETags and checksums are of the
plain bytes, and the row that names the blob carries its key. This module knows no objects, headers or places of keys.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from opentrail.call import ByteStream

KEY_BYTES = 32
BLOCK_BYTES = 16
THREAD_BYTES = 256 * 1024
"""Chunks of this size and more are worked on in a thread; smaller ones take less than the way there and back."""
_COUNTERS = 1 << (8 * BLOCK_BYTES)


class DataKey(NamedTuple):
    """What one run of bytes is encrypted with: an AES-256 key and the first counter block."""

    secret: bytes
    counter: bytes
    second: tuple[bytes, bytes] | None = None
    """The same of a second layer, under the first."""

    def pack(self) -> bytes:
        return self.secret + self.counter + (b"" if self.second is None else b"".join(self.second))


def new_data_key(*, twice: bool = False) -> DataKey:
    """A random key, of two independent layers if `twice`."""
    second = (os.urandom(KEY_BYTES), os.urandom(BLOCK_BYTES)) if twice else None
    return DataKey(os.urandom(KEY_BYTES), os.urandom(BLOCK_BYTES), second)


def unpack(packed: bytes) -> DataKey:
    """The key that `DataKey.pack` gave; raises ValueError for anything else."""
    layer = KEY_BYTES + BLOCK_BYTES
    if len(packed) not in (layer, 2 * layer):
        raise ValueError("not a data key")
    second = packed[layer:]
    below = (second[:KEY_BYTES], second[KEY_BYTES:]) if second else None
    return DataKey(packed[:KEY_BYTES], packed[KEY_BYTES:layer], below)


def crypt(key: DataKey, offset: int, data: bytes) -> bytes:
    """Encrypt or decrypt (the same in counter mode) the bytes that lie at `offset` of their run."""
    return _context(key, offset).update(data)


class _Twice:
    """Two layers, one after the other: in counter mode their order makes no difference."""

    def __init__(self, first: CipherContext, second: CipherContext) -> None:
        self._first = first
        self._second = second

    def update(self, data: bytes) -> bytes:
        return self._second.update(self._first.update(data))


def _context(key: DataKey, offset: int) -> CipherContext | _Twice:
    """A cipher that stands at `offset` bytes of the run."""
    first = _layer(key.secret, key.counter, offset)
    return first if key.second is None else _Twice(first, _layer(*key.second, offset))


def _layer(secret: bytes, start: bytes, offset: int) -> CipherContext:
    blocks, within = divmod(offset, BLOCK_BYTES)
    counter = (int.from_bytes(start, "big") + blocks) % _COUNTERS
    context = Cipher(AES(secret), CTR(counter.to_bytes(BLOCK_BYTES, "big"))).encryptor()
    if within:
        context.update(bytes(within))
    return context


async def _worked(context: CipherContext | _Twice, chunk: bytes) -> bytes:
    if len(chunk) < THREAD_BYTES:
        return context.update(chunk)
    return await asyncio.to_thread(context.update, chunk)


async def encrypted(chunks: AsyncIterator[bytes], key: DataKey) -> AsyncIterator[bytes]:
    """The stream as it is to be stored. Holds one chunk at a time."""
    context = _context(key, 0)
    async for chunk in chunks:
        yield await _worked(context, chunk)


class Decrypted:
    """A run of encrypted bytes as they were before, from `offset` of their blob on; `call.ByteStream`."""

    def __init__(self, stream: ByteStream, key: DataKey, offset: int) -> None:
        self.length = stream.length
        self._stream = stream
        self._context = _context(key, offset)

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream.chunks():
            yield await _worked(self._context, chunk)

    def runs(self) -> None:
        """The bytes do not lie in files as they are."""

    async def close(self) -> None:
        await self._stream.close()
