"""Where the file engine puts its bytes, and what it does when it is interrupted."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opentrail.errors import LedgerUnavailable
from opentrail.server.clock import SystemClock
from opentrail.stores import blobs_files
from opentrail.stores.blobs_files import FileBlobs, FileRun


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def test_files_lie_in_incoming_until_kept_and_are_for_the_owner_only(tmp_path: Path):
    blobs = FileBlobs(tmp_path / "blobs", SystemClock())
    ref, _ = await blobs.put(once(b"data"))
    fresh = tmp_path / "blobs" / "incoming" / ref
    assert fresh.read_bytes() == b"data"
    assert fresh.stat().st_mode & 0o777 == 0o600
    await blobs.keep([ref])
    assert not fresh.exists()
    assert (tmp_path / "blobs" / ref[:2] / ref).read_bytes() == b"data"


async def test_a_new_start_finds_kept_and_unkept_blobs(tmp_path: Path):
    first = FileBlobs(tmp_path, SystemClock())
    (kept, _), (named, _), (orphan, _) = [await first.put(once(b"x")) for _ in range(3)]
    await first.keep([kept])
    second = FileBlobs(tmp_path, SystemClock())
    assert await second.sweep(lambda ref: ref == named) == 1
    for ref in (kept, named):
        await (await second.open(ref, 0, 1)).close()
    with pytest.raises(FileNotFoundError):
        await second.open(orphan, 0, 1)


async def test_a_cancelled_put_waits_for_its_thread_before_it_closes_the_file(tmp_path: Path, monkeypatch):
    entered, go_on = threading.Event(), threading.Event()
    alive: list[bool] = []

    def slow(file: int, _chunks: list[bytes]) -> None:
        entered.set()
        go_on.wait(60)
        alive.append(os.fstat(file).st_nlink == 1)

    monkeypatch.setattr(blobs_files, "_write_vector", slow)
    task = asyncio.ensure_future(FileBlobs(tmp_path, SystemClock()).put(once(b"data")))
    await asyncio.to_thread(entered.wait, 60)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert alive == [True]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch):
    def full(_file: int, _directory: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blobs_files, "_make_durable", full)
    with pytest.raises(LedgerUnavailable, match="No space"):
        await FileBlobs(tmp_path, SystemClock()).put(once(b"data"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_file_that_is_too_short_is_an_error_and_not_a_short_answer(tmp_path: Path):
    blobs = FileBlobs(tmp_path, SystemClock())
    ref, _ = await blobs.put(once(b"12345"))
    stream = await blobs.open(ref, 0, 6)
    with pytest.raises(EOFError):
        assert [chunk async for chunk in stream.chunks()] == [b"12345"]
    await stream.close()


async def test_runs_name_the_open_file(tmp_path: Path):
    blobs = FileBlobs(tmp_path, SystemClock())
    ref, _ = await blobs.put(once(b"0123456789"))
    stream = await blobs.open(ref, 3, 4)
    assert isinstance(stream, FileRun)
    await blobs.drop([ref])
    read = [os.pread(file, length, offset) async for file, offset, length in stream.runs()]
    assert read == [b"3456"]
    await stream.close()
