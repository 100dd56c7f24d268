"""What recording costs: the same server with and without it, everything else alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from bench.load import Load, Outcome, Wrk
from bench.measures_small import fill, gets, puts
from bench.opentrail_server import start_opentrail
from bench.report import Row, Target
from bench.run import Run

TARGET = Target("at most", 15.0, " %")


def measure_recording(run: Run) -> list[Row]:
    """Throughput lost to recording, of reads (which then need no disk at all) and of writes."""
    with run.processes("recording") as processes:
        servers = [start_opentrail(processes), start_opentrail(processes, "unrecorded", ["--no-record"])]
        for server in servers:
            run.say(f"filling {server.name}")
            fill(server.s3)
        wrk = Wrk(processes.directory)
        kinds: dict[str, Callable[[Any, str], Load]] = {"GET": gets, "PUT": puts}
        return [
            _row(name, run.take_turns(wrk, {server.name: make(server.s3, server.url) for server in servers}))
            for name, make in kinds.items()
        ]


def _row(name: str, outcomes: dict[str, list[Outcome]]) -> Row:
    with_it, without = (_rates(outcomes[server]) for server in ("opentrail", "unrecorded"))
    lost = [100.0 * (1 - recorded / bare) for recorded, bare in zip(with_it, without, strict=True)]
    more: dict[str, object] = {"recorded": with_it, "unrecorded": without}
    return Row(f"cost of recording, {name} 1 KiB", _shown(with_it), f"unrecorded {_shown(without)}", TARGET, lost, more)


def _rates(outcomes: Sequence[Outcome]) -> list[float]:
    return [outcome.rate for outcome in outcomes]


def _shown(rates: Sequence[float]) -> str:
    return f"{statistics.median(rates):,.0f}/s"
