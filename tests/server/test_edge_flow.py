"""Slow clients, clients that say nothing, large answers, held-back last chunks, and the end of the server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opentrail.call import Response
from opentrail.errors import AwsError
from opentrail.server import body as body_module
from opentrail.server import edge as edge_module
from opentrail.server import transmit
from tests.server.edge_house import Stream, echo, serving, unread

HOST = b"Host: localhost\r\n"
GET = b"GET /%s HTTP/1.1\r\n" + HOST + b"\r\n"
MEGABYTE = 1024 * 1024


class Sealed:
    """Notes every call of `seal`."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, bool]] = []
        self.allowed = asyncio.Event()
        self.allowed.set()

    async def seal(self, sent: int, complete: bool) -> None:
        self.calls.append((sent, complete))
        await self.allowed.wait()


class FileStream(Stream):
    """A run of one file, for sendfile; `cut` makes the file shorter than promised."""

    def __init__(self, path: Path, data: bytes, *, length: int | None = None, pieces: int = 1) -> None:
        path.write_bytes(data)
        super().__init__(data, length=len(data) if length is None else length)
        self._file = os.open(path, os.O_RDONLY)
        self._pieces = pieces

    async def runs(self) -> AsyncIterator[tuple[int, int, int]]:  # type: ignore[override]
        step = -(-self.length // self._pieces) or 1
        for offset in range(0, self.length, step):
            yield self._file, offset, min(step, self.length - offset)

    async def close(self) -> None:
        os.close(self._file)
        await super().close()


def answering(stream, sealed=None):
    async def handle(_request):
        return Response(200, {}, stream, None if sealed is None else sealed.seal)

    return handle


def make(kind: str, path: Path, data: bytes) -> Stream:
    if kind == "file":
        return FileStream(path / "blob", data)
    if kind == "pieces":
        return FileStream(path / "blob", data, pieces=7)
    return Stream(*(data[start : start + 100_000] for start in range(0, len(data), 100_000)))


KINDS = pytest.mark.parametrize("kind", ["chunks", "file", "pieces"])


@KINDS
@pytest.mark.parametrize("size", [0, 1, transmit.HELD_BYTES, transmit.HELD_BYTES + 1, 100_003, 9 * MEGABYTE])
async def test_streams_come_whole_and_are_sealed_once(kind, size, tmp_path):
    data, sealed = os.urandom(size), Sealed()
    stream = make(kind, tmp_path, data)
    async with serving(answering(stream, sealed)) as house:
        client = await house.connect()
        await client.send(GET % b"x")
        assert (await client.answer()).body == data
        await house.until(lambda: stream.closed)
        assert sealed.calls == [(size, True)]
        assert stream.closed == 1
        assert "Connection" not in (await ask_again(client)).headers


async def ask_again(client):
    """The connection is still good for a request after the stream."""
    await client.send(b"HEAD /y HTTP/1.1\r\n", HOST, b"\r\n")
    try:
        return await client.answer(bodiless=True)
    except asyncio.IncompleteReadError:
        pytest.fail("the connection was closed")


@KINDS
async def test_the_last_bytes_wait_for_the_seal(kind, tmp_path):
    data, sealed = os.urandom(200_000), Sealed()
    sealed.allowed.clear()
    async with serving(answering(make(kind, tmp_path, data), sealed)) as house:
        client = await house.connect()
        await client.send(GET % b"x")
        await client.head()
        await house.until(lambda: sealed.calls)
        held = 100_000 if kind == "chunks" else transmit.HELD_BYTES
        async with asyncio.timeout(60):
            first = await client.reader.readexactly(len(data) - held)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.reader.readexactly(1)
        sealed.allowed.set()
        async with asyncio.timeout(60):
            assert first + await client.reader.readexactly(held) == data


@KINDS
async def test_a_reader_that_goes_away_is_sealed_once_as_broken(kind, tmp_path):
    size, sealed = 40 * MEGABYTE, Sealed()
    stream = make(kind, tmp_path, bytes(size))
    async with serving(answering(stream, sealed)) as house:
        deaf = await house.deaf(GET % b"x")
        await house.hear(deaf, 100_000)
        deaf.close()
        await house.gone()
        await house.until(lambda: stream.closed)
        ((sent, complete),) = sealed.calls
        assert not complete
        assert 50_000 < sent < size
        assert stream.closed == 1


@KINDS
async def test_a_slow_reader_gets_everything_and_grows_nothing(kind, tmp_path):
    data = os.urandom(6 * MEGABYTE)
    async with serving(answering(make(kind, tmp_path, data))) as house:
        deaf = await house.deaf(GET % b"x")
        head = await house.hear(deaf, 5_000)
        (connection,) = house.edge.connections
        assert connection._transport.get_write_buffer_size() <= transmit.HIGH_WATER_BYTES + 100_000
        start = head.index(b"\r\n\r\n") + 4
        assert head[start:] + await house.hear(deaf, len(data) - len(head) + start) == data


async def test_small_answers_that_nobody_reads_do_not_pile_up():
    handled = []

    async def handle(request):
        handled.append(request.path)
        return Response(200, {}, bytes(100_000))

    async with serving(handle) as house:
        deaf = await house.deaf(b"".join(GET % (b"%d" % n) for n in range(30)))
        (connection,) = house.edge.connections
        await house.until(lambda: connection._transmit._waiter is not None)
        before = len(handled)
        assert before < 20
        assert connection._transport.get_write_buffer_size() <= transmit.HIGH_WATER_BYTES + 110_000
        received = await house.hear(deaf, 29 * 100_000)
        assert received.count(b"HTTP/1.1 200 OK") >= 28
        await house.until(lambda: len(handled) == 30)


@pytest.mark.parametrize("kind", ["chunks", "file"])
async def test_a_stream_shorter_than_it_said_ends_the_connection(kind, tmp_path):
    sealed = Sealed()
    stream: Stream = Stream(b"short", b"er", length=100_000)
    if kind == "file":
        stream = FileStream(tmp_path / "blob", b"shorter", length=100_000)
    async with serving(answering(stream, sealed)) as house:
        client = await house.connect()
        await client.send(GET % b"x")
        await client.head()
        assert len(await client.rest()) < 100
        await house.gone()
        assert [complete for _, complete in sealed.calls] == [False]
        assert stream.closed == 1


async def test_a_record_that_fails_closes_the_stream_all_the_same():
    async def fail(_sent: int, _complete: bool) -> None:
        raise ZeroDivisionError

    stream = Stream(b"a", b"b")

    async def handle(_request):
        return Response(200, {}, stream, fail)

    async with serving(handle) as house:
        client = await house.connect()
        await client.send(GET % b"x")
        await client.head()
        assert await client.rest() == b"a"
        assert stream.closed == 1


# --- uploads


async def test_an_upload_is_read_no_faster_than_it_is_used():
    taken, go_on = [], asyncio.Event()

    async def handle(request):
        async for chunk in request.body:
            taken.append(len(chunk))
            await go_on.wait()
        return Response(200, {}, b"%d" % sum(taken))

    async with serving(handle) as house:
        client = await house.connect()
        size = 30 * MEGABYTE
        client.writer.write(b"PUT /k HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size + bytes(size))
        await house.until(lambda: house.edge.connections and "body" in next(iter(house.edge.connections))._paused)
        (connection,) = house.edge.connections
        assert connection._body._buffered <= body_module.BUFFER_BYTES_MAX + 300_000
        go_on.set()
        assert (await client.answer()).body == b"%d" % size


# --- timeouts; the edge is told to look, nobody waits for the clock


@pytest.fixture
def impatient(monkeypatch):
    for name in ("HEAD_SECONDS_MAX", "STALL_SECONDS_MAX", "LINGER_SECONDS_MAX"):
        monkeypatch.setattr(edge_module, name, 0.0)


async def test_a_connection_without_a_request_is_closed(impatient):
    async with serving(echo) as house:
        client = await house.connect()
        await house.until(lambda: house.edge.connections)
        house.edge.check_timeouts()
        assert await client.rest() == b""
        await house.gone()


async def test_a_head_has_its_time_however_often_a_byte_comes(monkeypatch):
    async with serving(echo) as house:
        client = await house.connect()
        await client.send(b"GET / HTTP/1.1\r\nX")
        await house.until(lambda: house.edge.connections and next(iter(house.edge.connections))._reading_head)
        (connection,) = house.edge.connections
        connection._head_since -= edge_module.HEAD_SECONDS_MAX + 1
        await client.send(b"-")
        house.edge.check_timeouts()
        assert await client.rest() == b""


async def test_an_upload_that_stalls_is_answered_and_ended(impatient):
    async def handle(request):
        try:
            return await echo(request)
        except AwsError as error:
            return Response(error.status, {}, error.code.encode())

    async with serving(handle) as house:
        client = await house.connect()
        await client.send(b"PUT /k HTTP/1.1\r\n", HOST, b"Content-Length: 50\r\n\r\nhello")
        await house.until(lambda: house.edge.connections and next(iter(house.edge.connections))._body)
        house.edge.check_timeouts()
        answer = await client.answer()
        assert (answer.status, answer.body) == (400, b"RequestTimeout")
        assert await client.rest() == b""


@pytest.mark.parametrize("kind", ["chunks", "file"])
async def test_a_reader_that_takes_nothing_is_cut_off(impatient, kind, tmp_path):
    sealed = Sealed()
    stream = make(kind, tmp_path, bytes(40 * MEGABYTE))
    async with serving(answering(stream, sealed)) as house:
        await house.deaf(GET % b"x")
        (connection,) = house.edge.connections
        await house.until(lambda: connection._transmit._waiter is not None)
        house.edge.check_timeouts()  # what has gone out so far
        house.edge.check_timeouts()  # and since then nothing
        await house.gone()
        await house.until(lambda: stream.closed)
        assert [complete for _, complete in sealed.calls] == [False]


async def test_an_answer_nobody_fetches_does_not_hold_its_connection_for_ever(impatient):
    async def handle(_request):
        return Response(200, {}, bytes(400_000))

    async with serving(handle) as house:
        await house.deaf(GET % b"x")
        (connection,) = house.edge.connections
        await house.until(lambda: connection._transport.get_write_buffer_size())
        for _ in range(3):
            house.edge.check_timeouts()
        await house.gone()


async def test_a_slow_reader_that_takes_something_is_not_cut_off(monkeypatch, tmp_path):
    monkeypatch.setattr(edge_module, "STALL_SECONDS_MAX", 0.0)
    data = os.urandom(8 * MEGABYTE)
    async with serving(answering(make("file", tmp_path, data))) as house:
        deaf = await house.deaf(GET % b"x")
        received = 0
        while received < len(data):
            part = await house.hear(deaf, MEGABYTE)
            received += len(part)
            (connection,) = house.edge.connections
            connection.check_timeout(0.0)  # notes how far it is; time stands still
        assert received >= len(data)


async def test_a_client_that_never_stops_sending_is_cut_off_in_the_end(impatient):
    async with serving(unread) as house:
        client = await house.connect()
        await client.send(b"PUT /k HTTP/1.1\r\n", HOST, b"Content-Length: 5000000\r\n\r\n", bytes(1_000))
        assert (await client.answer()).status == 403
        await house.until(lambda: not any(each._busy for each in house.edge.connections))
        house.edge.check_timeouts()
        await house.gone()


# --- the end


async def test_at_the_end_idle_connections_close_and_busy_ones_finish():
    go_on = asyncio.Event()

    async def handle(request):
        await go_on.wait()
        return await echo(request)

    async with serving(handle) as house:
        idle, busy = await house.connect(), await house.connect()
        await busy.send(GET % b"1", GET % b"2")
        await house.until(
            lambda: any(each._busy for each in house.edge.connections) and len(house.edge.connections) == 2
        )
        house.edge.drain()
        assert await idle.rest() == b""
        go_on.set()
        answer = await busy.answer()
        assert (answer.body, answer.headers["Connection"]) == (b"GET /1? ", "close")
        assert await busy.rest() == b""
        await house.gone()


async def test_after_the_end_nobody_is_let_in():
    async with serving(echo) as house:
        house.edge.drain()
        client = await house.connect()
        assert await client.rest() == b""
        await house.gone()
