"""The head of an answer, and the connection's one task."""

import asyncio

import pytest

from opentrail.call import Response
from opentrail.server.edge import Edge
from opentrail.server.loops import spawn


async def exchanged(handle, *pieces):
    """All bytes that come back for pieces sent one after the other, each once there was an answer to the one before."""
    server = await asyncio.get_running_loop().create_server(Edge(handle, spawn).protocol, "127.0.0.1", 0)
    received = b""
    try:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for piece in pieces:
            writer.write(piece)
            async with asyncio.timeout(60):
                received += await reader.read(65_536)
        writer.close()
        return received
    finally:
        server.close()


GET = b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0"])
@pytest.mark.parametrize("place", ["name", "value"])
async def test_no_header_ends_its_own_line(end, place):
    hostile = f"a{end}Set-Cookie: b"
    headers = {hostile: "v"} if place == "name" else {"x-amz-meta-a": hostile}

    async def handle(_request):
        return Response(200, {"ETag": '"e"', **headers}, b"body")

    head = (await exchanged(handle, GET % 1)).partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert not [line for line in head if line.startswith(b"Set-Cookie")]
    assert [line for line in head if b"Set-Cookie" in line]
    assert b"\n" not in b"".join(head)
    assert b"\0" not in b"".join(head)


async def test_one_task_answers_everything_in_order():
    tasks = set()

    async def handle(request):
        tasks.add(asyncio.current_task())
        await asyncio.sleep(0)
        return Response(200, {}, request.path.encode())

    received = await exchanged(handle, GET % 1, GET % 2, GET % 3 + GET % 4)
    answers = [part[:2] for part in received.split(b"\r\n\r\n")[1:]]
    assert answers[:3] == [b"/1", b"/2", b"/3"]
    assert len(tasks) == 1
