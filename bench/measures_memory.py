"""Memory of the server and its writer after few calls and after many."""

from __future__ import annotations

from pathlib import Path

from bench.clients import Asked, presigned
from bench.load import Load, Wrk
from bench.measures_small import BODY, BUCKET, fill, names
from bench.opentrail_server import OpenTrail, start_opentrail
from bench.processes import CannotRun
from bench.report import Row, Target
from bench.run import Run

FEW = 1_000
TARGET = Target("at most", 20.0, " %")
MIB = 1024 * 1024
SECONDS_MAX = 300
"""For as many calls as are asked for, on the slowest machine."""


def measure_memory(run: Run) -> list[Row]:
    """Two looks at resident memory: after 1,000 and after 100,000 mixed calls."""
    with run.processes("memory") as processes:
        server = start_opentrail(processes)
        run.say("filling opentrail")
        fill(server.s3)
        load, wrk = mixed(server), Wrk(processes.directory)
        wrk.run(load, SECONDS_MAX, answers=FEW)
        before = resident(server.pid)
        run.say(f"{run.calls:,} mixed calls")
        done = wrk.run(load, SECONDS_MAX, answers=run.calls - FEW).requests
        after = resident(server.pid)
    first, last = before["VmRSS"], after["VmRSS"]
    more: dict[str, object] = {"after few": before, "after many": after, "calls": done}
    shown = f"{last / MIB:.0f} MiB after {done + FEW:,} calls"
    return [
        Row("growth of memory", shown, f"{first / MIB:.0f} MiB after {FEW:,}", TARGET, [100 * (last / first - 1)], more)
    ]


def mixed(server: OpenTrail) -> Load:
    """Reads, writes, listings, deletions and refused reads, in turn. (wrk cannot do HEAD.)"""
    asked: list[Asked] = []
    for number, name in enumerate(names()):
        place = {"Bucket": BUCKET, "Key": name}
        asked += [("get_object", place), ("put_object", place), ("get_object", place), ("put_object", place)]
        asked.append(("list_objects_v2", {"Bucket": BUCKET, "MaxKeys": 10, "Prefix": name[:-2]}))
        if number % 4 == 0:
            passing = {"Bucket": BUCKET, "Key": f"passing-{number}"}
            asked += [("put_object", passing), ("get_object", passing), ("delete_object", passing)]
    return Load(server.url, presigned(server.s3, asked), BODY)


def resident(pid: int) -> dict[str, int]:
    """Resident bytes of a process and its children, by kind, as Linux counts them."""
    total = dict.fromkeys(("VmRSS", "RssAnon", "RssFile"), 0)
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (str(pid), *children):
            for line in Path(f"/proc/{each}/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in total:
                    total[name] += int(value.split()[0]) * 1024
    except FileNotFoundError as error:
        raise CannotRun("memory can only be looked at on Linux, while the server runs") from error
    return total
