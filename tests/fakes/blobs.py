"""An in-memory `ports.Blobs`: a dict of refs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable


class FakeStream:
    """A `call.ByteStream` over bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.length = len(data)
        self.closed = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.data:
            yield self.data

    def runs(self) -> None:
        return None

    async def close(self) -> None:
        self.closed += 1


class FakeBlobs:
    """Satisfies `ports.Blobs`. Refs are `blob-1`, `blob-2` …; `kept` are those a durable commit names."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.kept: set[str] = set()
        self.held: Counter[str] = Counter()
        self._late: set[str] = set()
        self._next = 0

    async def put(self, chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        data = b"".join([chunk async for chunk in chunks])
        self._next += 1
        ref = f"blob-{self._next}"
        self.stored[ref] = data
        return ref, len(data)

    async def open(self, ref: str, offset: int, length: int) -> FakeStream:
        return FakeStream(self.stored[ref][offset : offset + length])

    async def drop(self, refs: Iterable[str]) -> None:
        for ref in refs:
            if self.held[ref]:
                self._late.add(ref)
            else:
                self.stored.pop(ref, None)
                self.kept.discard(ref)

    def hold(self, refs: Iterable[str]) -> None:
        self.held.update(refs)

    def release(self, refs: Iterable[str]) -> None:
        self.held.subtract(refs)
        for ref in [ref for ref in self._late if not self.held[ref]]:
            self._late.discard(ref)
            self.stored.pop(ref, None)
            self.kept.discard(ref)

    async def keep(self, refs: Iterable[str]) -> None:
        self.kept |= {ref for ref in refs if ref in self.stored}

    async def sweep(self, referenced: Callable[[str], bool]) -> int:
        gone = [ref for ref in self.stored if ref not in self.kept and not referenced(ref)]
        await self.drop(gone)
        return len(gone)
