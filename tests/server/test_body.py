"""The body of a request between the connection and its reader."""

from __future__ import annotations

import asyncio

import pytest

from opentrail.errors import AwsError
from opentrail.server.body import BUFFER_BYTES_MAX, RequestBody


class Wire:
    """A body, and what it asks of its connection."""

    def __init__(self, length: int | None = None) -> None:
        self.asked: list[str] = []
        asks = [lambda word=word: self.asked.append(word) for word in ("pause", "resume", "proceed")]
        self.body = RequestBody(length, *asks)

    def feed(self, *chunks: bytes) -> Wire:
        for chunk in chunks:
            self.body.feed(chunk)
        return self


async def test_chunks_come_in_order_and_are_counted():
    wire = Wire().feed(b"a", b"bc")
    wire.body.finish()
    assert [chunk async for chunk in wire.body] == [b"a", b"bc"]
    assert (wire.body.received, wire.body.complete) == (3, True)


async def test_a_reader_waits_for_what_is_still_to_come():
    wire = Wire()
    reader = asyncio.ensure_future(wire.body.read_all(100))
    await asyncio.sleep(0)
    assert wire.asked == ["proceed"]
    for chunk in (b"a", b"b"):
        wire.feed(chunk)
        await asyncio.sleep(0)
    wire.body.finish()
    assert await reader == b"ab"


async def test_too_much_unread_pauses_and_reading_resumes():
    half = bytes(BUFFER_BYTES_MAX // 2)
    wire = Wire().feed(half, half)
    assert wire.asked == []
    wire.feed(b"x")
    assert wire.asked == ["pause"]
    chunks = aiter(wire.body)
    await anext(chunks)
    assert wire.asked[-1] == "proceed"
    await anext(chunks)
    assert wire.asked[-1] == "resume"


async def test_what_nobody_reads_is_let_go():
    wire = Wire().feed(bytes(BUFFER_BYTES_MAX + 1))
    wire.body.discard()
    assert wire.asked == ["pause", "resume"]
    assert wire.body._buffered == 0


@pytest.mark.parametrize("chunks", [[b"12345"], [b"123", b"45"]])
@pytest.mark.parametrize("complete", [True, False])
async def test_a_body_longer_than_allowed(chunks, complete):
    wire = Wire().feed(*chunks)
    if complete:
        wire.body.finish()
    with pytest.raises(AwsError):
        await wire.body.read_all(4)


async def test_a_declared_length_is_enough_to_refuse():
    wire = Wire(5)
    with pytest.raises(AwsError):
        await wire.body.read_all(4)
    assert wire.asked == []  # the client is not even asked to send it


@pytest.mark.parametrize("limit", [5, 6])
async def test_a_body_as_long_as_allowed(limit):
    wire = Wire(5).feed(b"123", b"45")
    wire.body.finish()
    assert await wire.body.read_all(limit) == b"12345"


async def test_an_empty_body():
    wire = Wire(0)
    wire.body.finish()
    assert await wire.body.read_all(0) == b""
    assert [chunk async for chunk in wire.body] == []


async def test_what_came_before_the_break_is_read_and_then_the_error():
    wire = Wire(10).feed(b"12345")
    wire.body.fail(AwsError("IncompleteBody"))
    wire.body.fail(AwsError("Later"))
    chunks = aiter(wire.body)
    assert await anext(chunks) == b"12345"
    with pytest.raises(AwsError) as broken:
        await anext(chunks)
    assert broken.value.code == "IncompleteBody"
    with pytest.raises(AwsError):
        await wire.body.read_all(100)


async def test_a_waiting_reader_hears_of_the_break():
    wire = Wire(10)
    reader = asyncio.ensure_future(wire.body.read_all(100))
    await asyncio.sleep(0)
    wire.body.fail(AwsError("IncompleteBody"))
    with pytest.raises(AwsError):
        await reader


async def test_a_break_after_the_end_is_none():
    wire = Wire(1).feed(b"1")
    wire.body.finish()
    wire.body.fail(AwsError("IncompleteBody"))
    assert await wire.body.read_all(10) == b"1"
