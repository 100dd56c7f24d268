"""Bytes that are no request, or two requests at once, or half of one: AWS's bare 400 or a closed line, never more."""

from __future__ import annotations

import time

import pytest

from opentrail.server.edge import HEAD_SECONDS_MAX
from tests.clients.server_process import ServerProcess
from tests.hostile.conftest import VICTIM
from tests.hostile.raw import HUNG_UP, Line, say, signed_bytes

HEAD = b"Host: localhost\r\n"
MALFORMED = {
    "no verb": b" / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "unknown verb": b"BREW / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "lower-case verb": b"get / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "no path": b"GET  HTTP/1.1\r\n" + HEAD + b"\r\n",
    "no version": b"GET /\r\n" + HEAD + b"\r\n",
    "version 3": b"GET / HTTP/3.0\r\n" + HEAD + b"\r\n",
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": bytes.fromhex("160301020001 0001fc0303".replace(" ", "")) + b"\0" * 64,
    "binary": bytes(range(256)),
    "nul in path": b"GET /a\0b HTTP/1.1\r\n" + HEAD + b"\r\n",
    "control in path": b"GET /a\x01b HTTP/1.1\r\n" + HEAD + b"\r\n",
    "nul in header": b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\0b\r\n\r\n",
    "header without colon": b"GET / HTTP/1.1\r\n" + HEAD + b"nonsense\r\n\r\n",
    "header with space before colon": b"GET / HTTP/1.1\r\n" + HEAD + b"Content-Length : 5\r\n\r\nhello",
    "empty header name": b"GET / HTTP/1.1\r\n" + HEAD + b": x\r\n\r\n",
    "bare cr": b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\rY: b\r\n\r\n",
    "negative length": b"PUT / HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n",
    "plus length": b"PUT / HTTP/1.1\r\n" + HEAD + b"Content-Length: +5\r\n\r\nhello",
    "hex length": b"PUT / HTTP/1.1\r\n" + HEAD + b"Content-Length: 0x5\r\n\r\nhello",
    "two lengths": b"PUT / HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "list of lengths": b"PUT / HTTP/1.1\r\n" + HEAD + b"Content-Length: 5, 5\r\n\r\nhello",
    "endless length": b"PUT / HTTP/1.1\r\n" + HEAD + b"Content-Length: " + b"9" * 40 + b"\r\n\r\nhello",
    "unicode length": b"PUT / HTTP/1.1\r\n" + HEAD + "Content-Length: ٥\r\n\r\nhello".encode(),
    "length and chunks": b"PUT / HTTP/1.1\r\n"
    + HEAD
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    "chunks and length": b"PUT / HTTP/1.1\r\n"
    + HEAD
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    "unknown transfer encoding": b"PUT / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: rot13\r\n\r\nhello",
    "chunked twice": b"PUT / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"PUT / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "bad chunk size": b"PUT /victim/x HTTP/1.1\r\n"
    + HEAD
    + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "negative chunk": b"PUT /victim/x HTTP/1.1\r\n"
    + HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "endless chunk": b"PUT /victim/x HTTP/1.1\r\n"
    + HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"f" * 40
    + b"\r\nhello\r\n0\r\n\r\n",
    "no end of chunk": b"PUT /victim/x HTTP/1.1\r\n"
    + HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n0\r\n\r\n",
    "upgrade": b"GET / HTTP/1.1\r\n" + HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "connect": b"CONNECT localhost:22 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "huge header": b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
    "huge header name": b"GET / HTTP/1.1\r\n" + HEAD + b"a" * 200_000 + b": x\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + HEAD + b"".join(b"X-%d: y\r\n" % each for each in range(2_000)) + b"\r\n",
    "huge target": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
    "huge query": b"GET /?" + b"a=b&" * 50_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n",
    "absolute target elsewhere": b"GET http://169.254.169.254/latest HTTP/1.1\r\n" + HEAD + b"\r\n",
    "folded header": b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\r\n folded: b\r\n\r\n",
    "line feeds only": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "odd host": b"GET / HTTP/1.1\r\nHost: ../../\xff<script>\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
}


