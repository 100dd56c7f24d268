"""The workers of an import, and what passes through them: files are fetched ahead, gathered into jobs of a segment's
size, and their batches are kept in the order in which the files came.

Everything under way is bounded in number and bytes. A worker that dies takes nothing with it: its files are tried again,
fewer at a time, and a file that kills its worker alone is left out by name.
"""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

import msgspec

from opentrail.server.import_files import GZIP, INFLATED_MAX, Unreadable
from opentrail.server.import_sources import LogFile, Source
from opentrail.server.import_worker import Done, Job
from opentrail.stores.history_import import Batch
from opentrail.stores.history_segments import EVENTS_MAX
from opentrail.stores.ledger_writer import FRAME, encode, read_frame

WORKERS_MAX = 4
FETCHERS = 8
"""Threads that fetch files, since a bucket answers one at a time slowly."""
FETCHED_MAX = 64
"""Files fetched ahead."""
FETCHED_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of files fetched ahead, beside one that is larger by itself."""
JOB_FILES_MAX = 10_000
EVENT_BYTES = 1_300
"""What an event takes, until files have shown what theirs take."""
FILL = 0.95
"""How full a segment is aimed to be: how many events a file holds is only guessed."""
STOP_SECONDS_MAX = 10.0

Kept = tuple[int, Done]
"""(bytes of the files, what became of them)."""


class WorkerLost(Exception):
    """A worker's process ended with a job in its hands."""


class _Worker:
    """One process."""

    def __init__(self, directory: Path) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "opentrail.server.import_worker", str(directory), str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for us; it ends when its channel does
        )
        theirs.close()
        self._channel = ours

    def ask(self, job: Job) -> Done:
        """Raises WorkerLost."""
        data = encode(job)
        try:
            self._channel.sendall(FRAME.pack(len(data)) + data)
            frame = read_frame(self._channel)
        except OSError as error:
            raise WorkerLost from error
        if frame is None:
            raise WorkerLost
        return msgspec.msgpack.decode(frame, type=Done)

    def close(self) -> None:
        self._channel.close()
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Workers:
    """As many as there are processors, within bounds."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = max(1, min(os.cpu_count() or 1, WORKERS_MAX))
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._event_bytes = float(EVENT_BYTES)

    def __enter__(self) -> Self:
        self._fetch = ThreadPoolExecutor(FETCHERS, "import-fetch")
        self._ask = ThreadPoolExecutor(self._count, "import-ask")
        return self

    def __exit__(self, *_: object) -> None:
        self._fetch.shutdown(cancel_futures=True)
        self._ask.shutdown(cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().close()

    def batches(self, source: Source, files: Sequence[LogFile], keep: Callable[[Batch], bool]) -> Iterator[Kept]:
        """Have all files made into batches and these kept; tells of each when it is."""
        under_way: deque[tuple[int, Job, list[tuple[str, str]], Future[list[Done]]]] = deque()
        for size, job, failed in self._jobs(source, files):
            under_way.append((size, job, failed, self._ask.submit(self._made, job)))
            if len(under_way) > self._count:
                yield from self._settle(*under_way.popleft(), keep)
        while under_way:
            yield from self._settle(*under_way.popleft(), keep)

    def _settle(
        self,
        size: int,
        job: Job,
        failed: list[tuple[str, str]],
        made: Future[list[Done]],
        keep: Callable[[Batch], bool],
    ) -> Iterator[Kept]:
        self._learn(job, made.result())
        for done in self._kept(job, made.result(), keep):
            yield size, Done(done.batch, [*failed, *done.skipped])
            size, failed = 0, []

    def _kept(self, job: Job, made: Sequence[Done], keep: Callable[[Batch], bool]) -> Iterator[Done]:
        """The batches of a job, kept; made again where a twin of one of their events was kept meanwhile."""
        for done in made:
            if keep(done.batch):
                yield done
                continue
            names = {file.name for file in done.batch.files}
            again = Job([file for file in job.files if file[0] in names])
            for other in self._kept(again, self._made(again), keep):
                yield Done(other.batch, [*done.skipped, *other.skipped])
                done.skipped.clear()

    def _made(self, job: Job) -> list[Done]:
        """The batch of a job; of several smaller ones where a worker was lost with it."""
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:  # there are never more than threads that ask
            worker = _Worker(self._directory)
        try:
            return [worker.ask(job)]
        except WorkerLost:
            worker.close()
            worker = _Worker(self._directory)
        finally:
            self._idle.put(worker)
        if len(job.files) == 1:
            empty = Batch([], [], 0, 0, 1 << 62, b"")
            return [Done(empty, [(job.files[0][0], "the process that read it ended")])]
        half = len(job.files) // 2
        return [*self._made(Job(job.files[:half])), *self._made(Job(job.files[half:]))]

    def _learn(self, job: Job, made: Sequence[Done]) -> None:
        """How large these files' events are."""
        events = sum(done.batch.kept + done.batch.known for done in made)
        if events > EVENTS_MAX // 8:
            self._event_bytes = sum(inflated_size(data) for _, _, data in job.files) / events

    def _jobs(self, source: Source, files: Sequence[LogFile]) -> Iterator[tuple[int, Job, list[tuple[str, str]]]]:
        """(bytes, job, files that could not be fetched), each about a segment's worth."""
        chosen: list[tuple[str, str, bytes]] = []
        failed: list[tuple[str, str]] = []
        size, inflated = 0, 0
        for file, data in self._fetched(source, files):
            if isinstance(data, str):
                failed.append((file.name, data))
                size += file.size
                continue
            coming = inflated_size(data)
            full = inflated + coming > EVENTS_MAX * FILL * self._event_bytes or len(chosen) == JOB_FILES_MAX
            if chosen and full:
                yield size, Job(chosen), failed
                chosen, failed, size, inflated = [], [], 0, 0
            chosen.append((file.name, file.version, data))
            size, inflated = size + file.size, inflated + coming
        yield size, Job(chosen), failed

    def _fetched(self, source: Source, files: Sequence[LogFile]) -> Iterator[tuple[LogFile, bytes | str]]:
        """Each file with its bytes, or the reason why there are none; in order."""
        ahead: deque[tuple[LogFile, Future[bytes]]] = deque()
        for file in files:
            ahead.append((file, self._fetch.submit(source.read, file)))
            while len(ahead) > FETCHED_MAX or sum(each.size for each, _ in ahead) > FETCHED_BYTES_MAX:
                yield _result(*ahead.popleft())
        while ahead:
            yield _result(*ahead.popleft())


def _result(file: LogFile, coming: Future[bytes]) -> tuple[LogFile, bytes | str]:
    try:
        return file, coming.result()
    except Unreadable as error:
        return file, str(error)


def inflated_size(data: bytes) -> int:
    """What a file probably holds: the end of a gzip file tells, truly or not."""
    if not data.startswith(GZIP):
        return len(data)
    return min(max(int.from_bytes(data[-4:], "little"), len(data)), INFLATED_MAX)
