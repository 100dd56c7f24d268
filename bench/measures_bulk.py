"""Much at once: a multipart upload of gigabytes and its download, with the server's memory watched; batches of deletions.

The peer of the large object is a plain copy of as many bytes to and from the same disk, made durable too.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

from bench.measures_small import BODY, BUCKET, names
from bench.opentrail_server import OpenTrail, start_opentrail
from bench.peers import start_moto
from bench.processes import CannotRun
from bench.report import Row, Target
from bench.run import Run

MIB = 1024 * 1024
PART = 64 * MIB
KEY = "huge"
MEMORY = Target("below", 300.0, " MiB")
SPEED = Target("at least", 0.1, "×")
DELETING = Target("at least", 1.0, "×")


def measure_multipart(run: Run) -> list[Row]:
    """5 GiB in parts of 64 MiB, up and down again."""
    with run.processes("multipart") as processes:
        server = start_opentrail(processes)
        server.s3.create_bucket(Bucket=BUCKET)
        part = os.urandom(PART)
        run.say("copying as many bytes")
        copied_in = _copy(processes.directory / "copy", part, run.parts)
        run.say(f"uploading {run.parts} parts")
        up = _upload(server, part, run.parts)
        run.say("downloading")
        down = _download(server, run.parts * PART)
        copied_out = _read(processes.directory / "copy")
        peak = peak_memory(server.pid) / MIB
    size = f"{run.parts * PART / 1024 / MIB:.2g} GiB"
    return [
        _speed(f"multipart upload, {size}", up, copied_in, "a durable copy of the bytes"),
        _speed(f"download, {size}", down, copied_out, "reading the copy"),
        Row(f"peak memory, {size}", f"{peak:.0f} MiB", "server and writer", MEMORY, [peak]),
    ]


def _speed(measure: str, ours: float, theirs: float, other: str) -> Row:
    return Row(measure, f"{ours:,.0f} MiB/s", f"{other} {theirs:,.0f} MiB/s", SPEED, [ours / theirs])


def _copy(place: Path, part: bytes, parts: int) -> float:
    """MiB a second of writing the bytes to a file that is then durable."""
    began = time.perf_counter()
    with place.open("wb", buffering=0) as file:
        for _ in range(parts):
            file.write(part)
        os.fsync(file.fileno())
    return parts * PART / MIB / (time.perf_counter() - began)


def _read(place: Path) -> float:
    began, size = time.perf_counter(), place.stat().st_size
    with place.open("rb", buffering=0) as file:
        while file.read(MIB):
            pass
    return size / MIB / (time.perf_counter() - began)


def _upload(server: OpenTrail, part: bytes, parts: int) -> float:
    upload = server.s3.create_multipart_upload(Bucket=BUCKET, Key=KEY)["UploadId"]
    where = {"Bucket": BUCKET, "Key": KEY, "UploadId": upload}
    began = time.perf_counter()
    done = [
        {"PartNumber": number, "ETag": server.s3.upload_part(**where, PartNumber=number, Body=part)["ETag"]}
        for number in range(1, parts + 1)
    ]
    server.s3.complete_multipart_upload(**where, MultipartUpload={"Parts": done})
    return parts * PART / MIB / (time.perf_counter() - began)


def _download(server: OpenTrail, size: int) -> float:
    began, got = time.perf_counter(), 0
    body = server.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"]
    while chunk := body.read(MIB):
        got += len(chunk)
    if got != size:
        raise CannotRun(f"{got} bytes came back of {size}")
    return size / MIB / (time.perf_counter() - began)


def peak_memory(pid: int) -> int:
    """The most resident bytes a process and its children had at a time, as Linux counts them (an upper bound: the sum)."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return sum(_high_water(each) for each in (str(pid), *children))
    except FileNotFoundError as error:
        raise CannotRun("memory can only be looked at on Linux, while the server runs") from error


def _high_water(pid: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def measure_deleting(run: Run) -> list[Row]:
    """DeleteObjects of 1,000 keys, against moto, which keeps them in memory and nothing for good."""
    with run.processes("deleting") as processes:
        server, moto = start_opentrail(processes), start_moto(processes, run.environments)
        for s3 in (server.s3, moto.s3):
            s3.create_bucket(Bucket=BUCKET)
        ours, theirs = [], []
        for repetition in range(run.repetitions):
            run.say(f"round {repetition + 1} of {run.repetitions}")
            ours.append(_deletion(server.s3))
            theirs.append(_deletion(moto.s3))
    shown = f"{statistics.median(ours) * 1000:.0f} ms"
    other = f"moto {statistics.median(theirs) * 1000:.0f} ms"
    values = [other / own for own, other in zip(ours, theirs, strict=True)]
    return [Row("batch delete of 1,000", shown, other, DELETING, values, {"opentrail": ours, "moto": theirs})]


def _deletion(s3: Any) -> float:
    """Seconds of one batch."""
    for name in names():
        s3.put_object(Bucket=BUCKET, Key=name, Body=BODY)
    asked = {"Objects": [{"Key": name} for name in names()], "Quiet": True}
    began = time.perf_counter()
    answer = s3.delete_objects(Bucket=BUCKET, Delete=asked)
    taken = time.perf_counter() - began
    if answer.get("Errors"):
        raise CannotRun(f"not all keys were deleted: {answer['Errors'][0]}")
    return taken
