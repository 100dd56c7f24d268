"""What every `ports.Blobs` MUST do, in the words of the port, on every engine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from opentrail.call import ByteStream
from opentrail.server.clock import SystemClock
from opentrail.stores.blobs_files import FileBlobs
from tests.fakes.blobs import FakeBlobs


@pytest.fixture(params=["fake", "files"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return FakeBlobs() if request.param == "fake" else FileBlobs(tmp_path / "blobs", SystemClock())


async def chunked(data: bytes, size: int = 1_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def content(stream: ByteStream) -> bytes:
    data = b"".join([chunk async for chunk in stream.chunks()])
    assert len(data) == stream.length
    await stream.close()
    return data


async def whole(blobs: Any, ref: str, size: int) -> bytes:
    return await content(await blobs.open(ref, 0, size))


async def left(blobs: Any, candidates: list[str]) -> list[str]:
    """Which of these can still be opened."""
    found = []
    for ref in candidates:
        try:
            stream = await blobs.open(ref, 0, 0)
        except (KeyError, FileNotFoundError):
            continue
        await stream.close()
        found.append(ref)
    return found


@pytest.mark.parametrize("size", [0, 1, 999, 1024 * 1024, 3 * 1024 * 1024 + 7])
async def test_what_was_put_is_read_back(blobs, size):
    data = os.urandom(size)
    ref, stored = await blobs.put(chunked(data, 70_000))
    assert stored == size
    assert await whole(blobs, ref, size) == data


async def test_every_put_has_a_ref_of_its_own(blobs):
    refs = [(await blobs.put(chunked(b"same")))[0] for _ in range(20)]
    assert len(set(refs)) == 20


async def test_a_range_of_a_blob(blobs):
    data = os.urandom(10_000)
    ref, _ = await blobs.put(chunked(data))
    for offset, length in ((0, 1), (9_999, 1), (5_000, 0), (10_000, 0), (123, 4_567)):
        assert await content(await blobs.open(ref, offset, length)) == data[offset : offset + length]


async def test_a_blob_is_readable_before_and_after_it_is_kept(blobs):
    ref, size = await blobs.put(chunked(b"data"))
    assert await whole(blobs, ref, size) == b"data"
    await blobs.keep([ref])
    assert await whole(blobs, ref, size) == b"data"
    await blobs.keep([ref])
    assert await whole(blobs, ref, size) == b"data"


async def test_held_blobs_can_be_opened_until_the_last_release_however_often_they_are_dropped(blobs):
    (gone, _), (stays, _) = [await blobs.put(chunked(b"data")) for _ in range(2)]
    await blobs.keep([gone, stays])
    blobs.hold([gone, stays])
    blobs.hold([gone])
    await blobs.drop([gone])
    await blobs.drop([gone])
    assert await whole(blobs, gone, 4) == b"data"
    blobs.release([gone, stays])
    assert await whole(blobs, gone, 4) == b"data"
    blobs.release([gone])
    with pytest.raises((FileNotFoundError, KeyError)):
        await blobs.open(gone, 0, 4)
    assert await whole(blobs, stays, 4) == b"data"


async def test_a_blob_named_twice_in_one_hold_is_released_with_it(blobs):
    ref, _ = await blobs.put(chunked(b"data"))
    blobs.hold([ref, ref])
    await blobs.drop([ref])
    blobs.release([ref, ref])
    with pytest.raises((FileNotFoundError, KeyError)):
        await blobs.open(ref, 0, 4)


class Broke(Exception):
    pass


async def breaking(data: bytes) -> AsyncIterator[bytes]:
    yield data
    raise Broke


@pytest.mark.parametrize("size", [0, 10, 2 * 1024 * 1024])
async def test_a_stream_that_breaks_leaves_nothing(blobs, tmp_path, size):
    with pytest.raises(Broke):
        await blobs.put(breaking(bytes(size)))
    assert await blobs.sweep(lambda ref: False) == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_put_that_is_cancelled_leaves_nothing(blobs, tmp_path):
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1024 * 1024)
            started.set()

    task = asyncio.ensure_future(blobs.put(endless() if isinstance(blobs, FileBlobs) else stuck(started)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def stuck(started: asyncio.Event) -> AsyncIterator[bytes]:
    """A stream that a memory engine does not gather for ever."""
    yield b"x"
    started.set()
    await asyncio.Event().wait()


async def test_dropped_blobs_are_gone_and_unknown_ones_ignored(blobs):
    kept, _ = await blobs.put(chunked(b"kept"))
    gone, _ = await blobs.put(chunked(b"gone"))
    fresh, _ = await blobs.put(chunked(b"fresh"))
    await blobs.keep([kept, gone])
    await blobs.drop([gone, fresh, gone, "nosuchblob"])
    assert await left(blobs, [kept, gone, fresh]) == [kept]
    await blobs.keep([gone])  # a late keep of what was dropped meanwhile
    assert await left(blobs, [kept, gone, fresh]) == [kept]


@pytest.mark.parametrize("keep_first", [True, False])
async def test_an_open_run_stays_readable_after_the_drop(blobs, keep_first):
    data = os.urandom(3_000_000)
    ref, size = await blobs.put(chunked(data, 500_000))
    if keep_first:
        await blobs.keep([ref])
    stream = await blobs.open(ref, 0, size)
    await blobs.drop([ref])
    assert await content(stream) == data


async def test_sweeping_removes_what_no_commit_names(blobs):
    kept, named, orphan = [(await blobs.put(chunked(name)))[0] for name in (b"1", b"2", b"3")]
    await blobs.keep([kept])
    assert await blobs.sweep(lambda ref: ref in (kept, named)) == 1
    assert await left(blobs, [kept, named, orphan]) == [kept, named]
    assert await blobs.sweep(lambda ref: ref in (kept, named)) == 0
    assert await whole(blobs, named, 1) == b"2"


async def test_many_puts_at_once(blobs):
    async def one(n: int) -> bytes:
        ref, size = await blobs.put(chunked(b"%d" % n * 1_000, 97))
        await blobs.keep([ref])
        return await whole(blobs, ref, size)

    assert await asyncio.gather(*(one(n) for n in range(30))) == [b"%d" % n * 1_000 for n in range(30)]
