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

from opentrail.call import UNKNOWN_LENGTH, HttpRequest, Response, Tls, VpcEndpoint
from opentrail.errors import AwsError, LedgerUnavailable
from opentrail.server.body import RequestBody
from opentrail.server.endpoints import Endpoints, UnknownEndpoint
from opentrail.server.http_text import NO_BODY_STATUS, NoBytes, head_of, path_of, refusal
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
LINGER_SECONDS_MAX, LINGER_QUIET_SECONDS_MAX = 30.0, 2.0
"""How long what a client still sends is read and thrown away, so that it gets to read why it was refused."""

log = logging.getLogger("opentrail.edge")

Handle = Callable[[HttpRequest], Awaitable[Response]]
Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Edge:
    """What all connections share: the gate, the open connections, the clock of the Date header."""

    def __init__(self, handle: Handle, spawn: Spawn, endpoints: Endpoints | None = None) -> None:
        self.handle = handle
        self.spawn = spawn
        self.endpoints = endpoints or Endpoints()
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

    def protocol(self, endpoint: VpcEndpoint | None = None) -> Connection:
        """A new connection; `endpoint` is whose listener it came to."""
        return Connection(self, endpoint)


class Connection(asyncio.Protocol):
    """One client connection: a parser, the request being read, and the requests waiting for their answer."""

    def __init__(self, edge: Edge, endpoint: VpcEndpoint | None = None) -> None:
        self.edge = edge
        self._endpoint = endpoint
        self._names_endpoints = False
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[HttpRequest, RequestBody, bool]] = deque()
        self._busy = False
        self._served = False
        self._deaf = False
        self._idle: asyncio.Future[None] | None = None
        self._closing = False
        self._paused: set[str] = set()
        self._touched = self._head_since = self._closed_at = monotonic()
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
        self._names_endpoints = self._endpoint is None and self.edge.endpoints.trusts(self._peer)
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
        if self._closing or self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # declined: what follows the request, which is answered, is not looked at
        except httptools.HttpParserError as error:
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
        self._head_since = self._touched

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
        if self._closing or self._deaf:
            return
        self._reading_head = False
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self._refuse(505, f"HTTP/{version} is not spoken here.")
            return
        method = self._parser.get_method().decode("latin-1")
        if method == "CONNECT":
            self._refuse(405, "This is no proxy.")
            return
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
        endpoint = self._endpoint
        if self._names_endpoints:
            try:
                endpoint = self.edge.endpoints.of(headers)
            except UnknownEndpoint:
                self._refuse(400, "The VPC endpoint that is named does not exist.")
                return
        request = HttpRequest(
            method, path_of(path), query.decode("latin-1"), headers, body, self._peer, self._tls, endpoint, version
        )
        self._queue.append((request, body, self._may_stay(version)))
        if len(self._queue) >= QUEUED_REQUESTS_MAX:
            self._pause("queue")
        if not self._busy:
            self._busy = True
            self._wake()

    def _may_stay(self, version: str) -> bool:
        """May another request follow? In HTTP/1.0 a client that wants that must be told so, which is not worth it."""
        return version == "1.1" and self._parser.should_keep_alive() and not self._parser.should_upgrade()

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
                keep_alive = keep_alive and not self.edge.draining and body.complete and not self._is_last()
                await self._send(request, response, keep_alive)
                self._touched = monotonic()
                if not keep_alive or self._is_last():
                    await self._transmit.flushed()
                    self._hang_up(body.complete and not self._deaf)
                body.discard()
                await self._transmit.drained()
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

    def _is_last(self) -> bool:
        """What follows the requests in the queue could not be understood, and this was the last of them."""
        return self._deaf and not self._queue

    async def _send(self, request: HttpRequest, response: Response, keep_alive: bool) -> None:
        bodiless = request.method == "HEAD" or response.status in NO_BODY_STATUS
        head = head_of(response, keep_alive, self.edge.date_line(), request.version != "1.0")
        body = response.body
        if isinstance(body, bytes):
            if response.seal is not None:
                await response.seal(0 if bodiless else len(body), True)
            self._transmit.write(head if bodiless else head + body)
        elif bodiless:
            await self._transmit.stream(head, NoBytes(body), response.seal)
        elif body.length == UNKNOWN_LENGTH:
            await self._transmit.stream_unmeasured(head, body, response.seal, chunked=request.version != "1.0")
        else:
            await self._transmit.stream(head, body, response.seal)

    def _send_continue(self) -> None:
        if not self._closing and self._body is not None and not self._body.received:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, status: int, message: str) -> None:
        """A request that cannot be understood: answer and hang up; or, when others came before it, end with them."""
        if self._closing or self._deaf:
            return
        self._deaf = True
        if self._body is not None:
            self._body.fail(AwsError("BadRequest", message, 400))
        if not self._busy:
            self._transport.write(refusal(status, message))
            self._hang_up(read_to_end=False)

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

    def _hang_up(self, read_to_end: bool) -> None:
        """Close after an answer. To close while the client still sends would reset the connection, and the answer might
        be lost on the way; so what it sends is read and thrown away until it has seen our end, or has had its time."""
        if read_to_end or self._transport.is_closing():
            self._close()
            return
        self._closing, self._closed_at = True, monotonic()
        if self._paused:
            self._paused.clear()
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def close_if_idle(self) -> None:
        if not self._busy:
            self._close()

    def check_timeout(self, now: float) -> None:
        quiet = now - self._touched
        if self._transmit.stalled(now, STALL_SECONDS_MAX) or self._has_lingered(now - self._closed_at, quiet):
            self._closing = True
            self._transport.abort()
        elif self._reading_head and not self._busy and now - self._head_since > HEAD_SECONDS_MAX:
            self._close()
        elif self._body is not None and not self._paused and quiet > STALL_SECONDS_MAX:
            timeout = "Your socket connection to the server was not read from or written to within the timeout period."
            self._body.fail(AwsError("RequestTimeout", timeout, 400))
        elif not self._busy and quiet > HEAD_SECONDS_MAX:
            self._close()

    def _has_lingered(self, seconds: float, quiet: float) -> bool:
        enough = seconds > LINGER_SECONDS_MAX or quiet > LINGER_QUIET_SECONDS_MAX
        return enough and self._closing and not self._busy and not self._transport.is_closing()


def _nothing() -> None:
    return None


def _tls_of(ssl_object: ssl.SSLObject | None) -> Tls | None:
    if ssl_object is None:
        return None
    cipher = ssl_object.cipher()
    return Tls(ssl_object.version() or "", cipher[0] if cipher else "")
