"""An edge on a real socket, with a handler of the test's own, and a client that says exactly what it is told to."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from opentrail.call import HttpRequest, Response
from opentrail.server.edge import Edge
from opentrail.server.loops import spawn

SECONDS_MAX = 60.0
SEND_BYTES = 64 * 1024
Handle = Callable[[HttpRequest], Awaitable[Response]]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Client:
    """One connection. Every wait is bounded."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    socket: socket.socket | None = None

    async def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))
        async with asyncio.timeout(SECONDS_MAX):
            await self.writer.drain()

    async def head(self) -> Answer:
        """The head of the next answer."""
        async with asyncio.timeout(SECONDS_MAX):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.rstrip("\r\n").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return Answer(int(first.split()[1]), headers)

    async def answer(self, *, bodiless: bool = False) -> Answer:
        found = await self.head()
        if not bodiless:
            async with asyncio.timeout(SECONDS_MAX):
                found.body = await self.reader.readexactly(int(found.headers.get("Content-Length", 0)))
        return found

    async def rest(self) -> bytes:
        """Everything up to the end of the connection; a reset counts as its end."""
        data = b""
        async with asyncio.timeout(SECONDS_MAX):
            try:
                while chunk := await self.reader.read(65_536):
                    data += chunk
            except ConnectionError:
                pass
        return data

    def close(self) -> None:
        self.writer.close()


@dataclass
class House:
    edge: Edge
    server: asyncio.Server
    clients: list[Client] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        address: tuple[str, int] = self.server.sockets[0].getsockname()
        return address

    async def connect(self, tls: ssl.SSLContext | None = None) -> Client:
        reader, writer = await asyncio.open_connection(*self.address, ssl=tls, limit=1 << 26)
        self.clients.append(Client(reader, writer))
        return self.clients[-1]

    async def deaf(self, data: bytes) -> socket.socket:
        """A client that sends this and does not read: its socket takes a few kilobytes and no more."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        made.setblocking(False)
        self.sockets.append(made)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(made, self.address)
        await loop.sock_sendall(made, data)
        await self.until(lambda: self.edge.connections)
        return made

    async def hear(self, made: socket.socket, size: int) -> bytes:
        """Read from such a client after all, up to `size` bytes or the end."""
        data = b""
        async with asyncio.timeout(SECONDS_MAX):
            while len(data) < size:
                chunk = await asyncio.get_running_loop().sock_recv(made, min(65_536, size - len(data)))
                if not chunk:
                    break
                data += chunk
        return data

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while not condition():
                await asyncio.sleep(0.001)

    async def gone(self) -> None:
        """Every connection has ended, as the server sees it."""
        await self.until(lambda: not self.edge.connections)


@asynccontextmanager
async def serving(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncIterator[House]:
    edge = Edge(handle, spawn)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)  # so that a slow reader is felt soon
    server = await asyncio.get_running_loop().create_server(edge.protocol, sock=listener, ssl=tls)
    house = House(edge, server)
    try:
        yield house
    finally:
        for client in house.clients:
            client.close()
        for made in house.sockets:
            made.close()
        server.close()
        for connection in list(edge.connections):
            connection._transport.abort()
        await house.gone()


async def echo(request: HttpRequest) -> Response:
    """Method, path, query and body, as they came in."""
    body = await request.body.read_all(1 << 26)
    return Response(
        200, {"Content-Type": "text/plain"}, f"{request.method} {request.path}?{request.query} ".encode() + body
    )


async def unread(_request: HttpRequest) -> Response:
    """An answer that does not look at the request's body."""
    return Response(403, {}, b"refused")


class Stream:
    """A `call.ByteStream` of chunks."""

    def __init__(self, *chunks: bytes, length: int | None = None) -> None:
        self.length = sum(map(len, chunks)) if length is None else length
        self.closed = 0
        self._chunks = chunks

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk

    def runs(self) -> AsyncIterator[tuple[int, int, int]] | None:
        return None

    async def close(self) -> None:
        self.closed += 1
