"""The server's end of a query: starts the process, hands it the object's bytes as it wants them, hears what it answers.

Knows nothing of S3: what is asked is a `Job`, what comes back bytes of a result, `Stats`, or a QueryFault. The process gets
nothing of the environment, has nothing open but its pipes and the log (standard error), and is killed when the query is
given up.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from opentrail.query.faults import QueryFault
from opentrail.query.job import ANSWER, DATA, END, FAULT, FRAME, JOB, PROGRESS, WANT, Ended, Failure, Job, Stats

QUERIES_MAX = 8
"""Queries at work at once; further ones are told to come again."""
WORK_SECONDS_MAX = 300.0
"""How long a query may work, the time its client takes to read not counted."""
QUIET_SECONDS_MAX = 5.0
"""After so long without a word from the process, the caller is told that it still works."""
DATA_BYTES_MAX = 1024 * 1024
"""Bytes handed over at once."""


class Slots:
    """How many queries are at work."""

    taken = 0


class Query:
    """One query at work. Must be closed."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._worked = 0.0
        self._closed = False

    async def events(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes | Stats | Ended | None, None]:
        """Bytes of the result as they come, Stats of how far it is, None for "still at work", and Ended; raises
        QueryFault."""
        while True:
            heard = await self._hear()
            if heard is None:
                yield None
                continue
            kind, data = heard
            if kind == WANT:
                await self._hand(chunks)
            elif kind == ANSWER:
                yield data
            elif kind == PROGRESS:
                yield msgspec.msgpack.decode(data, type=Stats)
            elif kind == END:
                yield Ended(msgspec.msgpack.decode(data, type=Stats))
                return
            elif kind == FAULT:
                failure = msgspec.msgpack.decode(data, type=Failure)
                raise told(failure)

    async def _hear(self) -> tuple[bytes, bytes] | None:
        """The next message; None when there is none for a while. Raises QueryFault if the process is no more, or has had
        its time."""
        assert self._process.stdout is not None
        if self._worked > WORK_SECONDS_MAX:
            raise QueryFault("Busy", "the query takes too long")
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(QUIET_SECONDS_MAX):
                kind, size = FRAME.unpack(await self._process.stdout.readexactly(FRAME.size))
        except TimeoutError:
            return None
        except asyncio.IncompleteReadError as error:
            raise QueryFault("InternalError", "the query ended unexpectedly") from error
        finally:
            self._worked += loop.time() - began
        return kind, await self._process.stdout.readexactly(size)

    async def _hand(self, chunks: AsyncIterator[bytes]) -> None:
        """Some bytes of the object; none when there are no more."""
        assert self._process.stdin is not None
        data = b""
        async for data in chunks:
            if data:
                break
        self._process.stdin.write(FRAME.pack(DATA, len(data)) + data)
        await self._drain()

    async def _drain(self) -> None:
        assert self._process.stdin is not None
        try:
            await self._process.stdin.drain()
        except ConnectionError:
            return  # it has ended; what it said last is still to be read

    async def close(self) -> None:
        """End the process, whatever it does."""
        if self._closed:
            return
        self._closed = True
        Slots.taken -= 1
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


async def start(job: Job) -> Query:
    """Start a query; raises QueryFault Busy when too many are at work."""
    if Slots.taken >= QUERIES_MAX:
        raise QueryFault("Busy")
    Slots.taken += 1
    try:
        where = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # the same code as here, wherever it lies
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "opentrail.query.worker", stdin=PIPE, stdout=PIPE, env=where, cwd="/"
        )
    except BaseException:
        Slots.taken -= 1
        raise
    query = Query(process)
    data = msgspec.msgpack.encode(job)
    assert process.stdin is not None
    process.stdin.write(FRAME.pack(JOB, len(data)) + data)
    await query._drain()
    return query


def told(failure: Failure) -> QueryFault:
    fault = QueryFault(failure.code)
    fault.message = failure.message
    return fault
