"""HTTP/1.1 as clients and attackers speak it, on a real socket."""

from __future__ import annotations

import asyncio

import pytest

from opentrail.call import Response
from opentrail.errors import AwsError
from tests.server.edge_house import Stream, echo, serving, unread

HOST = b"Host: localhost\r\n"
GET = b"GET /%s HTTP/1.1\r\n" + HOST + b"\r\n"


async def test_a_connection_answers_one_request_after_the_other():
    async with serving(echo) as house:
        client = await house.connect()
        for n in range(5):
            await client.send(b"PUT /k%d?a=%d HTTP/1.1\r\n" % (n, n), HOST, b"Content-Length: 3\r\n\r\nabc")
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, b"PUT /k%d?a=%d abc" % (n, n))
            assert "Connection" not in answer.headers
        assert len(house.edge.connections) == 1


async def test_pipelined_requests_are_answered_in_their_order():
    started: list[str] = []

    async def slow_first(request):
        started.append(request.path)
        if request.path == "/0":
            await asyncio.sleep(0.01)
        return Response(200, {}, request.path.encode())

    async with serving(slow_first) as house:
        client = await house.connect()
        await client.send(b"".join(GET % (b"%d" % n) for n in range(100)))
        assert [(await client.answer()).body for _ in range(100)] == [b"/%d" % n for n in range(100)]
        assert started == [f"/{n}" for n in range(100)]


async def test_pipelined_bodies_go_to_their_own_requests():
    async with serving(echo) as house:
        client = await house.connect()
        chunked = b"4\r\ndata\r\n0\r\n\r\n"
        await client.send(
            b"PUT /1 HTTP/1.1\r\n", HOST, b"Content-Length: 5\r\n\r\nfirst",
            b"PUT /2 HTTP/1.1\r\n", HOST, b"Transfer-Encoding: chunked\r\n\r\n", chunked,
            b"PUT /3 HTTP/1.1\r\n", HOST, b"Content-Length: 0\r\n\r\n",
        )  # fmt: skip
        assert [(await client.answer()).body for _ in range(3)] == [b"PUT /1? first", b"PUT /2? data", b"PUT /3? "]


async def test_head_has_the_headers_of_get_and_no_body():
    stream = Stream(b"streamed", b" bytes")

    async def handle(request):
        return Response(200, {}, stream if request.path == "/stream" else b"five!")

    async with serving(handle) as house:
        client = await house.connect()
        await client.send(
            b"HEAD /x HTTP/1.1\r\n", HOST, b"\r\n", b"HEAD /stream HTTP/1.1\r\n", HOST, b"\r\n", GET % b"y"
        )
        assert (await client.answer(bodiless=True)).headers["Content-Length"] == "5"
        assert (await client.answer(bodiless=True)).headers["Content-Length"] == "14"
        assert (await client.answer()).body == b"five!"
        assert stream.closed == 1


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_that_have_no_body(status):
    async def handle(_request):
        return Response(status, {}, b"")

    async with serving(handle) as house:
        client = await house.connect()
        await client.send(GET % b"1", GET % b"2")
        for _ in range(2):
            answer = await client.answer()
            assert answer.status == status
            assert "Content-Length" not in answer.headers


# --- 100-continue


PUT_WAITING = b"PUT /k HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"


async def test_the_client_is_asked_to_go_on_when_its_body_is_read():
    async with serving(echo) as house:
        client = await house.connect()
        await client.send(PUT_WAITING)
        assert (await client.head()).status == 100
        await client.send(b"hello")
        assert (await client.answer()).body == b"PUT /k? hello"


async def test_the_client_is_not_asked_for_a_body_nobody_reads():
    async with serving(unread) as house:
        client = await house.connect()
        await client.send(PUT_WAITING)
        answer = await client.answer()
        assert (answer.status, answer.headers["Connection"]) == (403, "close")
        client.writer.write_eof()
        assert await client.rest() == b""


async def test_a_client_that_does_not_wait_is_not_asked():
    async with serving(echo) as house:
        client = await house.connect()
        await client.send(PUT_WAITING, b"hello")
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"PUT /k? hello")


async def test_a_waiting_request_behind_another_is_asked_in_its_turn():
    go_on = asyncio.Event()

    async def handle(request):
        if request.path == "/first":
            await go_on.wait()
        return await echo(request)

    async with serving(handle) as house:
        client = await house.connect()
        await client.send(GET % b"first", PUT_WAITING)
        go_on.set()
        assert (await client.answer()).body == b"GET /first? "
        assert (await client.head()).status == 100
        await client.send(b"hello")
        assert (await client.answer()).body == b"PUT /k? hello"


# --- a body that was not read


