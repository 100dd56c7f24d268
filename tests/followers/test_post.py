import asyncio

import pytest

from opentrail.followers.post import Gatekeeper, NoAnswer, NotAllowed, post

ANYWHERE = Gatekeeper("")


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("203.0.113.9", True),
        ("::1", True),
        ("2001:db8::1", True),
        ("169.254.169.254", False),
        ("169.254.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("100.100.100.200", False),
        ("0.0.0.0", False),
        ("::", False),
        ("224.0.0.1", False),
        ("ff02::1", False),
    ],
)
def test_where_posts_may_go_by_default(address, admitted):
    assert ANYWHERE.admits(address) is admitted


def test_named_networks_are_the_only_ones():
    gatekeeper = Gatekeeper("10.0.0.0/8, 2001:db8::/32,169.254.0.0/16")
    assert gatekeeper.admits("10.9.9.9")
    assert gatekeeper.admits("::ffff:10.9.9.9")
    assert gatekeeper.admits("2001:db8::9")
    assert not gatekeeper.admits("127.0.0.1")
    assert not gatekeeper.admits("169.254.169.254")
    with pytest.raises(ValueError):
        Gatekeeper("10.0.0.1/8")


async def answering(answer):
    """A server that answers with these bytes and keeps what it was sent."""
    got = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        got.append((head, await reader.readexactly(length)))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"127.0.0.1:{server.sockets[0].getsockname()[1]}", got


async def test_what_is_sent():
    server, host, got = await answering(b"HTTP/1.1 204 No Content\r\n\r\n")
    async with server:
        assert await post(f"http://me:p%40ss@{host}/a?b=c", {"X-Y": "z"}, b"body", ANYWHERE) == 204
    [(head, body)] = got
    assert head.startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert f"Host: {host}\r\n".encode() in head
    assert b"Authorization: Basic bWU6cEBzcw==\r\n" in head
    assert body == b"body"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200),
        (b"HTTP/1.0 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n", 302),
        (b"HTTP/1.1 500\r\n", 500),
    ],
)
async def test_the_final_status(answer, status):
    server, host, _ = await answering(answer)
    async with server:
        assert await post(f"http://{host}/", {}, b"", ANYWHERE) == status


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n" * 20, b"HTTP/1.1 2000 x\r\n", b"x" * 100_000, b"\0\n" * 99])
async def test_what_is_no_answer(answer):
    server, host, _ = await answering(answer)
    async with server:
        with pytest.raises(NoAnswer):
            await post(f"http://{host}/", {}, b"", ANYWHERE)


async def test_an_address_is_judged_after_its_name_was_looked_up():
    with pytest.raises(NotAllowed):
        await post("http://2852039166/latest", {}, b"", ANYWHERE)
    with pytest.raises(NotAllowed):
        await post("http://localhost:1/", {}, b"", Gatekeeper("10.0.0.0/8"))


async def test_nobody_there():
    with pytest.raises(OSError):
        await post("http://127.0.0.1:1/", {}, b"", ANYWHERE)