@pytest.mark.usefixtures("unchanged")
def test_malformed_requests(server: ServerProcess) -> None:
    for name, data in MALFORMED.items():
        started = time.monotonic()
        answer = say(server, data)
        assert answer == HUNG_UP or 400 <= answer.status < 500 or answer.status in (501, 505), (name, answer)
        assert b"smuggled" not in answer.body, name
        assert time.monotonic() - started < 30, name


@pytest.mark.parametrize("name", ["length and chunks", "chunks and length", "bad chunk size", "two lengths", "upgrade"])
def test_nothing_is_read_behind_a_malformed_request(server: ServerProcess, name: str) -> None:
    """The line is closed, so that nobody's next request can be hidden in it."""
    with Line(server) as line:
        line.send(MALFORMED[name] + b"GET /_opentrail/health HTTP/1.1\r\n" + HEAD + b"\r\n")
        assert line.answer().status in (0, 400, 403, 501)
        assert line.closed()


def test_half_requests_and_lost_clients(server: ServerProcess) -> None:
    whole = signed_bytes(server, "s3", "PUT", f"/{VICTIM}/half", b"x" * 1_000)
    for cut in (1, 20, len(whole) // 2, len(whole) - 1):
        with Line(server) as line:
            line.send(whole[:cut])
    time.sleep(0.1)
    with Line(server) as line:
        line.send(signed_bytes(server, "s3", "HEAD", f"/{VICTIM}/half"))
        assert line.answer("HEAD").status == 404


def test_a_request_byte_by_byte(server: ServerProcess) -> None:
    with Line(server) as line:
        for byte in signed_bytes(server, "s3", "GET", f"/{VICTIM}/k"):
            line.send(bytes([byte]))
        assert line.answer().body == b"safe"


def test_slow_clients_do_not_keep_others_waiting(server: ServerProcess) -> None:
    slow = [Line(server) for _ in range(50)]
    try:
        for line in slow:
            line.send(b"PUT /victim/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx")
        started = time.monotonic()
        assert say(server, signed_bytes(server, "s3", "GET", f"/{VICTIM}/k")).body == b"safe"
        assert time.monotonic() - started < HEAD_SECONDS_MAX / 2
    finally:
        for line in slow:
            line.__exit__()


def test_pipelined_requests_are_answered_in_order(server: ServerProcess) -> None:
    good = signed_bytes(server, "s3", "GET", f"/{VICTIM}/k")
    absent = signed_bytes(server, "s3", "GET", f"/{VICTIM}/absent")
    with Line(server) as line:
        line.send(good + absent + good)
        answers = [line.answer() for _ in range(3)]
    assert [each.status for each in answers] == [200, 404, 200]
    assert answers[2].body == b"safe"


def test_garbage_behind_a_good_request(server: ServerProcess) -> None:
    with Line(server) as line:
        line.send(signed_bytes(server, "s3", "GET", f"/{VICTIM}/k") + b"\x00\xff garbage\r\n\r\n")
        assert line.answer().body in (b"safe", b"")
        line.answer()
        assert line.closed()


def test_many_pipelined_requests(server: ServerProcess) -> None:
    good = b"GET /_opentrail/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Line(server) as line:
        line.send(good * 500)
        assert all(line.answer().status == 200 for _ in range(500))


def test_a_body_that_never_comes_is_not_waited_for(server: ServerProcess) -> None:
    """An unsigned PUT is refused from its head alone; the rest of the announced body is never asked for."""
    head = b"PUT /victim/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000000\r\nExpect: 100-continue\r\n\r\n"
    with Line(server) as line:
        line.send(head)
        assert line.answer("PUT").status == 403
        assert line.closed()


def test_head_answers_have_no_body(server: ServerProcess) -> None:
    with Line(server) as line:
        for target in (f"/{VICTIM}/absent", f"/{VICTIM}/k", "/absent-bucket", f"/{VICTIM}?nonsense"):
            line.send(signed_bytes(server, "s3", "HEAD", target))
            assert line.answer("HEAD").body == b""
        line.send(signed_bytes(server, "s3", "GET", f"/{VICTIM}/k"))
        assert line.answer().body == b"safe"