@pytest.mark.parametrize("size", [100_000, 30_000_000])
async def test_a_refused_upload_gets_to_read_why(size):
    async with serving(unread) as house:
        client = await house.connect()
        await client.send(b"PUT /k HTTP/1.1\r\n", HOST, b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // 100_000):
            await client.send(bytes(100_000))
        answer = await client.answer()
        assert (answer.status, answer.body) == (403, b"refused")


async def test_an_unread_body_that_came_whole_does_not_end_the_connection():
    async with serving(unread) as house:
        client = await house.connect()
        for _ in range(2):
            await client.send(b"PUT /k HTTP/1.1\r\n", HOST, b"Content-Length: 5\r\n\r\nhello")
            answer = await client.answer()
            assert answer.status == 403
            assert "Connection" not in answer.headers


async def test_what_follows_an_unread_body_is_not_taken_for_a_request():
    paths = []

    async def handle(request):
        paths.append(request.path)
        return await unread(request)

    async with serving(handle) as house:
        client = await house.connect()
        await client.send(b"PUT /k HTTP/1.1\r\n", HOST, b"Content-Length: 100\r\n\r\n")
        assert (await client.answer()).status == 403
        await client.send(b"x" * 100, GET % b"smuggled")
        client.writer.write_eof()
        assert await client.rest() == b""
        assert paths == ["/k"]


# --- versions and targets


@pytest.mark.parametrize("extra", [b"", b"Connection: keep-alive\r\n"])
async def test_http_1_0_is_answered_and_closed(extra):
    async with serving(echo) as house:
        client = await house.connect()
        await client.send(b"GET /old HTTP/1.0\r\n", extra, b"\r\n")
        answer = await client.answer()
        assert (answer.body, answer.headers["Connection"]) == (b"GET /old? ", "close")
        assert await client.rest() == b""


async def test_connection_close_is_obeyed():
    async with serving(echo) as house:
        client = await house.connect()
        await client.send(b"GET /1 HTTP/1.1\r\n", HOST, b"Connection: close\r\n\r\n", GET % b"2")
        assert (await client.answer()).headers["Connection"] == "close"
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://localhost:4580/bucket/a%20b?x=%31", b"/bucket/a%20b?x=%31"),
        (b"https://localhost", b"/?"),
        (b"http://localhost?list-type=2", b"/?list-type=2"),
        (b"*", b"*?"),
        (b"//double//slashes/", b"//double//slashes/?"),
        (b"/a?b?c=d", b"/a?b?c=d"),
        (b"/http://x/y", b"/http://x/y?"),
    ],
)
async def test_targets(target, path):
    async with serving(echo) as house:
        client = await house.connect()
        await client.send(b"OPTIONS ", target, b" HTTP/1.1\r\n", HOST, b"\r\n")
        assert (await client.answer()).body == b"OPTIONS " + path + b" "


async def test_headers_are_joined_and_trimmed():
    async def handle(request):
        return Response(200, {}, repr(sorted(request.headers.items())).encode())

    async with serving(handle) as house:
        client = await house.connect()
        await client.send(b"GET / HTTP/1.1\r\n", HOST, b"X-A: \t1 \r\nx-a:2\r\nX-B: caf\xe9\r\n\r\n")
        expected = [("host", "localhost"), ("x-a", "1,2"), ("x-b", "café")]
        assert (await client.answer()).body == repr(expected).encode()


async def test_an_offer_to_upgrade_is_declined_by_answering():
    async with serving(echo) as house:
        client = await house.connect()
        offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        await client.send(b"GET /k HTTP/1.1\r\n", HOST, offer, GET % b"ignored")
        answer = await client.answer()
        assert (answer.status, answer.body, answer.headers["Connection"]) == (200, b"GET /k? ", "close")
        assert await client.rest() == b""


# --- smuggling and limits


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"PUT / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"PUT / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhello",
        b"PUT / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello",
        b"PUT / HTTP/1.1\r\nContent-Length: -5\r\n\r\nhello",
        b"PUT / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\nhello",
        b"PUT / HTTP/1.1\r\nContent-Length: \xb25\r\n\r\nhello",
        b"PUT / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\nhello",
        b"PUT / HTTP/1.1\r\nContent-Length : 5\r\n\r\nhello",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT localhost:80 HTTP/1.1\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 300 + b"\r\n",
    ],
)  # fmt: skip
async def test_what_two_servers_might_read_differently_is_read_by_none(request_bytes):
    handled = []

    async def handle(request):
        handled.append((request.method, request.path))
        await request.body.read_all(1_000)
        return Response(200, {}, b"")

    async with serving(handle) as house:
        client = await house.connect()
        await client.send(request_bytes)
        client.writer.write_eof()
        text = await client.rest()
        assert b" 200 " not in text
        assert text.count(b"HTTP/1.1 ") <= 1
        assert ("GET", "/smuggled") not in handled
        await house.gone()


async def test_garbage_behind_a_request_does_not_harm_it():
    async with serving(echo) as house:
        client = await house.connect()
        await client.send(GET % b"good")
        assert (await client.answer()).status == 200
        await client.send(b"\0\0\0\0")
        assert (await client.answer()).status == 400
        client.writer.write_eof()
        assert await client.rest() == b""


# --- bodies that break off


async def test_a_client_that_goes_away_is_told_to_whoever_reads_its_body():
    errors: list[AwsError] = []

    async def handle(request):
        try:
            return await echo(request)
        except AwsError as error:
            errors.append(error)
            raise

    async with serving(handle) as house:
        client = await house.connect()
        await client.send(b"PUT /k HTTP/1.1\r\n", HOST, b"Content-Length: 50\r\n\r\nhello")
        await house.until(lambda: house.edge.connections)
        client.close()
        await house.until(lambda: errors)
        assert errors[0].code == "IncompleteBody"
        await house.gone()


async def test_a_chunked_body_that_turns_to_garbage_is_an_error():
    errors: list[AwsError] = []

    async def handle(request):
        try:
            return await echo(request)
        except AwsError as error:
            errors.append(error)
            return Response(400, {}, b"")

    async with serving(handle) as house:
        client = await house.connect()
        await client.send(b"PUT /k HTTP/1.1\r\n", HOST, b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await house.until(lambda: house.edge.connections)
        await client.send(b"zz\r\n")
        await house.until(lambda: errors)
        client.writer.write_eof()
        await house.gone()


async def test_a_defect_behind_the_edge_ends_the_connection(caplog):
    async def handle(_request):
        raise ZeroDivisionError

    async with serving(handle) as house:
        client = await house.connect()
        await client.send(GET % b"x")
        assert await client.rest() == b""
        await house.gone()
    assert "ZeroDivisionError" in caplog.text
