"""Log files: how quickly a trail catches up with what it missed, whether it keeps up, and what calls notice of it.

One trail logs all data events. A client asks for an object again and again, a hundred times a second, and its waiting is
what the delivery costs others. How far the delivery is, the server's own metrics tell.
"""

from __future__ import annotations

import http.client
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import story
from bench.clients import presigned
from bench.ledger_lines import fill_ledger
from bench.measures_memory import MIB, resident
from bench.measures_small import BUCKET, fill, names
from bench.opentrail_server import OpenTrail, start_again, start_opentrail
from bench.processes import CannotRun, Processes
from bench.report import Row, Target
from bench.run import Run

ROOT = Path(__file__).parents[1]
RATE = 5_000
CATCH_UP = Target("at least", 20_000.0, "/s")
KEEP_UP = Target("at least", float(RATE), "/s")
P99 = Target("below", 50.0, " ms")
MARGIN = 1.04
"""Lines are put in a little quicker than the target says, so that a rounding does not decide."""
INTERVAL = "1"
"""Seconds between deliveries: a hundredth of the default, which makes it harder."""
PAUSE_SECONDS = 0.01
WAIT_SECONDS_MAX = 120.0
KEEP_UP_ROUNDS = 4
"""So many repetitions' time of steady load."""

Requests = Sequence[tuple[str, str]]
"""(method, path with query) of the GETs, used in turn."""


def measure_delivery(run: Run) -> list[Row]:
    """Catching up and keeping up, of one trail that logs everything."""
    with run.processes("delivery") as processes:
        server = start_opentrail(processes, options=["--delivery-interval", INTERVAL])
        run.say("a trail that logs all data events")
        fill(server.s3)
        requests = presigned(server.client("s3"), [("get_object", {"Bucket": BUCKET, "Key": each}) for each in names()])
        _trail(server)
        idle = _asked(server, requests, lambda: time.sleep(run.seconds))
        caught = _catch_up(run, processes, server, requests)
        kept = _keep_up(run, processes, server, requests)
    return [*_caught_rows(run, idle, caught), *_kept_rows(run, idle, kept)]


@dataclass(slots=True)
class Seen:
    """What a phase showed: events a second, the waiting of its GETs in milliseconds, memory in MiB."""

    rate: float
    waits: list[float]
    memory: float
    behind: list[float] = field(default_factory=list)
    """Lines that the delivery had not read, looked at now and then."""


