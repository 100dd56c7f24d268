"""Object bytes in plain files under one directory; `ports.Blobs` of the embedded store.

A blob is written to `incoming/`, made durable, and moved to its place once the commit that names it is durable. So what a
crash can leave behind lies in `incoming/` alone, and sweeping at start-up looks at nothing else. Blobs are never changed.
This module knows no objects, keys or versions.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from opentrail.call import ByteStream
from opentrail.errors import LedgerUnavailable
from opentrail.ports import Clock

WRITE_BYTES = 1024 * 1024
"""Bytes gathered before a thread writes them."""
READ_BYTES = 1024 * 1024
"""Bytes read at once."""
T = TypeVar("T")
_REF_LENGTH = 26
_REF_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


class FileBlobs:
    """`ports.Blobs` on a directory. A ref is 26 random letters; the first two name its folder."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._incoming = directory / "incoming"
        self._clock = clock
        self._held: Counter[str] = Counter()
        self._dropped: set[str] = set()
        """Those of the held that are to go when they are released; after a crash the ledger tells of them."""
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def put(self, chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        ref = self._clock.token(_REF_LENGTH, _REF_ALPHABET)
        path = self._incoming / ref
        with _disk():
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            size = await _write_all(file, chunks)
            await _in_thread(_make_durable, file, self._incoming)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        return ref, size

    async def open(self, ref: str, offset: int, length: int) -> ByteStream:
        for path in (self._place(ref), self._incoming / ref, self._place(ref)):
            try:
                return FileRun(os.open(path, os.O_RDONLY | os.O_CLOEXEC), offset, length)
            except FileNotFoundError:
                continue
        raise FileNotFoundError(f"blob {ref} is named by the ledger but its file is gone")

    async def keep(self, refs: Iterable[str]) -> None:
        for ref in refs:
            self._move(ref)

    async def drop(self, refs: Iterable[str]) -> None:
        for ref in refs:
            if ref in self._held:
                self._dropped.add(ref)
            else:
                self._remove(ref)

    def hold(self, refs: Iterable[str]) -> None:
        self._held.update(refs)

    def release(self, refs: Iterable[str]) -> None:
        for ref in refs:
            self._held[ref] -= 1
            if not self._held[ref]:
                del self._held[ref]
                if ref in self._dropped:
                    self._dropped.remove(ref)
                    self._remove(ref)

    def _remove(self, ref: str) -> None:
        self._place(ref).unlink(missing_ok=True)
        (self._incoming / ref).unlink(missing_ok=True)

    async def sweep(self, referenced: Callable[[str], bool]) -> int:
        removed = 0
        for path in list(self._incoming.iterdir()):
            if referenced(path.name):
                self._move(path.name)
            else:
                path.unlink()
                removed += 1
        return removed

    def _place(self, ref: str) -> Path:
        return self._directory / ref[:2] / ref

    def _move(self, ref: str) -> None:
        place = self._place(ref)
        try:
            os.rename(self._incoming / ref, place)
        except FileNotFoundError:
            if place.parent.is_dir():
                return  # moved, or dropped, already
            place.parent.mkdir(exist_ok=True, mode=0o700)
            self._move(ref)


class FileRun:
    """A run of one file, read in threads; `call.ByteStream`."""

    def __init__(self, file: int, offset: int, length: int) -> None:
        self.length = length
        self._file = file
        self._offset = offset

    async def chunks(self) -> AsyncIterator[bytes]:
        position, end = self._offset, self._offset + self.length
        while position < end:
            data = await asyncio.to_thread(os.pread, self._file, min(READ_BYTES, end - position), position)
            if not data:
                raise EOFError("a blob is shorter than the ledger says")
            position += len(data)
            yield data

    async def runs(self) -> AsyncIterator[tuple[int, int, int]]:
        yield self._file, self._offset, self.length

    async def close(self) -> None:
        os.close(self._file)


async def _write_all(file: int, chunks: AsyncIterator[bytes]) -> int:
    size = 0
    gathered: list[bytes] = []
    waiting = 0
    async for chunk in chunks:
        gathered.append(chunk)
        waiting += len(chunk)
        if waiting >= WRITE_BYTES:
            await _in_thread(_write_vector, file, gathered)
            size += waiting
            gathered, waiting = [], 0
    if gathered:
        await _in_thread(_write_vector, file, gathered)
    return size + waiting


async def _in_thread(work: Callable[[int, T], None], file: int, argument: T) -> None:
    """Like `asyncio.to_thread`, but a caller that is cancelled still waits for the thread: the descriptor it works on is
    closed next, and its number may soon be somebody else's."""
    running = asyncio.ensure_future(asyncio.to_thread(work, file, argument))
    try:
        with _disk():
            await asyncio.shield(running)
    finally:
        if not running.done():
            await asyncio.wait([running])


@contextmanager
def _disk() -> Iterator[None]:
    """A disk that is full or fails is no defect of ours: the call did not happen, and may be tried again."""
    try:
        yield
    except OSError as error:
        raise LedgerUnavailable(f"the disk: {error.strerror or error}") from error


def _write_vector(file: int, chunks: list[bytes]) -> None:
    data = memoryview(b"".join(chunks))
    while data:
        data = data[os.write(file, data) :]


def _make_durable(file: int, directory: Path) -> None:
    """The bytes, then the directory entry that leads to them."""
    os.fdatasync(file)
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
