"""Works off the queries of archived objects: reads the object, runs the query, and puts what comes of it where it is to lie.

Every file is put by S3 with the identity of who asked, in one commit with the note that it is there; the last one ends the
query. After a crash the query runs again and leaves out what is written already: the same bytes come again, since object,
expression and time are the same. What fails for a reason that may pass is tried again later. Source: S3 user guide,
"Querying archived objects". Knows no SQL and no request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Final

import msgspec
from msgspec.structs import replace

from opentrail.call import ByteStream, Shape
from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.followers.hearing import hearing, rest
from opentrail.ports import Key
from opentrail.query.channel import DATA_BYTES_MAX, start
from opentrail.query.faults import STATUSES, QueryFault
from opentrail.query.job import ANSWER_BYTES, Ended
from opentrail.rows.s3_select_jobs import (
    BELL,
    JOB_BELL,
    SELECT_JOBS,
    SELECTING,
    SelectJob,
    due_of,
    put_job,
    result_name,
)
from opentrail.state import House, Unit

TOGETHER: Final = 2
"""Queries under way at the same time."""
LOOK_AGAIN_SECONDS: Final = 5.0
"""How often is looked unasked for what another process may have written."""
AGE_SECONDS_MAX: Final = 86_400.0
"""After this long a query that could not be ended is given up."""
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 1.0, 300.0
"""Between two tries; twice as long each time."""
RESULT_BYTES: Final = 8 * 1024 * 1024
"""Length at which a file of results is ended, at the next end of a record that is known of."""
RESULT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Length at which it is ended wherever that is."""
PASSING: Final = frozenset({"OperationAborted", "SlowDown", "RequestTimeout"})
"""Errors below 500 that may pass."""
ERROR_FILE: Final = "errors/000000"

log = logging.getLogger("opentrail.select-jobs")


