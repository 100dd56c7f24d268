"""Writing an answer to a connection: small ones in one piece, streams with back-pressure, plain files by sendfile.

The last chunk of a sealed stream is held back until `seal` has returned: so no complete read is unrecorded.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic

from opentrail.call import ByteStream

SENDFILE_BYTES_MAX = 4 * 1024 * 1024
"""Bytes one thread sends before it gives way."""
HELD_BYTES = 16 * 1024
"""Bytes of a file held back for the seal."""
HIGH_WATER_BYTES = 512 * 1024
"""Unsent bytes at which a writer waits for its peer."""

Seal = Callable[[int, bool], Awaitable[None]] | None


class BrokenConnection(Exception):
    """The peer is gone; there is nobody left to answer."""


class Transmitter:
    """The writing side of one connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._waiting_since = 0.0

    def write(self, data: bytes) -> None:
        if self._lost:
            raise BrokenConnection
        self._transport.write(data)

    async def stream(self, head: bytes, body: ByteStream, seal: Seal) -> None:
        """Head, then the stream; sealed before its last bytes, or as broken with the bytes that went out."""
        sent = 0
        try:
            self.write(head)
            runs = None if self._transport.get_extra_info("ssl_object") else body.runs()
            try:
                if runs is None:
                    last, sent = await self._send_chunks(body.chunks())
                else:
                    last, sent = await self._send_runs(runs, body.length)
            except _Broken as broken:
                sent = broken.sent
                raise BrokenConnection from broken
            if seal is not None:
                settled, seal = seal, None
                await settled(sent + len(last), True)
            self.write(last)
        finally:
            try:
                if seal is not None:
                    await seal(sent, False)
            finally:
                await body.close()

    async def _send_chunks(self, chunks: AsyncIterator[bytes]) -> tuple[bytes, int]:
        """Everything but the last chunk; (that chunk, bytes sent)."""
        sent, held = 0, b""
        async for chunk in chunks:
            if held:
                try:
                    self.write(held)
                    await self._drained()
                except BrokenConnection as error:
                    raise _Broken(sent) from error
                sent += len(held)
            held = chunk
        return held, sent

    async def _send_runs(self, runs: AsyncIterator[tuple[int, int, int]], length: int) -> tuple[bytes, int]:
        """As `_send_chunks`, by sendfile; the last HELD_BYTES are read and handed back."""
        await self.flushed()
        peer = self._transport.get_extra_info("socket")
        out = socket.socket(fileno=os.dup(peer.fileno()))
        sent, held = 0, b""
        to_send = max(length - HELD_BYTES, 0)
        try:
            async for file, offset, size in runs:
                direct = min(size, to_send - sent)
                await self._send_file(out, file, offset, direct, sent)
                sent += direct
                if direct < size:
                    held += os.pread(file, size - direct, offset + direct)
        finally:
            out.close()
        return held, sent

    async def _send_file(self, out: socket.socket, file: int, offset: int, size: int, before: int) -> None:
        done = 0
        while done < size:
            if self._lost:
                raise _Broken(before + done)
            try:
                count = await asyncio.to_thread(_sendfile, out.fileno(), file, offset + done, size - done)
            except OSError as error:
                raise _Broken(before + done) from error
            done += count
            if done < size:
                await self._writable(out)

    async def _writable(self, out: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        self._waiting_since = monotonic()
        loop.add_writer(out.fileno(), self.resume)
        try:
            await self._waiter
        finally:
            loop.remove_writer(out.fileno())
            self._waiter, self._waiting_since = None, 0.0

    async def flushed(self) -> None:
        """Everything written so far has been handed to the kernel."""
        rounds = 0
        while not self._lost and self._transport.get_write_buffer_size():
            rounds += 1
            self._waiting_since = self._waiting_since or monotonic()
            await asyncio.sleep(0 if rounds < 10 else 0.001)
        self._waiting_since = 0.0

    async def _drained(self) -> None:
        if self._waiter is not None:
            await self._waiter

    def pause(self) -> None:
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()
            self._waiting_since = monotonic()

    def resume(self) -> None:
        self._waiting_since = 0.0
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def broken(self) -> None:
        self._lost = True
        self.resume()

    def stalled(self, now: float, seconds: float) -> bool:
        """The peer has not taken a byte for so long."""
        return bool(self._waiting_since) and now - self._waiting_since > seconds


class _Broken(Exception):
    """The peer went away after `sent` bytes of the body."""

    def __init__(self, sent: int) -> None:
        super().__init__(sent)
        self.sent = sent


def _sendfile(out: int, file: int, offset: int, size: int) -> int:
    """Send until the socket is full or the share is used up; the bytes sent, 0 when it was full at once."""
    sent = 0
    share = min(size, SENDFILE_BYTES_MAX)
    while sent < share:
        try:
            count = os.sendfile(out, file, offset + sent, share - sent)
        except BlockingIOError:
            break
        if count == 0:
            raise OSError("a blob is shorter than the ledger says")
        sent += count
    return sent
