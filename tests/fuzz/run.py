"""Sends the requests of a run to a real server, judges each answer, and in the end the server and its ledger."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from opentrail.stores.ledger_writer import unpack_lines
from tests.clients.server_process import ServerProcess
from tests.fuzz.requests import Request, make
from tests.hostile.raw import HUNG_UP, Answer, Line, signed_bytes

LANES = 4
"""Connections at once. Lane n sends the requests of which the number leaves n when divided by this, in order."""
ANSWER_SECONDS_MAX = 60.0
GROWTH_BYTES_MAX = 96 * 1024 * 1024
"""By how much the server may have grown in the second half of a long run, when all caches are filled."""
FAULTS_MAX = 20
"""Faults after which a run ends early."""
SOUND = frozenset({501, 503, 505})
"""Statuses from 500 on that are no failure of the server: not built, busy, another version of HTTP."""


class FuzzFailed(Exception):
    """Something that must not be."""


@dataclass
class Totals:
    """What became of a run."""

    requests: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    operations: set[str] = field(default_factory=set)
    slowest: tuple[float, str] = (0.0, "")
    memory: list[tuple[int, int]] = field(default_factory=list)
    """(requests, bytes) seen on the way: what the server and its writer have in memory."""
    records: int = 0
    recorded: list[str] = field(default_factory=list)
    """Ids of requests that succeeded and so must be in the ledger, once."""
    faults: list[str] = field(default_factory=list)


Say = Callable[[str], None]


def run(directory: Path, requests: int, seed: int, say: Say, only: int | None = None) -> Totals:
    """A whole run. Raises FuzzFailed with everything that is wrong."""
    server = ServerProcess(directory)
    totals = Totals()
    try:
        server.start()
        _furnish(server)
        numbers = range(requests) if only is None else range(only, only + 1)
        _fire(server, numbers, seed, totals, say)
        _check_alive(server, totals)
        status = server.stop()
        if status:
            totals.faults.append(f"the server ended with status {status}")
        if server.tracebacks():
            totals.faults.append("in the server's log:\n" + _first_traceback(server.log()))
        _check_ledger(directory / "data", totals)
        _check_restart(server, directory / "data", totals)
    finally:
        server.kill()
    if totals.faults:
        raise FuzzFailed("\n".join(totals.faults[:FAULTS_MAX]))
    return totals


def _furnish(server: ServerProcess) -> None:
    """Something that the requests may find."""
    s3 = server.client("s3")
    for name in ("fuzz-a", "fuzz-b"):
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key="k", Body=b"a,b\n1,2\n")
        s3.put_object(Bucket=name, Key="keep", Body=b"so that no request can delete the bucket")
    server.client("sqs").create_queue(QueueName="fuzz-a")
    server.client("sns").create_topic(Name="fuzz-b")
    server.client("iam").create_user(UserName="victim")


def _fire(server: ServerProcess, numbers: range, seed: int, totals: Totals, say: Say) -> None:
    lock = threading.Lock()
    began = time.monotonic()
    threads = [
        threading.Thread(target=_lane, args=(server, numbers[lane::LANES], seed, totals, lock), daemon=True)
        for lane in range(LANES)
    ]
    for thread in threads:
        thread.start()
    told = 0
    while any(thread.is_alive() for thread in threads):
        threads[0].join(0.2) if threads[0].is_alive() else time.sleep(0.2)
        done = totals.requests
        if done - told >= max(len(numbers) // 20, 1):
            told = done
            totals.memory.append((done, memory_of(server)))
            rate = done / (time.monotonic() - began)
            say(f"{done} of {len(numbers)} requests, {rate:.0f} a second, {totals.memory[-1][1] / 2**20:.0f} MiB")
    totals.seconds = time.monotonic() - began
    if totals.requests < len(numbers) and not totals.faults:
        totals.faults.append("a lane ended before its last request")
    totals.memory.append((totals.requests, memory_of(server)))
    _check_memory(totals)


def _lane(server: ServerProcess, numbers: range, seed: int, totals: Totals, lock: threading.Lock) -> None:
    line: Line | None = None

    def sign(*arguments: object) -> bytes:
        return signed_bytes(server, *arguments)  # type: ignore[arg-type]

    for number in numbers:
        if len(totals.faults) >= FAULTS_MAX:
            return
        request = make(seed, number, sign)
        began = time.monotonic()
        try:
            line, answer = _send(server, line, request)
            fault = _judge(request, answer)
        except TimeoutError:
            line, answer, fault = None, HUNG_UP, "no answer"
        except OSError as error:
            line, answer, fault = None, HUNG_UP, f"no connection: {error}"
        took = time.monotonic() - began
        with lock:
            _note(totals, number, seed, request, answer, fault, took)


def _note(totals: Totals, number: int, seed: int, request: Request, answer: Answer, fault: str, took: float) -> None:
    totals.requests += 1
    totals.kinds[request.kind] += 1
    totals.statuses[answer.status] += 1
    totals.operations.add(request.operation)
    totals.slowest = max(totals.slowest, (took, f"{number} {request.kind} {request.operation}"))
    request_id = answer.headers.get("x-amz-request-id") or answer.headers.get("x-amzn-requestid")
    if request.recorded and 200 <= answer.status < 300 and request_id:
        totals.recorded.append(request_id)
    if fault:
        again = f"python -m tests.fuzz --seed {seed} --only {number}"
        totals.faults.append(f"{request.kind} {request.operation}: {fault} ({again})\n    {request.data[:300]!r}")


def _send(server: ServerProcess, line: Line | None, request: Request) -> tuple[Line | None, Answer]:
    """The answer, and the connection if it may be used again. What is no whole request gets a line of its own, and then the
    end of what the client has to say, so that the server need not wait for more."""
    for fresh in (False, True):
        if line is None or not request.whole:
            line, fresh = Line(server), True
        line.send(request.data)
        if not request.whole:
            _end(line)
        answer = line.answer(request.method)
        if answer is HUNG_UP or answer.headers.get("connection") == "close" or not request.whole:
            line.__exit__()
            line = None
        if answer is not HUNG_UP or fresh:
            break
    return line, answer


def _end(line: Line) -> None:
    try:
        line.socket.shutdown(1)
    except OSError:
        return  # it has hung up already


def _judge(request: Request, answer: Answer) -> str:
    """What is wrong with the answer; nothing if it is empty."""
    if answer is HUNG_UP:
        return "hung up" if request.whole else ""
    if answer.status >= 500 and answer.status not in SOUND:
        return f"status {answer.status}: {answer.text[:300]}"
    if answer.status == 503 and "Busy" not in answer.text and "SlowDown" not in answer.text:
        return f"status 503: {answer.text[:300]}"
    return ""


def memory_of(server: ServerProcess) -> int:
    """Bytes that the server and the processes it started have in memory; 0 where there is no /proc."""
    total = 0
    for each in Path("/proc").glob("[0-9]*"):
        try:
            fields = (each / "stat").read_text().rsplit(")", 1)[1].split()
            if server.pid in (int(each.name), int(fields[1])):
                total += int((each / "statm").read_text().split()[1]) * 4096
        except (OSError, IndexError):
            continue
    return total


def _check_memory(totals: Totals) -> None:
    """What is kept for each request would show: between the middle and the end of a run the server hardly grows."""
    if len(totals.memory) < 10:
        return
    middle, end = totals.memory[len(totals.memory) // 2][1], totals.memory[-1][1]
    if end - middle > GROWTH_BYTES_MAX:
        totals.faults.append(f"the server grew from {middle} to {end} bytes in the second half")


def _check_alive(server: ServerProcess, totals: Totals) -> None:
    with urllib.request.urlopen(server.url + "/_opentrail/health", timeout=ANSWER_SECONDS_MAX) as answer:
        if json.loads(answer.read())["status"] != "ok":
            totals.faults.append("the server is not well")


def _first_traceback(log: str) -> str:
    place = log.index("Traceback")
    return log[max(place - 300, 0) : place + 4_000]


def _check_ledger(data: Path, totals: Totals) -> None:
    """The file is whole, its lines are JSON in order, and what succeeded is there, once."""
    connection = sqlite3.connect(f"file:{data / 'ledger.db'}?mode=ro", uri=True)
    try:
        [(verdict,)] = connection.execute("PRAGMA integrity_check").fetchall()
        rows = connection.execute("SELECT lines FROM batches ORDER BY last").fetchall()
    finally:
        connection.close()
    if verdict != "ok":
        totals.faults.append(f"the ledger's file: {verdict}")
    lines = [line for (batch,) in rows for line in unpack_lines(batch)]
    if any(left[0] >= right[0] for left, right in pairwise(lines)):
        totals.faults.append("the ledger's lines are not in order")
    records = [json.loads(line) for _, kind, line in lines if kind == 0]
    totals.records = len(records)
    found = Counter(record.get("requestID") for record in records)
    lost = [each for each in totals.recorded if not found[each]]
    if lost:
        totals.faults.append(f"{len(lost)} calls succeeded and are not in the ledger, the first {lost[0]}")
    events = Counter(record["eventID"] for record in records)
    if any(count > 1 for count in events.values()):
        totals.faults.append("an eventID is twice in the ledger")


def _check_restart(server: ServerProcess, data: Path, totals: Totals) -> None:
    """A start finds nothing to sweep away: no blob was left that no row names."""
    before = _blobs(data)
    server.start()
    _check_alive(server, totals)
    after = _blobs(data)
    server.stop()
    if after != before:
        totals.faults.append(f"blobs before the restart: {len(before)}, after it: {len(after)}")


def _blobs(data: Path) -> set[str]:
    return {each.name for each in (data / "blobs").rglob("*") if each.is_file()}
