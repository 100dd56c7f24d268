"""One large object: how much of nginx's speed is left when the bytes come from a store that records."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence

from bench.clients import presigned
from bench.load import Load, Outcome, Wrk
from bench.measures_small import BUCKET
from bench.opentrail_server import start_opentrail
from bench.peers import start_nginx
from bench.report import Row, Target
from bench.run import Run, ratios

SIZE = 64 * 1024 * 1024
NAME = "large"
TARGET = Target("at least", 0.5, "×")
MIB = 1024 * 1024
CONNECTIONS = 4
"""With many, all share the bandwidth and none of them has its object within a second."""


def measure_large(run: Run) -> list[Row]:
    """GET of 64 MiB, in bytes a second."""
    with run.processes("large") as processes:
        root = processes.directory / "files"
        root.mkdir()
        data = os.urandom(SIZE)
        (root / NAME).write_bytes(data)
        nginx = start_nginx(processes, root)
        server = start_opentrail(processes)
        server.s3.create_bucket(Bucket=BUCKET)
        server.s3.put_object(Bucket=BUCKET, Key=NAME, Body=data)
        signed = presigned(server.s3, [("get_object", {"Bucket": BUCKET, "Key": NAME})])
        loads = {
            "opentrail": Load(server.url, signed, connections=CONNECTIONS),
            "nginx": Load(nginx.url, [("GET", f"/{NAME}")], connections=CONNECTIONS),
        }
        outcomes = run.take_turns(Wrk(processes.directory), loads)
    ours, theirs = (_speeds(outcomes[name]) for name in ("opentrail", "nginx"))
    more: dict[str, object] = {"opentrail": ours, "nginx": theirs}
    return [Row("GET 64 MiB", _shown(ours), f"nginx {_shown(theirs)}", TARGET, ratios(ours, theirs), more)]


def _speeds(outcomes: Sequence[Outcome]) -> list[float]:
    return [outcome.throughput for outcome in outcomes]


def _shown(speeds: Sequence[float]) -> str:
    return f"{statistics.median(speeds) / MIB:,.0f} MiB/s"
