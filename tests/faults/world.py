"""A server with a trail that logs everything, calls to be logged, and the judges of what came of them."""

from __future__ import annotations

import json
import re
import resource
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.clients.server_process import ACCOUNT, TOOLS, ServerProcess
from tests.clients.trail_log import TrailLog, log_bucket_policy

WAIT_SECONDS_MAX = 120.0
BUCKET = "faulty-logs"


class ClockedServer(ServerProcess):
    """A server whose clock is wrong by as much as is written into a file."""

    def __init__(self, directory: Path, **options: str) -> None:
        super().__init__(directory, **options)
        self.offset = directory / "offset"
        self.offset.write_text("0")
        self.program = [sys.executable, "-m", "tests.faults.clocked_server", str(self.offset)]

    def step(self, seconds: float) -> None:
        """Set the clock; from now on it is wrong by `seconds`."""
        fresh = self.offset.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.rename(self.offset)


class World:
    """One server, one trail. `called` are the request ids of every call that was acknowledged."""

    def __init__(self, server: ServerProcess, name: str = "faulty") -> None:
        self.server, self.name = server, name
        self.called: list[str] = []
        self.started = _now()
        self.s3, self.cloudtrail = server.client("s3"), server.client("cloudtrail")
        self.trail = TrailLog(self.s3, BUCKET, name)
        self.s3.create_bucket(Bucket=BUCKET)
        self.permit()
        self.cloudtrail.create_trail(Name=name, S3BucketName=BUCKET, EnableLogFileValidation=True)
        self.cloudtrail.start_logging(Name=name)

    def again(self) -> None:
        """Start the server, after it has ended somehow."""
        self.server.start()
        self.s3, self.cloudtrail = self.server.client("s3"), self.server.client("cloudtrail")
        self.trail.s3 = self.s3

    def call(self, count: int = 3, *, large: bool = False) -> None:
        """Calls that have to be logged; `large` ones fill 6 KiB of a log file each."""
        for _ in range(count):
            names = [_noise() for _ in range(100)] if large else []
            answer = self.cloudtrail.describe_trails(trailNameList=names)
            self.called.append(answer["ResponseMetadata"]["RequestId"])

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cloudtrail.get_trail_status(Name=self.name)
        return found

    def metric(self, name: str) -> float:
        """The trail's number of a metric."""
        for line in self.server.metrics().splitlines():
            if line.startswith(f"opentrail_trail_{name}{{"):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"there is no metric {name}")

    def until(self, ready: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not (found := ready()):
            assert time.monotonic() < deadline, f"it did not come: {self.status()}\n{self.server.log()[-3000:]}"
            time.sleep(0.1)
        return found

    def settled(self) -> None:
        """Wait until everything is delivered, the last calls included, and a digest names it."""
        self.until(lambda: set(self.called) <= set(self.told()))
        self.until(lambda: self.metric("undelivered_files") == 0)
        digests = self.metric("digests_delivered_total")
        self.until(lambda: self.metric("digests_delivered_total") > digests)
        status = self.status()
        assert "LatestDeliveryError" not in status
        assert "LatestDigestDeliveryError" not in status

    def told(self) -> Counter[str]:
        """How often each request id is in the log files."""
        self.trail.refresh()
        return Counter(each["requestID"] for each in self.trail.records)

    def judge(self, since: str = "") -> None:
        """Every acknowledged call once, as the log files, `opentrail verify` with the ledger, and the AWS CLI tell."""
        self.settled()
        told = self.told()
        assert {each: told[each] for each in self.called} == dict.fromkeys(self.called, 1)
        events = Counter(each["eventID"] for each in self.trail.records)
        assert set(events.values()) == {1}
        self._verified(since)
        start = since or self.started
        said = self.server.aws("cloudtrail", "validate-logs", "--trail-arn", self.trail.arn, "--start-time", start)
        assert "INVALID" not in said
        assert re.search(r"(\d+)/\1 digest files valid", said), said

    def _verified(self, since: str) -> None:
        command = [sys.executable, str(TOOLS / "opentrail"), "verify", "--trail-arn", self.trail.arn, "--json"]
        command += ["--ledger", str(self.server.directory / "data"), *(["--start-time", since] if since else [])]
        done = subprocess.run(command, env=self.server.environment(), capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["ledger"]["proven"] >= 3

    def limit_files(self, size: int | None) -> None:
        """No file of the server and its writer may grow beyond this: a disk that is full. None: it has room again."""
        hard = resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE)[1]
        soft = hard if size is None else size
        for pid in (self.server.pid, *children(self.server.pid)):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

    def permit(self, allowed: bool = True) -> None:
        """Give or take CloudTrail's rights to the bucket."""
        if allowed:
            self.s3.put_bucket_policy(Bucket=self.trail.bucket, Policy=log_bucket_policy(self.trail.bucket, ACCOUNT))
        else:
            self.s3.delete_bucket_policy(Bucket=self.trail.bucket)

    def empty_bucket(self) -> None:
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.trail.bucket):
            for each in page.get("Contents", []):
                self.s3.delete_object(Bucket=self.trail.bucket, Key=each["Key"])


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _noise() -> str:
    """A name that gzip cannot make much smaller."""
    return "n" + secrets.token_hex(60)
