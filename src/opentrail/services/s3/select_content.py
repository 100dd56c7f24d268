"""SelectObjectContent: the records of an object for which an expression holds, as an event stream.

The query runs in a process of its own (`query.channel`). What it cannot do is said with an HTTP error if nothing has been
sent yet, else with an error message in the stream, and in the record either way. The stream is sent while it is worked out;
its end is held back until the record is durable, as with every read. Knows no SQL.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from msgspec.structs import replace

from opentrail.call import UNKNOWN_LENGTH, ByteStream, Call, Shape
from opentrail.errors import AwsError
from opentrail.query.channel import DATA_BYTES_MAX, Query, start
from opentrail.query.faults import QueryFault
from opentrail.query.job import Ended, Job, Stats
from opentrail.rows.s3 import ObjectVersion
from opentrail.service import Service
from opentrail.services.s3.archive import NOT_ALWAYS_READY, refuse_archived
from opentrail.services.s3.encryption import KeyRing
from opentrail.services.s3.objects import bucket_of, keys_of, readable_version
from opentrail.services.s3.payload import inline_data
from opentrail.services.s3.reading import Run, open_run
from opentrail.services.s3.select_request import HEAD_BYTES, job_of, refused
from opentrail.state import Unit
from opentrail.wire import event_stream

QUIET_EVENTS_MAX = 2
"""Times that the process may say that it is still at work before the answer begins; faults after that are told in it."""

family = Service("s3")


@family.operation("SelectObjectContent")
async def select_object_content(call: Call, unit: Unit) -> Shape:
    """Query an object's records with SQL."""
    if call.principal.type == "Anonymous":
        raise AwsError("AccessDenied", "Access Denied", 403)
    bucket = bucket_of(call, unit)
    version = readable_version(call, unit, bucket)
    keys = keys_of(call, unit, bucket, version)
    if version.storage_class in NOT_ALWAYS_READY:
        refuse_archived(version, unit.now)
    job = job_of(call.input, version.size, unit.now)
    job, runs = _reading(job, version)
    call.evidence.object_size = version.size
    source = _Source(unit, version, runs, keys)
    progress = bool((call.input.get("RequestProgress") or {}).get("Enabled"))
    try:
        query = await start(job)
    except QueryFault as fault:
        raise refused(fault) from fault
    stream = SelectStream(call, query, source, progress)
    try:
        await stream.begin()
    except BaseException as error:
        await stream.close()
        if isinstance(error, QueryFault):
            raise refused(error) from error
        raise
    call.stream = stream
    return {}


def _reading(job: Job, version: ObjectVersion) -> tuple[Job, list[Run]]:
    """What of the object the query is given: all of it, or the bytes from just before its range on (whether a record begins
    at the first byte is told by the one before), after the beginning where the header is."""
    whole = [Run(0, version.size)]
    if job.scan is None or job.format == "Parquet" or job.scan[0] == 0:
        return job, whole
    offset = job.scan[0] - 1
    rest = Run(offset, version.size - offset)
    if job.format == "CSV" and job.csv.header != "NONE":
        head = min(HEAD_BYTES, version.size)
        return replace(job, offset=offset, head=head), [Run(0, head), rest]
    return replace(job, offset=offset), [rest]


class _Source:
    """The object's bytes, run by run."""

    def __init__(self, unit: Unit, version: ObjectVersion, runs: list[Run], keys: KeyRing | None) -> None:
        self._unit, self._version, self._runs, self._keys = unit, version, runs, keys
        self._open: ByteStream | None = None

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        for run in self._runs:
            if not run.length:
                continue
            if not self._version.parts:
                yield inline_data(self._unit, self._version, run.offset, run.length, self._keys)
                continue
            await self.close()
            self._open = await open_run(self._unit.house.blobs, self._version, run, self._keys)
            async for chunk in self._open.chunks():
                for start_at in range(0, len(chunk), DATA_BYTES_MAX):
                    yield chunk[start_at : start_at + DATA_BYTES_MAX]

    async def close(self) -> None:
        stream, self._open = self._open, None
        if stream is not None:
            await stream.close()


class SelectStream:
    """The answer; `call.ByteStream`."""

    length = UNKNOWN_LENGTH

    def __init__(self, call: Call, query: Query, source: _Source, progress: bool) -> None:
        self._call, self._query, self._source, self._progress = call, query, source, progress
        self._chunks = source.chunks()
        self._events = query.events(self._chunks)
        self._first: bytes | Stats | Ended | None = None
        self._closed = False

    async def begin(self) -> None:
        """Wait until there is something to say; raises QueryFault for a query that fails before."""
        for _ in range(QUIET_EVENTS_MAX):
            self._first = await anext(self._events)
            if isinstance(self._first, bytes | Ended):
                return

    def runs(self) -> None:
        """The bytes do not lie in files."""

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._told(self._first)
        if isinstance(self._first, Ended):
            return
        try:
            async for heard in self._events:
                yield self._told(heard)
        except QueryFault as fault:
            self._call.error = refused(fault)
            yield event_stream.failure(fault.code, fault.message)

    def _told(self, heard: bytes | Stats | Ended | None) -> bytes:
        if isinstance(heard, bytes):
            return event_stream.event("Records", heard, "application/octet-stream")
        if isinstance(heard, Ended):
            last = _stats("Progress", heard.stats) if self._progress else b""
            return last + _stats("Stats", heard.stats) + event_stream.event("End")
        return _stats("Progress", heard) if self._progress and heard is not None else event_stream.event("Cont")

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._events.aclose()
        await self._query.close()
        await self._chunks.aclose()
        await self._source.close()


def _stats(name: str, stats: Stats) -> bytes:
    members = {"BytesScanned": stats.scanned, "BytesProcessed": stats.processed, "BytesReturned": stats.returned}
    inner = "".join(f"<{member}>{value}</{member}>" for member, value in members.items())
    payload = f'<?xml version="1.0" encoding="UTF-8"?><{name}>{inner}</{name}>'
    return event_stream.event(name, payload.encode(), "text/xml")
