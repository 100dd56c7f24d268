"""The query process: one query of S3 Select, from its job on standard input to its result on standard output.

A process, because a query is the caller's program: it can be given bounds that the system holds (memory, processor time,
size of files), it can be killed, and what goes wrong in it goes wrong for nobody else. It knows nothing of the server but
its two pipes: no ledger, no keys, no environment. It asks for the object's bytes when it wants them (WANT), so neither side
ever waits for the other to read.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from opentrail.query.csv_records import CsvRecords
from opentrail.query.faults import MESSAGES, QueryFault
from opentrail.query.job import ANSWER, ANSWER_BYTES, DATA, END, FAULT, FRAME, JOB, PROGRESS, WANT, Failure, Job, Stats
from opentrail.query.json_records import document_values, line_values, records_of
from opentrail.query.parquet import ParquetStatement, spool
from opentrail.query.parse import parse
from opentrail.query.result import Result, result_of
from opentrail.query.shapes import CsvShape, JsonShape
from opentrail.query.statement import Statement
from opentrail.query.text_lines import checked, lines_of, within
from opentrail.query.tree import Select
from opentrail.query.unpack import unpacked

MEMORY_BYTES_MAX = 2 * 1024**3
"""Address space of the process: DuckDB's share, a batch, a document, and what Python takes."""
CPU_SECONDS_MAX = 300
FILE_BYTES_MAX = 1100 * 1024 * 1024
NICE = 10
RECURSION_MAX = 20_000
PROGRESS_BYTES = 8 * 1024 * 1024
"""After so many bytes of the object it is told how far the query is."""


class Pipe:
    """The two pipes, and what went through them."""

    def __init__(self, into: BinaryIO, out: BinaryIO) -> None:
        self._in, self._out = into, out
        self.scanned = self.processed = self.returned = self._told = 0

    def receive(self, kind: bytes) -> bytes:
        head = self._in.read(FRAME.size)
        if len(head) < FRAME.size:
            raise EOFError
        found, size = FRAME.unpack(head)
        if found != kind:
            raise EOFError
        return self._in.read(size)

    def send(self, kind: bytes, data: bytes = b"") -> None:
        self._out.write(FRAME.pack(kind, len(data)) + data)
        self._out.flush()

    def chunks(self) -> Iterator[bytes]:
        """The object's bytes, as they are wanted."""
        while True:
            self.send(WANT)
            data = self.receive(DATA)
            if not data:
                return
            self.scanned += len(data)
            yield data
            if self.scanned - self._told >= PROGRESS_BYTES:
                self._told = self.scanned
                self.send(PROGRESS, msgspec.msgpack.encode(self.stats()))

    def counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.processed += len(chunk)
            yield chunk

    def answer(self, data: bytes) -> None:
        for start in range(0, len(data), ANSWER_BYTES):
            piece = data[start : start + ANSWER_BYTES]
            self.returned += len(piece)
            self.send(ANSWER, piece)

    def stats(self) -> Stats:
        return Stats(self.scanned, self.processed, self.returned)


def main() -> None:
    _bound()
    pipe = Pipe(sys.stdin.buffer, sys.stdout.buffer)
    try:
        job = msgspec.msgpack.decode(pipe.receive(JOB), type=Job)
        run(job, pipe)
        pipe.send(END, msgspec.msgpack.encode(pipe.stats()))
    except QueryFault as fault:
        pipe.send(FAULT, msgspec.msgpack.encode(Failure(fault.code, fault.message)))
    except MemoryError:
        pipe.send(FAULT, msgspec.msgpack.encode(Failure("Busy", MESSAGES["Busy"])))
    except RecursionError:
        code = "UnsupportedSqlStructure"
        pipe.send(FAULT, msgspec.msgpack.encode(Failure(code, MESSAGES[code])))
    except (EOFError, BrokenPipeError):
        sys.exit(1)  # the server is gone, or wants nothing more


def _bound() -> None:
    """What the system holds us to, whatever happens here; and the server's own work goes first."""
    os.nice(NICE)
    sys.setrecursionlimit(RECURSION_MAX)
    bounds = {
        resource.RLIMIT_AS: MEMORY_BYTES_MAX,
        resource.RLIMIT_CPU: CPU_SECONDS_MAX,
        resource.RLIMIT_FSIZE: FILE_BYTES_MAX,
        resource.RLIMIT_CORE: 0,
    }
    for what, most in bounds.items():
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(what, (most, most))
        except (OSError, ValueError):
            continue  # macOS does not bound address space


def run(job: Job, pipe: Pipe) -> None:
    """Work the job off; raises QueryFault."""
    select = parse(job.expression)
    result = result_of(job.output, job.json_output)
    for _ in _steps(job, select, result, pipe):
        if result.size >= ANSWER_BYTES or job.format != "Parquet":
            pipe.answer(result.take())
    pipe.answer(result.take())


def _steps(job: Job, select: Select, result: Result, pipe: Pipe) -> Iterator[None]:
    if job.format == "Parquet":
        return _parquet(job, select, result, pipe)
    if job.format == "JSON":
        return _json(job, select, result, pipe)
    return _csv(job, select, result, pipe)


def _parquet(job: Job, select: Select, result: Result, pipe: Pipe) -> Iterator[None]:
    file = spool(pipe.counted(pipe.chunks()))
    yield from ParquetStatement(select, file, result, job).run()


def _json(job: Job, select: Select, result: Result, pipe: Pipe) -> Iterator[None]:
    chunks = checked(pipe.counted(unpacked(pipe.chunks(), job.compression)))
    values = line_values(_ranged(lines_of(chunks, b"\n"), b"\n", job)) if job.json.lines else document_values(chunks)
    statement: Statement[Any] = Statement(select, JsonShape(select), result, job.now)
    yield from statement.run(records_of(values, select.source))


def _csv(job: Job, select: Select, result: Result, pipe: Pipe) -> Iterator[None]:
    delimiter = job.csv.record.encode()
    chunks = pipe.chunks()
    header: list[str] | None = None
    if job.head:
        head = checked(iter([b"".join(_head(chunks, job.head)).rpartition(delimiter)[0]]))
        header = next(CsvRecords(lines_of(head, delimiter), job.csv), None)
    lines = lines_of(checked(pipe.counted(unpacked(chunks, job.compression))), delimiter)
    records = CsvRecords(_ranged(lines, delimiter, job), job.csv)
    if job.csv.header != "NONE" and not job.head:
        header = next(records, None)
    shape = CsvShape(select, header if job.csv.header == "USE" else None)
    statement: Statement[Any] = Statement(select, shape, result, job.now)
    yield from statement.run(iter(records))


def _ranged(lines: Iterator[bytes], delimiter: bytes, job: Job) -> Iterator[bytes]:
    return lines if job.scan is None else within(lines, delimiter, job.scan, job.offset)


def _head(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The first bytes of the object, which are sent by themselves when only a part of it is asked for."""
    while size > 0:
        chunk = next(chunks, b"")
        if not chunk:
            return
        size -= len(chunk)
        yield chunk


if __name__ == "__main__":
    main()
