"""An in-memory `ports.Blobs`: a dict of refs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence


class FakeStream:
    """A `call.ByteStream` over bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.length = len(data)
        self.closed = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.data:
            yield self.data

    def region(self) -> tuple[int, int] | None:
        return None

    async def close(self) -> None:
        self.closed += 1


class FakeBlobs:
    """Satisfies `ports.Blobs`. Refs are `blob-1`, `blob-2` …"""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self._next = 0

    def _add(self, data: bytes) -> tuple[str, int]:
        self._next += 1
        ref = f"blob-{self._next}"
        self.stored[ref] = data
        return ref, len(data)

    async def put(self, chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        return self._add(b"".join([chunk async for chunk in chunks]))

    async def join(self, parts: Sequence[tuple[str, int, int]]) -> tuple[str, int]:
        return self._add(b"".join(self.stored[ref][offset : offset + length] for ref, offset, length in parts))

    async def open(self, ref: str, offset: int, length: int) -> FakeStream:
        return FakeStream(self.stored[ref][offset : offset + length])

    async def drop(self, refs: Iterable[str]) -> None:
        for ref in refs:
            self.stored.pop(ref, None)

    async def sweep(self, referenced: Callable[[str], bool]) -> int:
        gone = [ref for ref in self.stored if not referenced(ref)]
        await self.drop(gone)
        return len(gone)
