"""Writing an answer to a connection: small ones in one piece, streams with back-pressure, plain files by sendfile.

The last chunk of a sealed stream is held back until `seal` has returned: so no complete read is unrecorded.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

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
        self._handed_on = 0
        self._sent = 0
        self._seen = (0, 0)
        self._seen_at = 0.0

    def write(self, data: bytes) -> None:
        if self._lost:
            raise BrokenConnection
        self._transport.write(data)
        self._handed_on += len(data)

    async def stream(self, head: bytes, body: ByteStream, seal: Seal) -> None:
        """Head, then the stream; sealed before its last bytes, or as broken with the bytes that went out. Raises EOFError
        if the stream has another length than it said: the connection is of no use afterwards."""
        self._sent = 0
        try:
            self.write(head)
            runs = None if self._transport.get_extra_info("ssl_object") else body.runs()
            last = await (self._send_chunks(body.chunks()) if runs is None else self._send_runs(runs, body.length))
            if self._sent + len(last) != body.length:
                raise EOFError(f"a stream of {body.length} bytes ended after {self._sent + len(last)}")
            if seal is not None:
                settled, seal = seal, None
                await settled(body.length, True)
            self.write(last)
        finally:
            try:
                if seal is not None:
                    await seal(self._sent, False)
            finally:
                await body.close()

    async def stream_unmeasured(self, head: bytes, body: ByteStream, seal: Seal, *, chunked: bool) -> None:
        """As `stream`, of a body whose length nobody knows yet; each piece framed as a chunk of HTTP/1.1 if `chunked`.
        Without its last piece and the empty chunk, which are held back, no client takes the answer for complete."""
        self._sent = 0
        held = b""
        try:
            self.write(head)
            async for piece in body.chunks():
                if held:
                    self.write(_framed(held, chunked))
                    self._sent += len(held)
                    await self.drained()
                held = piece
            if seal is not None:
                settled, seal = seal, None
                await settled(self._sent + len(held), True)
            self.write(_framed(held, chunked) + (b"0\r\n\r\n" if chunked else b""))
        finally:
            try:
                if seal is not None:
                    await seal(self._sent, False)
            finally:
                await body.close()

    async def _send_chunks(self, chunks: AsyncIterator[bytes]) -> bytes:
        """Everything but the last chunk, which is handed back."""
        held = b""
        async for chunk in chunks:
            if held:
                self.write(held)
                self._sent += len(held)
                await self.drained()
            held = chunk
        return held

    async def _send_runs(self, runs: AsyncIterator[tuple[int, int, int]], length: int) -> bytes:
        """As `_send_chunks`, by sendfile; the last HELD_BYTES are read and handed back."""
        await self.flushed()
        if self._lost:
            raise BrokenConnection
        peer = self._transport.get_extra_info("socket")
        out = socket.socket(fileno=os.dup(peer.fileno()))
        held = b""
        to_send = max(length - HELD_BYTES, 0)
        try:
            async for file, offset, size in runs:
                direct = min(size, to_send - self._sent)
                await self._send_file(out, file, offset, direct)
                if direct < size:
                    held += os.pread(file, size - direct, offset + direct)
        finally:
            out.close()
        return held

    async def _send_file(self, out: socket.socket, file: int, offset: int, size: int) -> None:
        done = 0
        while done < size:
            if self._lost:
                raise BrokenConnection
            try:
                count = await asyncio.to_thread(_sendfile, out.fileno(), file, offset + done, size - done)
            except ConnectionError as error:
                raise BrokenConnection from error
            done += count
            self._sent += count
            self._handed_on += count
            if done < size:
                await self._writable(out)

    async def _writable(self, out: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        loop.add_writer(out.fileno(), self.resume)
        try:
            await self._waiter
        finally:
            loop.remove_writer(out.fileno())
            self._waiter = None

    async def flushed(self) -> None:
        """Everything written so far has been handed to the kernel."""
        rounds = 0
        while not self._lost and self._transport.get_write_buffer_size():
            rounds += 1
            await asyncio.sleep(0 if rounds < 10 else 0.001)

    async def drained(self) -> None:
        """So little is unsent that more may be written."""
        if self._waiter is not None:
            await self._waiter

    def pause(self) -> None:
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def broken(self) -> None:
        self._lost = True
        self.resume()

    def stalled(self, now: float, seconds: float) -> bool:
        """There is something to send, and the peer has not taken a byte of it for so long. Asked every few seconds; a
        slow peer that takes some now and then is not stalled."""
        unsent = self._transport.get_write_buffer_size()
        seen = (unsent, self._handed_on)
        if seen != self._seen or not (unsent or self._waiter is not None):
            self._seen, self._seen_at = seen, now
            return False
        return now - self._seen_at > seconds


def _framed(piece: bytes, chunked: bool) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece) if chunked and piece else piece


def _sendfile(out: int, file: int, offset: int, size: int) -> int:
    """Send until the socket is full or the share is used up; the bytes sent, 0 when it was full at once."""
    sent = 0
    share = min(size, SENDFILE_BYTES_MAX)
    while sent < share:
        try:
            count = os.sendfile(out, file, offset + sent, share - sent)
        except BlockingIOError:
            break
        except ConnectionError:
            if sent:
                break  # those bytes went out; the next try says it again
            raise
        if count == 0:
            raise EOFError("a blob is shorter than the ledger says")
        sent += count
    return sent
