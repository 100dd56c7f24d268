"""The bytes of one request, from the connection to whoever reads them, with back-pressure.

Knows the connection only through three callbacks; nothing of HTTP's syntax, AWS or files.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from opentrail.errors import AwsError

BUFFER_BYTES_MAX = 256 * 1024
"""Unread bytes of a body at which the connection stops reading."""


class RequestBody:
    """`call.Body` fed by the protocol. `proceed` sends `100 Continue` if the client waits for it."""

    __slots__ = (
        "_buffer",
        "_buffered",
        "_complete",
        "_error",
        "_pause",
        "_proceed",
        "_resume",
        "_waiter",
        "length",
        "received",
        "trailers",
    )

    def __init__(
        self, length: int | None, pause: Callable[[], None], resume: Callable[[], None], proceed: Callable[[], None]
    ) -> None:
        self.length = length
        self.received = 0
        self.trailers: Mapping[str, str] = {}
        self._buffer: deque[bytes] = deque()
        self._buffered = 0
        self._complete = False
        self._error: AwsError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pause, self._resume, self._proceed = pause, resume, proceed

    @property
    def complete(self) -> bool:
        """The last byte has come in (it may not have been read yet)."""
        return self._complete

    def feed(self, data: bytes) -> None:
        self.received += len(data)
        self._buffer.append(data)
        self._buffered += len(data)
        if self._buffered > BUFFER_BYTES_MAX:
            self._pause()
        self._wake()

    def finish(self) -> None:
        self._complete = True
        self._wake()

    def fail(self, error: AwsError) -> None:
        """The connection broke or stalled: whoever reads gets the error."""
        if not self._complete and self._error is None:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def discard(self) -> None:
        """Nobody will read the rest."""
        self._buffer.clear()
        self._buffered = 0
        self._resume()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        self._proceed()
        while True:
            if self._buffer:
                data = self._buffer.popleft()
                self._buffered -= len(data)
                if self._buffered <= BUFFER_BYTES_MAX // 2:
                    self._resume()
                yield data
            elif self._error is not None:
                raise self._error
            elif self._complete:
                return
            else:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
                self._waiter = None

    async def read_all(self, limit: int) -> bytes:
        if self.length is not None and self.length > limit:
            raise too_large()
        if self._complete and len(self._buffer) <= 1:
            data = self._buffer.popleft() if self._buffer else b""
            self._buffered = 0
            if len(data) > limit:
                raise too_large()
            return data
        parts: list[bytes] = []
        total = 0
        async for chunk in self._chunks():
            total += len(chunk)
            if total > limit:
                raise too_large()
            parts.append(chunk)
        return b"".join(parts)


def too_large() -> AwsError:
    """The body is longer than this operation takes."""
    return AwsError("MaxMessageLengthExceeded", "Your request was too big.", 400)
