"""Listings of buckets with a million keys and with ten million: a page must cost what it shows, not what lies around it.

The peer is the same server with a bucket of a thousand keys, asked in the same run: the ratio tells whether size matters.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.clients import Asked, presigned
from bench.filling import fill_bucket
from bench.latency import latencies, percentile
from bench.measures_small import BUCKET
from bench.opentrail_server import OpenTrail, restart_opentrail, start_opentrail
from bench.processes import Processes
from bench.report import Row, Target
from bench.run import Run

PAGE = 1_000
TARGET = Target("below", 10.0, " ms")
TEMPLATE = "a-template"
FOLDERS = 1_000
"""Common prefixes of the large bucket, with as many keys each as it takes."""
SAMPLES = 40
"""Places of a bucket at which a page is asked for."""


def measure_listing(run: Run) -> list[Row]:
    """Pages of 1,000 keys, and of 1,000 common prefixes."""
    with run.processes("listing") as processes:
        server = _filled(run, processes)
        small = _timed(server, _pages("small/", 1, ""), run.repetitions)
        pages = _timed(server, _pages("million/", run.keys // 10, ""), run.repetitions)
        folders = _timed(server, [_asked(Prefix="ten/", Delimiter="/")] * SAMPLES, run.repetitions)
        anew = _timed_anew(server, _asked(Prefix="ten/", Delimiter="/"))
        inside = _timed(server, _folders(run), run.repetitions)
    few = f"the same of 1,000 keys {statistics.median(small):.1f} ms"
    return [
        _row(f"list 1,000 of {run.keys // 10:,} keys", pages, few),
        _row(f"list 1,000 prefixes of {run.keys:,} keys, one of them new", anew, few),
        _row(f"list 1,000 prefixes of {run.keys:,} keys, again", folders, few),
        _row(f"list 1,000 below one of {run.keys:,} keys", inside, few),
    ]


def _filled(run: Run, processes: Processes) -> OpenTrail:
    server = start_opentrail(processes)
    server.s3.create_bucket(Bucket=BUCKET)
    server.s3.put_object(Bucket=BUCKET, Key=TEMPLATE, Body=b"x" * 100)
    processes.stop(server.pid)
    fill_bucket(_data(processes), BUCKET, TEMPLATE, _keys(run.keys), lambda done: run.say(f"{done:,} keys written"))
    return restart_opentrail(processes, server)


def _data(processes: Processes) -> Path:
    return processes.directory / "opentrail"


def _keys(total: int) -> Iterator[str]:
    """Three folders: `small/` with 1,000 keys, `million/` with a tenth of all, `ten/` with all, in a thousand folders."""
    yield from (f"small/{number:010}" for number in range(PAGE))
    yield from (f"million/{number:010}" for number in range(total // 10))
    each = total // FOLDERS
    for folder in range(FOLDERS):
        yield from (f"ten/{folder:04}/{number:08}" for number in range(each))


def _asked(**more: Any) -> Asked:
    return ("list_objects_v2", {"Bucket": BUCKET, "MaxKeys": PAGE, **more})


def _pages(prefix: str, keys: int, delimiter: str) -> list[Asked]:
    """The same page of a small folder, or pages all over a large one."""
    step = max(keys // SAMPLES, 1)
    starts = [f"{prefix}{(number * step) % max(keys - PAGE, 1):010}" for number in range(SAMPLES)]
    return [_asked(Prefix=prefix, Delimiter=delimiter, StartAfter=start if keys > PAGE else "") for start in starts]


def _folders(run: Run) -> list[Asked]:
    step = FOLDERS // SAMPLES
    return [_asked(Prefix=f"ten/{number * step:04}/", Delimiter="/") for number in range(SAMPLES)]


def _timed(server: OpenTrail, asked: list[Asked], rounds: int) -> list[float]:
    requests = presigned(server.s3, asked)
    latencies(server.url, requests[:5], 1)
    return latencies(server.url, requests, rounds)


def _timed_anew(server: OpenTrail, asked: Asked) -> list[float]:
    """A page of common prefixes whenever there is a new one, so that nothing the server remembers is of use."""
    made: list[Asked] = [
        ("put_object", {"Bucket": BUCKET, "Key": f"ten/{0:04}-{number:04}/new"}) for number in range(SAMPLES)
    ]
    taken = latencies(server.url, presigned(server.s3, [each for put in made for each in (put, asked)]), 1)
    return taken[1::2]


def _row(measure: str, values: list[float], other: str) -> Row:
    median, late = statistics.median(values), percentile(values, 0.99)
    return Row(measure, f"median {median:.1f} ms, p99 {late:.1f} ms", other, TARGET, [median], {"milliseconds": values})
