"""The way OpenTrail's own calls take: through the same gate as everybody's, under an identity of its own.

A call is written as the request a client would have sent, so that its record tells it in the same words; there is no
signature to check and no socket in between. `ports.Road`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from opentrail.call import ByteStream, Call, HttpRequest, Principal, Shape
from opentrail.errors import AwsError
from opentrail.ports import InternalAnswer, Writes
from opentrail.server.gate import Gate, Walk
from opentrail.wire.request import build_request
from opentrail.wire.route import Route

Seal = Callable[[int, bool], Awaitable[None]]


class InternalBody:
    """`call.Body` of bytes at hand or of a stream."""

    def __init__(self, data: bytes | ByteStream) -> None:
        self._data = data
        self.length: int | None = len(data) if isinstance(data, bytes) else data.length
        self.received = 0
        self.trailers: Mapping[str, str] = {}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if isinstance(self._data, bytes):
            self.received = len(self._data)
            if self._data:
                yield self._data
            return
        async for chunk in self._data.chunks():
            self.received += len(chunk)
            yield chunk

    async def read_all(self, limit: int) -> bytes:
        return b"".join([chunk async for chunk in self])


class InternalRoad:
    """Walks calls inside the process. `gate` is set once both exist."""

    gate: Gate

    async def call(
        self,
        principal: Principal,
        service: str,
        operation: str,
        input: Shape,
        *,
        region: str,
        body: bytes | ByteStream = b"",
        source: str = "",
        also: Writes | None = None,
        stash: Mapping[str, Any] | None = None,
    ) -> InternalAnswer:
        call = self._open(principal, service, operation, input, region, body, source)
        if stash is not None:
            call.stash.update(stash)
        response = await self.gate.walk(Walk(call, self._route(call), also))
        if call.error is not None:
            raise call.error
        if response.status >= 500:  # not durable: it did not happen
            raise AwsError("ServiceUnavailable", "The call could not be made durable.", 503)
        if response.seal is not None and not isinstance(response.body, bytes):
            return InternalAnswer(call.output or {}, SealedStream(response.body, response.seal))
        return InternalAnswer(call.output or {})

    def _open(
        self,
        principal: Principal,
        service: str,
        operation: str,
        input: Shape,
        region: str,
        body: bytes | ByteStream,
        source: str,
    ) -> Call:
        model = self.gate.house.models.operation(service, operation)
        wire = build_request(model, model.service.protocol, input)
        who = source or principal.invoked_by
        headers = {
            "host": f"{model.service.endpoint_prefix}.{region}.amazonaws.com",
            **{name.lower(): value for name, value in wire.headers.items()},
            "user-agent": who,
        }
        stream = body if body or not isinstance(body, bytes) else wire.body
        request = HttpRequest(wire.method, wire.path, wire.query, headers, InternalBody(stream), who)
        call = self.gate.open_call(request, Route(model, model.service.protocol, {}, region=region))
        call.principal = principal
        call.account_id = principal.account_id
        call.input = input
        if model.service.protocol == "rest-xml":
            call.body = request.body
            call.raw_body = wire.body if wire.body and stream is wire.body else b""
        call.stash["read"] = True
        return call

    def _route(self, call: Call) -> Route:
        operation = call.operation
        return Route(operation, operation.service.protocol, {}, region=call.region)


class SealedStream:
    """The payload of an internal read: its record is durable before its last chunk is handed on."""

    def __init__(self, stream: ByteStream, seal: Seal) -> None:
        self.length = stream.length
        self._stream = stream
        self._seal: Seal | None = seal
        self._sent = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        held = b""
        async for chunk in self._stream.chunks():
            if held:
                self._sent += len(held)
                yield held
            held = chunk
        self._sent += len(held)
        await self._settle(complete=True)
        yield held

    def runs(self) -> AsyncIterator[tuple[int, int, int]] | None:
        return None

    async def close(self) -> None:
        try:
            await self._settle(complete=False)
        finally:
            await self._stream.close()

    async def _settle(self, *, complete: bool) -> None:
        seal, self._seal = self._seal, None
        if seal is not None:
            await seal(self._sent, complete)
