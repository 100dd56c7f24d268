"""HTTP/1.1 on a socket: parse requests, hand each to the gate, write what comes back. One protocol object a connection.

The syntax is httptools' (llhttp, strict against request smuggling); limits, order, back-pressure, `100 Continue` and the
held-back last chunk are here. Knows no AWS operation; a request it cannot parse gets a bare 400.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from email.utils import formatdate
from time import monotonic, time
from typing import Any, cast

import httptools

from opentrail.call import HttpRequest, Response, Tls
from opentrail.errors import AwsError, LedgerUnavailable
from opentrail.server.body import RequestBody
from opentrail.server.transmit import BrokenConnection, Transmitter

URL_BYTES_MAX = 16 * 1024
"""Request target; a 1,024-byte key percent-encoded thrice over and a long presigned query fit."""
HEADERS_BYTES_MAX = 64 * 1024
"""Names and values of one request's headers."""
HEADERS_MAX = 256
QUEUED_REQUESTS_MAX = 16
"""Pipelined requests parsed ahead of their turn."""
HEAD_SECONDS_MAX = 60.0
"""From the first byte of a request to the end of its headers, and between two requests of one connection."""
STALL_SECONDS_MAX = 60.0
"""Without a byte of a body that is being waited for, or without the peer taking a byte of an answer."""

log = logging.getLogger("opentrail.edge")

Handle = Callable[[HttpRequest], Awaitable[Response]]
Spawn = Callable[[Coroutine[Any, Any, None]], object]

_NO_BODY_STATUS = frozenset({204, 304})
_REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently",
    302: "Found", 304: "Not Modified", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict", 411: "Length Required",
    412: "Precondition Failed", 413: "Payload Too Large", 416: "Requested Range Not Satisfiable",
    429: "Too Many Requests", 500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip


class Edge:
    """What all connections share: the gate, the open connections, the clock of the Date header."""

    def __init__(self, handle: Handle, spawn: Spawn) -> None:
        self.handle = handle
        self.spawn = spawn
        self.connections: set[Connection] = set()
        self.draining = False
        self._date = (0, b"")

    def date_line(self) -> bytes:
        now = int(time())
        if self._date[0] != now:
            self._date = (now, b"Date: " + formatdate(now, usegmt=True).encode() + b"\r\n")
        return self._date[1]

    def check_timeouts(self) -> None:
        """Called every few seconds: close what has stalled."""
        now = monotonic()
        for connection in list(self.connections):
            connection.check_timeout(now)

    def drain(self) -> None:
        """Finish what is under way, take nothing new."""
        self.draining = True
        for connection in list(self.connections):
            connection.close_if_idle()

    def protocol(self) -> Connection:
        return Connection(self)