def _trail(server: OpenTrail) -> None:
    s3, trails = server.client("s3"), server.client("cloudtrail")
    s3.create_bucket(Bucket=story.LOGS)
    everybody = {"Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "s3:*"}
    arns = [f"arn:aws:s3:::{story.LOGS}", f"arn:aws:s3:::{story.LOGS}/*"]
    s3.put_bucket_policy(Bucket=story.LOGS, Policy=story.policy({**everybody, "Resource": arns}))
    trails.create_trail(Name=story.TRAIL, S3BucketName=story.LOGS, EnableLogFileValidation=True)
    objects = {"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}
    trails.put_event_selectors(TrailName=story.TRAIL, EventSelectors=[{"DataResources": [objects]}])
    trails.start_logging(Name=story.TRAIL)


def _catch_up(run: Run, processes: Processes, server: OpenTrail, requests: Requests) -> Seen:
    """Stop, put lines into the ledger, start, and wait for all of them to lie in log files."""
    _settle(server)
    before = _metric(server, "trail_events_delivered_total")
    processes.stop(server.pid)
    run.say(f"{run.lines:,} lines into the ledger")
    fill_ledger(processes.directory / server.name, run.lines)
    run.say(f"catching up with {run.lines:,} lines")
    port = urlsplit(server.url).port or 0
    pid = start_again(processes, server.name, ["--delivery-interval", INTERVAL], port, server.key)
    began = time.monotonic()

    def wait() -> None:
        _until(lambda: _metric(server, "trail_events_delivered_total") >= before + run.lines)

    waits = _asked(server, requests, wait)
    seen = Seen(run.lines / (time.monotonic() - began), waits, resident(pid)["VmRSS"] / MIB)
    processes.stop(pid)
    return seen


def _keep_up(run: Run, processes: Processes, server: OpenTrail, requests: Requests) -> Seen:
    """The server with lines put in at a steady rate, for a while."""
    run.say(f"keeping up with {RATE:,} events a second")
    port = urlsplit(server.url).port or 0
    given = [str(int(RATE * MARGIN)), str(processes.directory / server.name), str(port), *server.key, INTERVAL]
    command = [sys.executable, "-m", "bench.busy_server", *given]
    pid = processes.start("busy", command, port, {"PYTHONPATH": str(ROOT)})
    behind: list[float] = []
    time.sleep(2 * float(INTERVAL))
    before, began = _metric(server, "trail_events_delivered_total"), time.monotonic()

    def watch() -> None:
        while time.monotonic() < began + KEEP_UP_ROUNDS * run.seconds:
            behind.append(_metric(server, 'follower_lag_lines{follower="delivery"}'))
            time.sleep(0.5)

    waits = _asked(server, requests, watch)
    delivered = _metric(server, "trail_events_delivered_total") - before
    return Seen(delivered / (time.monotonic() - began), waits, resident(pid)["VmRSS"] / MIB, behind)


def _asked(server: OpenTrail, requests: Requests, meanwhile: Callable[[], None]) -> list[float]:
    """Milliseconds of each GET while something goes on."""
    over, waits = threading.Event(), list[float]()
    thread = threading.Thread(target=_ask, args=(server.url, requests, over, waits))
    thread.start()
    try:
        meanwhile()
    finally:
        over.set()
        thread.join()
    return waits


def _ask(url: str, requests: Requests, over: threading.Event, waits: list[float]) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    number = 0
    while not over.wait(PAUSE_SECONDS):
        _, path = requests[number % len(requests)]
        number += 1
        began = time.perf_counter()
        connection.request("GET", path)
        connection.getresponse().read()
        waits.append(1000 * (time.perf_counter() - began))
    connection.close()


def _settle(server: OpenTrail) -> None:
    """Until everything that happened is delivered."""
    time.sleep(2 * float(INTERVAL))
    _until(lambda: _metric(server, "trail_undelivered_files") == 0)


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not reached():
        if time.monotonic() > deadline:
            raise CannotRun(f"the delivery is not through within {WAIT_SECONDS_MAX:g} s")
        time.sleep(0.1)


def _metric(server: OpenTrail, name: str) -> float:
    """The number of a metric, that of the only trail when it has a label."""
    with urllib.request.urlopen(f"{server.url}/_opentrail/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"opentrail_{name}"):
                return float(line.rpartition(" ")[2])
    raise CannotRun(f"the server has no metric {name}")


def _caught_rows(run: Run, idle: list[float], seen: Seen) -> list[Row]:
    more: dict[str, object] = {"MiB": seen.memory, "waits": _told(seen.waits)}
    shown = f"{seen.rate:,.0f}/s, {seen.memory:.0f} MiB"
    return [
        Row("log files, catching up", shown, f"{run.lines:,} events", CATCH_UP, [seen.rate], more),
        _waiting("GET p99 while catching up", idle, seen),
    ]


def _kept_rows(run: Run, idle: list[float], seen: Seen) -> list[Row]:
    more: dict[str, object] = {"behind": seen.behind, "MiB": seen.memory, "waits": _told(seen.waits)}
    shown = f"{seen.rate:,.0f}/s, {max(seen.behind):,.0f} lines behind"
    given = f"{RATE:,} events/s, {KEEP_UP_ROUNDS * run.seconds} s"
    return [
        Row("log files, keeping up", shown, given, KEEP_UP, [seen.rate], more),
        _waiting("GET p99 while keeping up", idle, seen),
    ]


def _waiting(name: str, idle: list[float], seen: Seen) -> Row:
    p99 = _p99(seen.waits)
    median = statistics.median(seen.waits)
    return Row(name, f"{p99:.1f} ms, median {median:.1f} ms", f"otherwise {_p99(idle):.1f} ms", P99, [p99])


def _p99(waits: list[float]) -> float:
    return statistics.quantiles(waits, n=100)[-1]


def _told(waits: list[float]) -> dict[str, Any]:
    return {"p50": statistics.median(waits), "p99": _p99(waits), "max": max(waits), "count": len(waits)}
