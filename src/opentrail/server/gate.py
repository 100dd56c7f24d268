"""The one road every call takes: route, sign, read, decide, handle, build, commit, answer.

    1 route    request → operation            a refused call still has a name
    2 sign     request, keys → principal      unknown signer or bad signature: answered, not recorded (as AWS does)
    3 read     operation, request → input     S3 bodies stay a stream
    4 decide   call, policies → allow/deny    the only permission check there is; no rule means refuse
    5 handler  call, unit → output            reads state, writes into the unit
    6 build    call → lines                   the only place that makes evidence
    7 commit   unit + lines → Seq             the only wait for the disk
    8 answer   call → response

A failure in 3 to 5 becomes `call.error` and goes through 6 to 8 like a success. If 7 fails the caller gets 503 and nothing
happened. An answer that streams is sealed (6 and 7) before its last bytes leave; an output that is made `later` is made
during 7. Knows no service and no socket.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence

import msgspec

from opentrail.call import Call, HttpRequest, Response, Shape, nobody
from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.model.shapes import Operation, Protocol
from opentrail.ports import Line, Writes
from opentrail.record.build import build
from opentrail.server.clock import SystemClock
from opentrail.server.pages import HOUSE_PATH, Pages
from opentrail.server.permit import Permit
from opentrail.server.reading import Reader
from opentrail.server.signing import BODY_BYTES_MAX, Signer
from opentrail.server.soap import as_rest, dressed, fault_response, is_soap, read_soap, sign_soap
from opentrail.service import Handler, Service
from opentrail.state import House, Unit
from opentrail.wire.answer import render_output
from opentrail.wire.answer_error import render_error
from opentrail.wire.route import Route, Unrouted, needs_form, route
from opentrail.wire.soap import PATH as SOAP_PATH

CONFLICTS_MAX = 8
"""How often a call is walked again because what it had read was changed meanwhile."""
TURNS_TO_WRITER = 2
"""Turns of the event loop from a commit's beginning until it is with the ledger's writer."""

log = logging.getLogger("opentrail.gate")


class Walk(msgspec.Struct):
    """One call on its way, with what only the road needs to know."""

    call: Call
    route: Route
    also: Writes | None = None
    unit: Unit | None = None


class Gate:
    """The road. `clock` gives ids and time, `services` the handlers by service name."""

    def __init__(self, house: House, services: Mapping[str, Service], clock: SystemClock, signer: Signer) -> None:
        self.house = house
        self._services = services
        self._clock = clock
        self._signer = signer
        self._reader = Reader()
        self._permit = Permit(house, services)
        self._documented_names = house.settings.event_names == "documented"
        self.pages = Pages(house)

    async def handle(self, request: HttpRequest) -> Response:
        """Walk one request from the network."""
        try:
            return await self._walk_request(request)
        except Exception:  # noqa: BLE001  (before it is known who calls there is nobody to record it for)
            log.error("%s %s\n%s", request.method, request.path, traceback.format_exc())
            return self._answer_unrouted(request, internal_error())

    async def _walk_request(self, request: HttpRequest) -> Response:
        if request.path.startswith(HOUSE_PATH):
            return self.pages.answer(request)
        if request.path.startswith(SOAP_PATH) and is_soap(request):
            return await self._walk_soap(request)
        try:
            form = await request.body.read_all(BODY_BYTES_MAX) if needs_form(request) else b""
            where = route(self.house.models, request, self.house.settings.domain, form)
        except AwsError as error:
            return self._answer_unrouted(request, error)
        call = self.open_call(request, where)
        call.raw_body = form
        try:
            await self._signer.sign(call, where)
        except AwsError as error:
            call.error = error
            return await self._refuse(call, where)
        return await self.walk(Walk(call, where))

    async def _walk_soap(self, request: HttpRequest) -> Response:
        """An envelope of S3's SOAP interface, as the REST request it stands for."""
        try:
            asked = await read_soap(request)
            rest = as_rest(self.house, request, asked, self._clock.now())
            where = route(self.house.models, rest, self.house.settings.domain)
        except AwsError as error:
            standard = self.house.models.standard_error("s3", error.code) or (400, "")
            status, message = error.status or standard[0], error.message or standard[1]
            return fault_response(error, status, message, self._clock.s3_request_id(), self._clock.s3_host_id())
        where.soap = asked.operation
        call = self.open_call(rest, where)
        try:
            sign_soap(self.house, call, asked)
        except AwsError as error:
            call.error = error
            return await self._refuse(call, where)
        return await self.walk(Walk(call, where))

    async def _refuse(self, call: Call, where: Route) -> Response:
        """Whoever does not prove who he is gets an answer and no record; a witness may note it all the same."""
        response = self._render(call, where)
        unit = Unit(self.house, self._clock.now())
        if isinstance(response.body, bytes):
            call.bytes_out = len(response.body)
        self._witness(call, unit, where, response)
        if unit.writes.puts:
            try:
                await self.house.ledger.commit(unit.writes, ())
            except LedgerUnavailable as failure:
                return await self._unavailable(call, where, failure)
        return response

    def open_call(self, request: HttpRequest, where: Route) -> Call:
        """A fresh call with its ids."""
        clock, settings = self._clock, self.house.settings
        s3 = where.protocol == "rest-xml"
        return Call(
            request=request,
            request_id=clock.s3_request_id() if s3 else clock.uuid(),
            host_id=clock.s3_host_id() if s3 else "",
            started_at=clock.now(),
            operation=where.operation,
            region=where.region or settings.region,
            account_id=settings.account_id,
        )

    async def walk(self, walk: Walk) -> Response:
        """Steps 3 to 8 of a call whose principal is known."""
        call = walk.call
        await self._read(call, walk.route)
        for _ in range(CONFLICTS_MAX):
            try:
                walk.unit = unit = await self._run(call)
                if walk.also is not None and call.error is None:
                    unit.writes.include(walk.also)
                if call.later is not None:
                    return await self._finish_first(walk, unit, call.later)
                response = self._rendered(walk)
                if call.stream is not None:
                    if call.error is None:
                        return self._sealed(walk, response)
                    await _close_stream(call)
                await self._finish(walk, walk.unit, response)
                return response
            except Conflict:
                await _reset(call)
            except LedgerUnavailable as failure:
                return await self._unavailable(call, walk.route, failure)
        return await self._give_up(walk)

    async def _read(self, call: Call, where: Route) -> None:
        """Step 3."""
        try:
            await self._reader.read(call, where)
        except AwsError as error:
            built = self._find_handler(call.operation) is not None
            call.error = error if built else not_implemented(call.operation)
        except Exception:  # noqa: BLE001  (a defect of ours becomes a recorded InternalError)
            call.error = _defect(call)

    async def _give_up(self, walk: Walk) -> Response:
        """Others were quicker every time."""
        call = walk.call
        message = "A conflicting conditional operation is in progress. Please try again."
        call.error = AwsError("OperationAborted", message, 409)
        response = self._render(call, walk.route)
        try:
            await self._finish(walk, Unit(self.house, self._clock.now()), response)
        except LedgerUnavailable as failure:
            return await self._unavailable(call, walk.route, failure)
        return response

    async def _run(self, call: Call) -> Unit:
        """Steps 4 and 5. What the handler wanted is dropped when it fails."""
        unit = Unit(self.house, self._clock.now())
        if call.error is None:
            try:
                self._permit.check(call, unit)
                call.output = await self._handler(call.operation)(call, unit)
                return unit
            except AwsError as error:
                call.error = error
            except (Conflict, LedgerUnavailable):
                raise
            except Exception:  # noqa: BLE001  (a defect of ours becomes a recorded InternalError)
                call.error = _defect(call)
            finally:
                call.may = nobody  # it knows the call: a ring that would leave every call to the garbage collector
        return Unit(self.house, unit.now)

    def _find_handler(self, operation: Operation) -> Handler | None:
        service = self._services.get(operation.service.name)
        return service.handlers.get(operation.name) if service is not None else None

    def _handler(self, operation: Operation) -> Handler:
        handler = self._find_handler(operation)
        if handler is None:
            raise not_implemented(operation)
        return handler

    async def _finish(self, walk: Walk, unit: Unit, response: Response) -> None:
        """Steps 6 and 7."""
        call = walk.call
        lines = self._evidence(call, response)
        if call.evidence.witnessed or call.error is not None:
            self._witness(call, unit, walk.route, response)
        await self._commit(call, unit, lines)

    async def _finish_first(self, walk: Walk, unit: Unit, output: Callable[[], Shape]) -> Response:
        """Steps 6 and 7 go on while the output is made and 8 is done. Should that fail, which is a defect of ours, a second
        record tells it."""
        call = walk.call
        finished = asyncio.ensure_future(self._finish(walk, unit, Response(200, {}, b"")))
        for _ in range(TURNS_TO_WRITER):
            await asyncio.sleep(0)
        try:
            call.output = output()
            response = self._render(call, walk.route)
        except Exception:  # noqa: BLE001  (as in step 5)
            await finished
            call.error = _defect(call)
            response = self._render(call, walk.route)
            await self._finish(walk, Unit(self.house, self._clock.now()), response)
            return response
        await finished
        return response

    def _witness(self, call: Call, unit: Unit, where: Route, response: Response) -> None:
        service = self._services.get(call.operation.service.name)
        if service is not None and service.witness is not None:
            service.witness(call, unit, where, response.status)

    async def _commit(self, call: Call, unit: Unit, lines: Sequence[Line]) -> None:
        writes = unit.writes
        if self.house.settings.record or writes.puts or writes.deletes:
            await self.house.ledger.commit(writes, [*lines, *unit.events] if unit.events else lines)
        if writes.blobs or writes.dropped_blobs or "blobs" in call.stash:
            await self._settle_blobs(call, writes)

    async def _settle_blobs(self, call: Call, writes: Writes) -> None:
        """Blobs named by the commit are kept; those let go, and those stored in vain, are removed."""
        stored = call.stash.get("blobs")
        if writes.blobs:
            await self.house.blobs.keep(writes.blobs)
        gone = [ref for ref in stored if ref not in writes.blobs] if stored else []
        if gone or writes.dropped_blobs:
            await self.house.blobs.drop([*gone, *writes.dropped_blobs])

    def _evidence(self, call: Call, response: Response) -> list[Line]:
        """Step 6."""
        if not self.house.settings.record:
            return []
        call.finished_at = self._clock.now()
        if isinstance(response.body, bytes):
            call.bytes_out = len(response.body)
        call.bytes_in = call.request.body.received
        call.evidence.response_headers = response.headers
        lines = self._lines(call)
        if call.evidence.caused:
            return [line for inner in call.evidence.caused for line in self._lines(inner)] + lines
        return lines

    def _lines(self, call: Call) -> list[Line]:
        return [Line("record", data) for data in build(call, self._clock.uuid, self._documented_names)]

    def _sealed(self, walk: Walk, response: Response) -> Response:
        """A streamed answer: its record is built and made durable before its last bytes leave."""
        call, unit = walk.call, walk.unit
        assert unit is not None

        async def seal(sent: int, _complete: bool) -> None:
            call.bytes_out = sent
            unit.writes.reads.clear()  # what was read while the answer began may have changed since; it was true then
            await self._finish(walk, unit, response)

        if call.evidence.witnessed:
            call.stash["answered_at"] = self._clock.now()
        response.seal = seal
        return response

    def _rendered(self, walk: Walk) -> Response:
        """Step 8; an output that cannot be written is a defect of ours, and what the handler wanted is dropped."""
        try:
            return self._render(walk.call, walk.route)
        except Exception:  # noqa: BLE001  (as in step 5)
            walk.call.error = _defect(walk.call)
            walk.unit = Unit(self.house, self._clock.now())
            return self._render(walk.call, walk.route)

    def _render(self, call: Call, where: Route) -> Response:
        """Step 8, done before the commit because the record tells what the answer will be."""
        if call.error is not None:
            response = self._render_error(call, where.protocol, call.error)
        else:
            response = self._render_output(call, where)
        if where.soap:
            return dressed(call, where, response)
        if "origin" in call.request.headers:
            self._tell_browser(call, where, response)
        return response

    def _tell_browser(self, call: Call, where: Route, response: Response) -> None:
        """A request from a page of another origin: the service says whether the page may see the answer."""
        service = self._services.get(call.operation.service.name)
        if service is not None and service.cross_origin is not None:
            service.cross_origin(call, Unit(self.house, self._clock.now()), where.bucket, response.headers)

    def _render_output(self, call: Call, where: Route) -> Response:
        status, headers, body = render_output(
            call.operation,
            where.protocol,
            call.output or {},
            status=call.status,
            request_id=call.request_id,
            host_id=call.host_id,
        )
        return Response(status, headers, body if call.stream is None else call.stream)

    def _render_error(self, call: Call, protocol: Protocol, error: AwsError) -> Response:
        name = call.operation.service.name
        status, message = error.status, error.message
        if not status or not message:
            standard = self.house.models.standard_error(name, error.code) or (400, "")
            status, message = status or standard[0], message or standard[1]
            error.status, error.message = status, message
        status, headers, body = render_error(
            call.operation,
            name,
            protocol,
            error,
            status=status,
            message=message,
            request_id=call.request_id,
            host_id=call.host_id,
            resource=call.request.path,
            method=call.request.method,
        )
        return Response(status, headers, body)

    def _answer_unrouted(self, request: HttpRequest, error: AwsError) -> Response:
        """A request for no operation there is: nothing to record, an answer in the dialect it seems to speak."""
        protocol: Protocol = error.protocol if isinstance(error, Unrouted) else "rest-xml"
        service = error.service if isinstance(error, Unrouted) else "s3"
        standard = self.house.models.standard_error(service or "s3", error.code) or (400, "")
        status, headers, body = render_error(
            None,
            service,
            protocol,
            error,
            status=error.status or standard[0],
            message=error.message or standard[1],
            request_id=self._clock.s3_request_id() if protocol == "rest-xml" else self._clock.uuid(),
            host_id=self._clock.s3_host_id(),
            resource=request.path,
            method=request.method,
        )
        return Response(status, headers, body)

    async def _unavailable(self, call: Call, where: Route, failure: LedgerUnavailable) -> Response:
        log.error("%s %s: not durable: %s", call.request_id, call.operation.name, failure)
        await _reset(call)
        await self._settle_blobs(call, Writes())
        message = "The call could not be made durable and did not happen. Please try again."
        error = AwsError("ServiceUnavailable", message, 503, headers={"Retry-After": "1"})
        response = self._render_error(call, where.protocol, error)
        return dressed(call, where, response) if where.soap else response


def not_implemented(operation: Operation) -> AwsError:
    """AWS's own word for an operation that is not built here, in the service's protocol."""
    if operation.service.name in ("s3", "s3control"):
        message = "A header you provided implies functionality that is not implemented"
        return AwsError("NotImplemented", message, 501)
    return AwsError("NotImplemented", f"The operation {operation.name} is not implemented.", 501)


def _defect(call: Call) -> AwsError:
    """What the caller is told of an exception nobody expected; the rest is in the log, under the request id."""
    log.error("%s %s\n%s", call.request_id, call.operation.name, traceback.format_exc())
    return internal_error()


def internal_error() -> AwsError:
    return AwsError("InternalError", "We encountered an internal error. Please try again.", 500)


async def _close_stream(call: Call) -> None:
    stream, call.stream = call.stream, None
    if stream is not None:
        await stream.close()


async def _reset(call: Call) -> None:
    """Back to step 4."""
    await _close_stream(call)
    call.output, call.later, call.error, call.status = None, None, None, 0
    call.evidence = type(call.evidence)()