class Connection(asyncio.Protocol):
    """One client connection: a parser, the request being read, and the requests waiting for their answer."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[HttpRequest, RequestBody, bool]] = deque()
        self._busy = False
        self._served = False
        self._idle: asyncio.Future[None] | None = None
        self._closing = False
        self._paused: set[str] = set()
        self._touched = monotonic()
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._head_count = 0
        self._body: RequestBody | None = None
        self._reading_head = False

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's
        self._transmit = Transmitter(self._transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else "127.0.0.1"
        self._tls = _tls_of(transport.get_extra_info("ssl_object"))
        self.edge.connections.add(self)
        if self.edge.draining:
            transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        if self._served:
            self._wake()
        self.edge.connections.discard(self)
        self._transmit.broken()
        broken = AwsError("IncompleteBody", "The client went away before its request was complete.", 400)
        if self._body is not None:
            self._body.fail(broken)
        for _, body, _ in self._queue:
            body.fail(broken)
        self._queue.clear()

    def data_received(self, data: bytes) -> None:
        self._touched = monotonic()
        if self._closing:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "Upgrade is not supported.")
        except httptools.HttpParserError as error:
            if not self._closing:
                self._refuse(400, f"An error occurred when parsing the HTTP request: {error}")

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._transmit.pause()

    def resume_writing(self) -> None:
        self._touched = monotonic()
        self._transmit.resume()

    # --- httptools

    def on_message_begin(self) -> None:
        self._reset()
        self._reading_head = True

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > URL_BYTES_MAX:
            self._refuse(414, "The request target is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        self._head_count += 1
        if self._head_bytes > HEADERS_BYTES_MAX or self._head_count > HEADERS_MAX:
            self._refuse(400, "Your request header section exceeds the maximum allowed size.")
            return
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1").strip(" \t")
        self._headers[key] = f"{self._headers[key]},{text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        if self._closing:
            return
        self._reading_head = False
        headers = self._headers
        path, _, query = self._url.partition(b"?")
        declared = headers.get("content-length")
        if declared is not None and not declared.isdigit():
            self._refuse(400, "Content-Length is not a number.")
            return
        chunked = "transfer-encoding" in headers
        length = None if chunked else int(declared or 0)
        waits = headers.get("expect", "").lower() == "100-continue" and (length is None or length > 0)
        proceed = self._send_continue if waits else _nothing
        body = RequestBody(length, self._pause_body, self._resume_body, proceed)
        self._body = body
        method = self._parser.get_method().decode("latin-1")
        request = HttpRequest(method, _target(path), query.decode("latin-1"), headers, body, self._peer, self._tls)
        self._queue.append((request, body, self._parser.should_keep_alive()))
        if len(self._queue) >= QUEUED_REQUESTS_MAX:
            self._pause("queue")
        if not self._busy:
            self._busy = True
            self._wake()

    def on_body(self, data: bytes) -> None:
        if self._body is not None:
            self._body.feed(data)

    def on_message_complete(self) -> None:
        if self._body is not None:
            self._body.finish()
            self._body = None

    # --- answering

    def _wake(self) -> None:
        """Let the connection's task go on; there is none before the first request."""
        if not self._served:
            self._served = True
            self.edge.spawn(self._serve())
        elif self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _serve(self) -> None:
        """The connection's one task: a task for each request would cost 3 us more."""
        loop = asyncio.get_running_loop()
        while not self._closing:
            await self._answer_requests()
            while not self._queue and not self._closing:
                self._idle = loop.create_future()
                await self._idle

    async def _answer_requests(self) -> None:
        """Answer what is queued, in order, one at a time. Whatever cuts an answer short ends the connection: what has
        been sent of it cannot be taken back, and a complete one must not look like it."""
        whole = False
        try:
            while self._queue and not self._closing:
                request, body, keep_alive = self._queue.popleft()
                self._resume("queue")
                response = await self.edge.handle(request)
                keep_alive = keep_alive and not self.edge.draining and body.complete
                await self._send(request, response, keep_alive)
                self._touched = monotonic()
                if not keep_alive:
                    await self._transmit.flushed()
                    self._close()
                body.discard()
            whole = True
        except BrokenConnection:
            log.debug("the client went away before its answer was complete")
        except LedgerUnavailable as failure:
            log.error("an answer under way was cut off, since it could not be recorded: %s", failure)
        finally:
            self._busy = False
            if not whole:
                self._close()
        if self.edge.draining:
            self.close_if_idle()

    async def _send(self, request: HttpRequest, response: Response, keep_alive: bool) -> None:
        head = self._head(request, response, keep_alive)
        bodiless = request.method == "HEAD" or response.status in _NO_BODY_STATUS
        body = response.body
        if isinstance(body, bytes):
            if response.seal is not None:
                await response.seal(0 if bodiless else len(body), True)
            self._transmit.write(head if bodiless else head + body)
        else:
            await self._transmit.stream(head, body, response.seal)

    def _head(self, request: HttpRequest, response: Response, keep_alive: bool) -> bytes:
        status = response.status
        headers = response.headers
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        if not _is_clean("".join(lines), len(lines)):
            lines = [f"{_clean(name)}: {_clean(value)}\r\n" for name, value in headers.items()]
        lines.insert(0, f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n")
        if "Content-Length" not in headers and status not in _NO_BODY_STATUS:
            size = len(response.body) if isinstance(response.body, bytes) else response.body.length
            lines.append(f"Content-Length: {size}\r\n")
        if not keep_alive:
            lines.append("Connection: close\r\n")
        return "".join(lines).encode("latin-1", "replace") + self.edge.date_line() + b"Server: OpenTrail\r\n\r\n"

    def _send_continue(self) -> None:
        if not self._closing and self._body is not None and not self._body.received:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, status: int, message: str) -> None:
        """A request that cannot be understood: answer if nothing else is being answered, then hang up."""
        if self._closing:
            return
        if not self._busy:
            error = f"<Error><Code>BadRequest</Code><Message>{_xml(message)}</Message></Error>"
            body = f'<?xml version="1.0" encoding="UTF-8"?>\n{error}'.encode("utf-8", "replace")
            head = f"HTTP/1.1 {status} Bad Request\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
            self._transport.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        if self._body is not None:
            self._body.fail(AwsError("BadRequest", message, 400))
        self._close()

    # --- flow and life

    def _pause(self, why: str) -> None:
        if not self._paused and not self._closing:
            self._transport.pause_reading()
        self._paused.add(why)

    def _resume(self, why: str) -> None:
        if why in self._paused:
            self._paused.discard(why)
            if not self._paused and not self._closing:
                self._transport.resume_reading()

    def _pause_body(self) -> None:
        self._pause("body")

    def _resume_body(self) -> None:
        self._touched = monotonic()
        self._resume("body")

    def _close(self) -> None:
        self._closing = True
        self._transport.close()

    def close_if_idle(self) -> None:
        if not self._busy:
            self._close()

    def check_timeout(self, now: float) -> None:
        quiet = now - self._touched
        if self._transmit.stalled(now, STALL_SECONDS_MAX):
            self._closing = True
            self._transport.abort()
        elif self._body is not None and not self._paused and quiet > STALL_SECONDS_MAX:
            timeout = "Your socket connection to the server was not read from or written to within the timeout period."
            self._body.fail(AwsError("RequestTimeout", timeout, 400))
        elif not self._busy and quiet > HEAD_SECONDS_MAX:
            self._close()


def _nothing() -> None:
    return None


def _target(path: bytes) -> str:
    """The path of the request target; an absolute-form target loses scheme and authority."""
    if not path.startswith(b"/") and b"://" in path:
        path = b"/" + path.split(b"://", 1)[1].partition(b"/")[2]
    return path.decode("latin-1")


def _is_clean(lines: str, count: int) -> bool:
    """No header holds what could end its line: there are no more ends than lines. One look at all of them at once."""
    return lines.count("\n") == count and lines.count("\r") == count and "\0" not in lines


def _clean(value: str) -> str:
    """A header's name or value that cannot end its line."""
    if "\r" in value or "\n" in value or "\0" in value:
        return value.replace("\r", " ").replace("\n", " ").replace("\0", " ")
    return value


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _tls_of(ssl_object: ssl.SSLObject | None) -> Tls | None:
    if ssl_object is None:
        return None
    cipher = ssl_object.cipher()
    return Tls(ssl_object.version() or "", cipher[0] if cipher else "")
