"""An answer that cannot be recorded is cut off: the client sees that it is not whole, and the connection ends."""

import asyncio
import logging

import pytest

from opentrail.call import Response
from opentrail.errors import LedgerUnavailable
from opentrail.server.edge import Edge
from opentrail.server.loops import spawn


class Stream:
    """Two chunks; counts how often it was closed."""

    length = 8

    def __init__(self):
        self.closed = 0

    async def chunks(self):
        yield b"read"
        yield b"held"

    def runs(self):
        return None

    async def close(self):
        self.closed += 1


async def refuse(_sent, _complete):
    raise LedgerUnavailable("the disk is gone")


async def asked(response):
    """All bytes that come until the server hangs up."""

    async def handle(_request):
        return response

    server = await asyncio.get_running_loop().create_server(Edge(handle, spawn).protocol, "127.0.0.1", 0)
    try:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET /b/k HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        async with asyncio.timeout(60):
            received = await reader.read()
        writer.close()
        return received
    finally:
        server.close()


async def test_a_stream_that_cannot_be_recorded_is_cut_off(caplog):
    stream = Stream()
    received = await asked(Response(200, {}, stream, seal=refuse))
    assert received.partition(b"\r\n\r\n")[2] == b"read"
    assert stream.closed == 1
    assert [record.exc_info for record in caplog.records if record.levelno >= logging.ERROR] == [None]


async def test_a_small_answer_that_cannot_be_recorded_is_not_sent():
    assert await asked(Response(200, {}, b"small", seal=refuse)) == b""


@pytest.mark.parametrize("failure", [EOFError, OSError])
async def test_a_stream_that_fails_is_cut_off(failure):
    stream = Stream()

    async def chunks():
        yield b"read"
        yield b"more"
        raise failure("gone")

    stream.chunks = chunks
    sealed = []

    async def seal(sent, complete):
        sealed.append((sent, complete))

    received = await asked(Response(200, {}, stream, seal=seal))
    assert received.partition(b"\r\n\r\n")[2] == b"read"
    assert stream.closed == 1
    assert len(sealed) == 1
    assert not sealed[0][1]