class Failed(Exception):
    """The query cannot be answered: code and message for the file of errors."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.fault = (code, message)


class SelectJobsFollower:
    """A `ports.Follower`."""

    name = "select-jobs"

    def __init__(self, house: House) -> None:
        self._house = house

    async def run(self) -> None:
        """Work queries off for ever; what a former run left comes first."""
        with hearing(BELL, JOB_BELL) as rung:
            while True:
                rung.clear()
                await self.flush()
                await rest(rung, self._pause())

    def _pause(self) -> float:
        """Until the next query is due."""
        rows = Unit(self._house, 0.0).scan(SELECT_JOBS.key(""), b"", 1)
        if not rows:
            return LOOK_AGAIN_SECONDS
        return min(LOOK_AGAIN_SECONDS, max(0.01, due_of(rows[0][0]) - self._house.clock.now()))

    async def flush(self) -> None:
        """Carry every query on that is due, some at a time."""
        while keys := self._due():
            async with asyncio.TaskGroup() as group:
                tries = [group.create_task(self._carry_on(key)) for key in keys]
            if not all(each.result() for each in tries):
                await asyncio.sleep(PAUSE_SECONDS_MIN)
                return

    def _due(self) -> list[Key]:
        now = self._house.clock.now()
        return [key for key, _ in Unit(self._house, 0.0).scan(SELECT_JOBS.key(""), b"", TOGETHER) if due_of(key) <= now]

    async def _carry_on(self, key: Key) -> bool:
        """Take a query to its end, or as far as it goes now. False if nothing could be noted."""
        try:
            try:
                await self._work(key)
            except AwsError as error:
                await self._settle(key, error)
        except (Conflict, LedgerUnavailable):
            log.warning("a query could not be carried on now")
            return False
        return True

    async def _work(self, key: Key) -> None:
        """Raises AwsError for what keeps the output from being written, or the object from being read for now."""
        job = self._job(key)
        if job is not None and job.fault is None:
            try:
                job = await self._answer(key, job)
            except Failed as failure:
                job = await self._note(key, failure)
            else:
                await self._put(key, job, "result_manifest.txt", _links(job, map(result_name, range(job.parts))), None)
                return
        if job is None or job.fault is None:
            return
        if not job.told:
            code, message = job.fault
            text = msgspec.json.encode({"Code": code, "Message": message}) + b"\n"
            told = replace(job, told=True)
            await self._put(key, job, ERROR_FILE, text, told)
            job = told
        await self._put(key, job, "error_manifest.txt", _links(job, [ERROR_FILE]), None)

    def _job(self, key: Key) -> SelectJob | None:
        found = self._house.ledger.get(key)
        return None if found is None else SELECT_JOBS.decode(found.value)

    async def _answer(self, key: Key, job: SelectJob) -> SelectJob:
        """Write the files of results that are not there yet; the query with all of them noted. Raises Failed."""
        stream = await self._open(job)
        try:
            async with aclosing(self._pieces(job, _split(stream))) as pieces:
                async for piece in pieces:
                    more = replace(job, parts=job.parts + 1, written=job.written + len(piece))
                    await self._put(key, job, result_name(job.parts), piece, more)
                    job = more
        except (OSError, LookupError) as error:
            raise AwsError("ServiceUnavailable", str(error), 503) from error
        finally:
            if not isinstance(stream, bytes):
                await stream.close()
        return job

    async def _open(self, job: SelectJob) -> bytes | ByteStream:
        """The object as it was when the query was taken on. Raises Failed if it cannot be read any more."""
        given: Shape = {"Bucket": job.bucket, "Key": job.key, "IfMatch": f'"{job.etag}"'}
        if job.version_id:
            given["VersionId"] = job.version_id
        stash = {SELECTING: job.named}
        try:
            answer = await self._house.road.call(
                job.principal, "s3", "GetObject", given, region=job.region, stash=stash
            )
        except AwsError as error:
            if _passes(error):
                raise
            raise Failed(error.code, error.message) from error
        if answer.stream is not None:
            return answer.stream
        body: bytes = answer.output.get("Body") or b""
        return body

    async def _pieces(self, job: SelectJob, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The results that are not written yet, a file at a time. Raises Failed, AwsError."""
        try:
            query = await start(job.query)
        except QueryFault as fault:
            raise AwsError(fault.code, fault.message, STATUSES.get(fault.code, 400)) from fault
        gathered, behind = bytearray(), job.written
        try:
            async with aclosing(query.events(chunks)) as events:
                async for heard in events:
                    if isinstance(heard, Ended):
                        break
                    if not isinstance(heard, bytes):
                        continue
                    gathered += heard[behind:]
                    behind = max(behind - len(heard), 0)
                    whole = len(heard) < ANSWER_BYTES
                    if len(gathered) >= RESULT_BYTES_MAX or (whole and len(gathered) >= RESULT_BYTES):
                        yield bytes(gathered)
                        gathered.clear()
            if gathered:
                yield bytes(gathered)
        except QueryFault as fault:
            raise Failed(fault.code, fault.message) from fault
        finally:
            await query.close()
            await chunks.aclose()

    async def _put(self, key: Key, job: SelectJob, name: str, body: bytes, following: SelectJob | None) -> None:
        """PutObject as S3 for who asked, together with what the query is then; None: it is over."""
        found = self._house.ledger.get(key)
        if found is None or SELECT_JOBS.decode(found.value) != job:
            raise Conflict(key)  # somebody else carried it on
        unit = Unit(self._house, self._house.clock.now())
        unit.get(key)
        if following is None:
            unit.delete(key)
        else:
            SELECT_JOBS.put(unit, following, *SELECT_JOBS.parts(key))
        given = {**job.target, "Key": f"{job.path}/{name}"}
        await self._house.road.call(
            job.principal, "s3", "PutObject", given, region=job.region, body=body, also=unit.writes
        )

    async def _note(self, key: Key, failure: Failed) -> SelectJob | None:
        """Make durable that it failed; None if it is over already."""
        unit = Unit(self._house, self._house.clock.now())
        parts = SELECT_JOBS.parts(key)
        job = SELECT_JOBS.get(unit, *parts)
        if job is None:
            return None
        failed = replace(job, fault=failure.fault)
        SELECT_JOBS.put(unit, failed, *parts)
        await self._house.ledger.commit(unit.writes, ())
        return failed

    async def _settle(self, key: Key, error: AwsError) -> None:
        """Try again later if that may help, else give up in sight: there is nowhere to say so but the log."""
        unit = Unit(self._house, self._house.clock.now())
        job = SELECT_JOBS.get(unit, *SELECT_JOBS.parts(key))
        if job is None:
            return
        unit.delete(key)
        if _passes(error) and unit.now - job.first < AGE_SECONDS_MAX:
            pause = min(PAUSE_SECONDS_MIN * 2.0 ** min(job.attempts, 20), PAUSE_SECONDS_MAX)
            put_job(unit, replace(job, attempts=job.attempts + 1), unit.now + pause)
        else:
            log.warning("the query %s of %s is given up: %s: %s", job.id, job.bucket, error.code, error.message)
        await self._house.ledger.commit(unit.writes, ())


def _passes(error: AwsError) -> bool:
    return error.status >= 500 or error.code in PASSING


def _links(job: SelectJob, names: Iterable[str]) -> bytes:
    """A manifest: where the files are, one a line."""
    lines = [f"s3://{job.target['Bucket']}/{job.path}/{name}\n" for name in names]
    return "".join(lines).encode("utf-8", "surrogatepass")


async def _split(stream: bytes | ByteStream) -> AsyncGenerator[bytes, None]:
    """The object in pieces that the query process takes."""
    if isinstance(stream, bytes):
        yield stream
        return
    async for chunk in stream.chunks():
        for begin in range(0, len(chunk), DATA_BYTES_MAX):
            yield chunk[begin : begin + DATA_BYTES_MAX]
