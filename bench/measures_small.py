"""Objects of 1 KiB: signed, authorised, recorded reads and durable writes, against servers that do none of that."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.clients import Asked, presigned
from bench.load import Load, Outcome, Wrk
from bench.opentrail_server import start_opentrail
from bench.peers import EMULATORS, start_nginx
from bench.processes import Processes
from bench.report import Row, Target
from bench.run import Run, ratios

KEYS = 1_000
"""Distinct objects, each with a URL of its own."""
BODY = bytes(range(256)) * 4
BUCKET = "bench"
GET_TARGETS = {"moto": 10.0, "ministack": 3.5, "nginx": 0.1}
PUT_TARGETS = {"moto": 7.0, "ministack": 2.0}


def names() -> list[str]:
    return [f"object-{number:04}" for number in range(KEYS)]


def fill(s3: Any) -> None:
    """The bucket with its objects."""
    s3.create_bucket(Bucket=BUCKET)
    for name in names():
        s3.put_object(Bucket=BUCKET, Key=name, Body=BODY)


def gets(s3: Any, url: str) -> Load:
    asked: list[Asked] = [("get_object", {"Bucket": BUCKET, "Key": name}) for name in names()]
    return Load(url, presigned(s3, asked))


def puts(s3: Any, url: str) -> Load:
    asked: list[Asked] = [("put_object", {"Bucket": BUCKET, "Key": name}) for name in names()]
    return Load(url, presigned(s3, asked), BODY)


def measure_get(run: Run) -> list[Row]:
    """GET of 1 KiB against moto, ministack and nginx."""
    with run.processes("get") as processes:
        loads = {}
        for peer in _servers(run, processes):
            run.say(f"filling {peer.name}")
            fill(peer.s3)
            loads[peer.name] = gets(peer.s3, peer.url)
        root = processes.directory / "files"
        root.mkdir()
        for name in names():
            (root / name).write_bytes(BODY)
        nginx = start_nginx(processes, root)
        loads["nginx"] = Load(nginx.url, [("GET", f"/{name}") for name in names()])
        outcomes = run.take_turns(Wrk(processes.directory), loads)
    return rate_rows("GET 1 KiB", outcomes, GET_TARGETS)


def measure_put(run: Run) -> list[Row]:
    """Durable PUT of 1 KiB against moto and ministack, which keep it in memory."""
    with run.processes("put") as processes:
        loads = {}
        for peer in _servers(run, processes):
            peer.s3.create_bucket(Bucket=BUCKET)
            loads[peer.name] = puts(peer.s3, peer.url)
        outcomes = run.take_turns(Wrk(processes.directory), loads)
    return rate_rows("durable PUT 1 KiB", outcomes, PUT_TARGETS)


def _servers(run: Run, processes: Processes) -> list[Any]:
    started: list[Any] = []
    for name, start in EMULATORS.items():
        run.say(f"starting {name} (the first time, it is installed)")
        started.append(start(processes, run.environments))
    return [start_opentrail(processes), *started]


def rate_rows(measure: str, outcomes: Mapping[str, Sequence[Outcome]], targets: Mapping[str, float]) -> list[Row]:
    """A row for each peer, of answers a second."""
    rates = {name: [outcome.rate for outcome in each] for name, each in outcomes.items()}
    ours = rates["opentrail"]
    return [
        Row(
            measure,
            _rate(ours),
            f"{peer} {_rate(rates[peer])}",
            Target("at least", bound, "×"),
            ratios(ours, rates[peer]),
            {"opentrail": ours, peer: rates[peer], "latency_p50_p99_us": latencies(outcomes["opentrail"])},
        )
        for peer, bound in targets.items()
    ]


def latencies(outcomes: Sequence[Outcome]) -> list[tuple[int, int]]:
    return [(outcome.p50, outcome.p99) for outcome in outcomes]


def _rate(rates: Sequence[float]) -> str:
    return f"{statistics.median(rates):,.0f}/s"
