"""The event history at scale: log files by the million imported, then looked up, over HTTP and on the command line.

The peer is what one does without a history: scanning the very same .json.gz files with zcat and grep.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bench.clients import Key
from bench.history_events import ACCOUNTS, REGIONS, cast, events
from bench.opentrail_server import OpenTrail, restart_opentrail, start_opentrail
from bench.processes import CannotRun, tool
from bench.report import Row, Target
from bench.run import Run

DAYS = 89
FILE_EVENTS = 250
FILES_PER_TASK = 200
ASKED = 60
"""Look-ups of each kind."""
PAGES = 5
NAME = "history"
RECEIVED_MAX = 256 * 1024
"""Bytes that are received at once."""
MEDIAN, P99 = Target("below", 5.0, " ms"), Target("below", 50.0, " ms")
RATE = Target("at least", 20_000, "/s")
SIZE = Target("at most", 0.25, "×")
SCAN = Target("at least", 20, "×")


@dataclass(frozen=True, slots=True)
class Question:
    """A LookupEvents call; `kind` groups those whose times are told together."""

    kind: str
    body: dict[str, object]


def measure_history(run: Run) -> list[Row]:
    """Import, size, LookupEvents by every attribute, `opentrail lookup`."""
    with run.processes("history") as processes:
        logs, data = processes.directory / "logs", processes.directory / NAME
        run.say(f"writing {run.events:,} events into log files")
        raw = _write_logs(logs, run.events)
        run.say("importing")
        seconds = _command("import", str(logs), "--data-dir", str(data))[0]
        kept = (data / "imported.db").stat().st_size
        server = start_opentrail(processes, NAME, ["--account-id", ACCOUNTS[0], "--lookup-rate", "0"])
        questions, rounds = list(_questions(logs)), []
        for repetition in range(run.repetitions):
            run.say(f"round {repetition + 1} of {run.repetitions}: looking up over HTTP")
            rounds.append(_look_up(server, questions, run.events))
            processes.stop(server.pid)  # what a server remembers of a question must not answer it in the next round
            server = restart_opentrail(processes, server)
        run.say("looking up on the command line, and scanning")
        ours, theirs = _search(logs, data)
    return [
        Row("import", f"{run.events:,} events", f"{seconds:.0f} s", RATE, [run.events / seconds]),
        Row(
            "history on disk",
            f"{kept / run.events:.0f} B an event",
            f"JSON {raw / run.events:.0f} B",
            SIZE,
            [kept / raw],
        ),
        *_latencies(rounds, run.events),
        Row("opentrail lookup, 3 filters", f"{ours:.2f} s", f"zcat | grep {theirs:.1f} s", SCAN, [theirs / ours]),
    ]


def _write_logs(root: Path, count: int) -> int:
    """Log files of so many events over the last days; the bytes of their records."""
    root.mkdir()
    start, per_task = time.time() - DAYS * 86_400, FILE_EVENTS * FILES_PER_TASK
    tasks = -(-count // per_task)
    step = DAYS * 86_400 / tasks
    with ProcessPoolExecutor() as pool:
        sizes = pool.map(
            _write_some,
            itertools.repeat(root),
            range(tasks),
            (start + step * task for task in range(tasks)),
            itertools.repeat(step),
            (min(per_task, count - task * per_task) for task in range(tasks)),
        )
        return sum(sizes)


def _write_some(root: Path, task: int, start: float, seconds: float, count: int) -> int:
    size, made = 0, events(cast(), task, start, seconds, count)
    for number in itertools.count():
        records = list(itertools.islice(made, FILE_EVENTS))
        if not records:
            return size
        size += sum(map(len, records))
        moment = time.gmtime(start + seconds * number * FILE_EVENTS / count)
        stamp = time.strftime("%Y%m%dT%H%MZ", moment)
        folder = root / "AWSLogs" / ACCOUNTS[0] / "CloudTrail" / REGIONS[0] / time.strftime("%Y/%m/%d", moment)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{ACCOUNTS[0]}_CloudTrail_{REGIONS[0]}_{stamp}_{task:05}{number:04}.json.gz"
        (folder / name).write_bytes(gzip.compress(b'{"Records":[' + b",".join(records) + b"]}", 6))
    raise AssertionError


def _command(*arguments: str) -> tuple[float, str]:
    """(seconds, output) of an opentrail command."""
    program = Path(sys.executable).with_name("opentrail")
    started = time.perf_counter()
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(f"opentrail {arguments[0]} failed: {done.stderr[-500:]}")
    return time.perf_counter() - started, done.stdout


def _questions(logs: Path) -> Iterator[Question]:
    """Every attribute: what most events have, what few have, and what none has."""
    rng, people = random.Random(3), cast()
    samples = [record for path in _some(logs, ASKED) for record in _management(path)]
    ids = [record["eventID"] for record in samples]
    keys = [record["userIdentity"]["accessKeyId"] for record in samples]
    values = {
        "EventName": [name for _, name in people.names],
        "EventSource": sorted({source for source, _ in people.names}),
        "Username": people.users,
        "ResourceName": people.buckets + people.users,
        "ResourceType": ["AWS::S3::Bucket", "AWS::IAM::User"],
        "AccessKeyId": keys,
        "EventId": ids,
        "ReadOnly": ["true", "false"],
    }
    yield from (Question("no attribute", {"MaxResults": 50}) for _ in range(ASKED))
    for key, few in values.items():
        asked = [
            *few[:10],
            *few[-10:],
            *rng.choices(few, k=ASKED - 30),
            *(["none"] * 10 if key != "ReadOnly" else few * 5),
        ]
        for value in asked:
            yield Question(
                key, {"LookupAttributes": [{"AttributeKey": key, "AttributeValue": value}], "MaxResults": 50}
            )


def _some(logs: Path, count: int) -> list[Path]:
    paths = sorted(logs.rglob("*.json.gz"))
    return paths[:: max(len(paths) // count, 1)][:count]


def _management(path: Path) -> list[dict[str, object]]:
    """One of a file's events that LookupEvents shows."""
    shown = (
        record
        for record in json.loads(gzip.decompress(path.read_bytes()))["Records"]
        if record["managementEvent"]
        and (record["recipientAccountId"], record["awsRegion"]) == (ACCOUNTS[0], REGIONS[0])
    )
    return list(itertools.islice(shown, 1))


