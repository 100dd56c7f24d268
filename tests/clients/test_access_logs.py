"""Server access logs through a real server, also across a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.clients.server_process import ACCOUNT, ServerProcess
from tests.clients.waiting import until


def log_bucket(s3: Any, source: str, target: str) -> None:
    only = {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{source}"}, "StringEquals": {"aws:SourceAccount": ACCOUNT}}
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{target}/*",
        "Condition": only,
    }
    s3.create_bucket(Bucket=target)
    s3.put_bucket_policy(Bucket=target, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    enabled = {"TargetBucket": target, "TargetPrefix": "access/"}
    s3.put_bucket_logging(Bucket=source, BucketLoggingStatus={"LoggingEnabled": enabled})


def logged_keys(s3: Any, target: str, count: int) -> list[str]:
    """The keys of PutObjects in the log objects, once there are as many."""
    found: list[str] = []

    def look() -> bool:
        listed = s3.list_objects_v2(Bucket=target, Prefix="access/").get("Contents", [])
        text = b"".join(s3.get_object(Bucket=target, Key=each["Key"])["Body"].read() for each in listed)
        found[:] = [line.split(" ")[8] for line in text.decode().splitlines() if " REST.PUT.OBJECT " in line]
        return len(found) >= count

    until(look, lambda: found)
    return sorted(found)


def test_what_is_done_to_a_bucket_arrives_in_its_log(server: ServerProcess, s3: Any, bucket: str):
    target = f"{bucket}-logs"
    log_bucket(s3, bucket, target)
    for number in range(3):
        s3.put_object(Bucket=bucket, Key=f"k{number}", Body=b"x")
    assert logged_keys(s3, target, 3) == ["k0", "k1", "k2"]
    assert "access/" in server.aws("s3", "ls", f"s3://{target}")


def test_a_kill_loses_no_line_and_doubles_none(tmp_path: Path):
    process = ServerProcess(tmp_path, access_log_interval="100ms").start()
    try:
        s3 = process.client("s3")
        s3.create_bucket(Bucket="source")
        log_bucket(s3, "source", "target")
        done = []
        for round_ in range(2):
            for number in range(12):
                s3.put_object(Bucket="source", Key=f"k{round_}{number:02d}", Body=b"x")
                done.append(f"k{round_}{number:02d}")
            process.kill()
            s3 = process.start().client("s3")
        assert logged_keys(s3, "target", len(done)) == done
    finally:
        process.kill()