def _look_up(server: OpenTrail, questions: list[Question], count: int) -> dict[str, list[float]]:
    """Milliseconds of each kind of question, further pages among them."""
    lookups = _Lookups(server.url, server.key)
    random.Random(4).shuffle(questions)
    for question in questions[:20]:
        lookups.ask(question.body)  # the server's first ones are slower
    times: dict[str, list[float]] = {}
    found = 0
    for question in questions:
        body = dict(question.body)
        for _ in range(PAGES):
            milliseconds, answer = lookups.ask(body)
            times.setdefault(question.kind, []).append(milliseconds)
            found += len(answer["Events"])
            if "NextToken" not in answer:
                break
            body["NextToken"] = answer["NextToken"]
    if found < min(count, 10_000):
        raise CannotRun(f"the look-ups found {found} events only")
    return times


class _Lookups:
    """LookupEvents over one connection. What is timed is from the first byte sent to the last received: reading HTTP and
    JSON is the client's own affair."""

    def __init__(self, url: str, key: Key) -> None:
        self._url, self._place = url, urlsplit(url)
        self._signer = SigV4Auth(Credentials(*key), "cloudtrail", REGIONS[0])
        self._socket = socket.create_connection((self._place.hostname or "", self._place.port or 0), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, body: dict[str, object]) -> tuple[float, dict[str, list[object]]]:
        request = self._request(json.dumps(body).encode())
        started = time.perf_counter()
        self._socket.sendall(request)
        received = bytearray()
        while (end := received.find(b"\r\n\r\n") + 4) < 4:
            received += self._receive()
        head = bytes(received[:end]).lower()
        size = end + int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        while len(received) < size:
            received += self._receive()
        milliseconds = (time.perf_counter() - started) * 1_000
        data = bytes(received[end:])
        if not head.startswith(b"http/1.1 200 "):
            raise CannotRun(f"LookupEvents was refused: {data[:300]!r}")
        return milliseconds, json.loads(data)

    def _request(self, body: bytes) -> bytes:
        target = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1", "Host": self._place.netloc}
        request = AWSRequest("POST", self._url + "/", data=body, headers=headers)
        self._signer.add_auth(request)
        request.headers["Content-Length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        return f"POST / HTTP/1.1\r\n{lines}\r\n".encode() + body

    def _receive(self) -> bytes:
        if part := self._socket.recv(RECEIVED_MAX):
            return part
        raise CannotRun("the server closed the connection in the middle of an answer")


def _latencies(rounds: Sequence[dict[str, list[float]]], count: int) -> list[Row]:
    """The attribute that fares worst in a round counts for it."""
    rows = []
    for name, at, target in (("median", 0.5, MEDIAN), ("99th percentile", 0.99, P99)):
        told = [{kind: sorted(each)[int(len(each) * at)] for kind, each in times.items()} for times in rounds]
        over_rounds = {kind: statistics.median(each[kind] for each in told) for kind in told[0]}
        worst = max(over_rounds, key=lambda kind: over_rounds[kind])
        ours = f"{statistics.median(over_rounds.values()):.1f} ms, {worst} {over_rounds[worst]:.1f} ms"
        values = [max(each.values()) for each in told]
        rows.append(Row(f"LookupEvents, {name}", ours, f"{count:,} events", target, values, {"by_kind": over_rounds}))
    return rows


def _search(logs: Path, data: Path) -> tuple[float, float]:
    """Seconds of `opentrail lookup` for one event by three filters, and of scanning the files for the same one."""
    [record] = _management(_some(logs, 3)[1])
    source, name = str(record["eventSource"]), str(record["eventName"])
    filters = ["--event-id", str(record["eventID"]), "--source", source, "--event", name]
    ours = []
    for _ in range(5):
        seconds, output = _command("lookup", "--data-dir", str(data), "--json", *filters)
        if json.loads(output) != record:
            raise CannotRun("opentrail lookup did not find the event")
        ours.append(seconds)
    command = f"find {logs} -name '*.gz' -print0 | xargs -0 zcat | tr '}}' '\\n' | grep -c {record['eventID']}"
    tool("zcat")
    started = time.perf_counter()
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=False, env=dict(os.environ, LC_ALL="C")
    )
    if int(done.stdout or 0) < 1:
        raise CannotRun(f"scanning found nothing: {done.stderr[-300:]}")
    return statistics.median(ours), time.perf_counter() - started
