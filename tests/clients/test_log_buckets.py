"""What else happens to a log bucket: other accounts deliver into it, and a lifecycle rule expires what was delivered."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.clients.server_process import (
    ACCOUNT,
    OTHER_ACCOUNT,
    OTHER_KEY,
    OTHER_SECRET,
    REGION,
    ROOT_KEY,
    ROOT_SECRET,
    TOOLS,
    ServerProcess,
)
from tests.clients.trail_log import is_sealed, log_bucket_policy
from tests.clients.waiting import COMMAND_SECONDS_MAX, until

pytestmark = pytest.mark.slow
REGIONS = (REGION, "eu-west-1")
KEYS = {ACCOUNT: (ROOT_KEY, ROOT_SECRET), OTHER_ACCOUNT: (OTHER_KEY, OTHER_SECRET)}
START = "2020-01-01T00:00:00Z"
_FILE = re.compile(r"AWSLogs/(\d{12})/(CloudTrail|CloudTrail-Digest)/([a-z0-9-]+)/.+\.json\.gz")


def listed(s3: Any, bucket: str) -> list[tuple[str, tuple[str, str, str]]]:
    """(key, (account, kind, region)) of every file, in order."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
    return [(key, found.groups()) for key in keys if (found := _FILE.fullmatch(key))]  # type: ignore[misc]


def documents(s3: Any, bucket: str, kind: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(account, region, document) of files of a kind."""
    for key, (account, which, region) in listed(s3, bucket):
        if which == kind:
            body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            yield account, region, json.loads(gzip.decompress(body))


def arn_of(account: str, name: str) -> str:
    return f"arn:aws:cloudtrail:{REGION}:{account}:trail/{name}"


def shared_policy(bucket: str) -> str:
    """What the guide says for a bucket of several accounts, and that they may read it."""
    document = json.loads(log_bucket_policy(bucket, ACCOUNT, OTHER_ACCOUNT))
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/AWSLogs/{OTHER_ACCOUNT}/*"]
    actions = ["s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"]
    principal = {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"}
    read = {"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": resources}
    return json.dumps({**document, "Statement": [*document["Statement"], read]})


def test_two_accounts_and_two_regions_share_a_bucket(server: ServerProcess, name: str, bucket: str, s3: Any) -> None:
    s3.put_bucket_policy(Bucket=bucket, Policy=shared_policy(bucket))
    for key in KEYS.values():  # both trails bear the same name
        cloudtrail = server.client("cloudtrail", key)
        cloudtrail.create_trail(Name=name, S3BucketName=bucket, IsMultiRegionTrail=True, EnableLogFileValidation=True)
        cloudtrail.start_logging(Name=name)
    asked = {}
    for account, key in KEYS.items():
        for region in REGIONS:
            rules = server.client("events", key, region=region)
            answer = rules.put_rule(Name=name, EventPattern='{"source":["x"]}')
            asked[answer["ResponseMetadata"]["RequestId"]] = (account, region)

    def delivered() -> bool:
        """Does a digest of each chain name a log file?"""
        found = documents(s3, bucket, "CloudTrail-Digest")
        return {(account, region) for account, region, said in found if said["logFiles"]} == set(asked.values())

    until(delivered)
    for key in KEYS.values():
        server.client("cloudtrail", key).stop_logging(Name=name)
    until(lambda: is_sealed(server.directory / "data", name))
    places = []
    for account, region, said in documents(s3, bucket, "CloudTrail"):
        for record in said["Records"]:
            assert (record["recipientAccountId"], record["awsRegion"]) == (account, region)
            places += [(account, region)] * (asked.get(record["requestID"]) == (account, region))
    assert sorted(places) == sorted(asked.values()), "each call once, in its own folder"
    for account, region, said in documents(s3, bucket, "CloudTrail-Digest"):
        assert said["awsAccountId"] == account
        folder = f"AWSLogs/{account}/CloudTrail/{region}/"
        assert all(each["s3Object"].startswith(folder) for each in said["logFiles"])

    def validated(place: tuple[str, str]) -> str:
        account, region = place
        return server.aws(
            "cloudtrail", "validate-logs", "--trail-arn", arn_of(account, name), "--start-time", START,
            "--region", region, "--account-id", account,
            AWS_ACCESS_KEY_ID=KEYS[account][0], AWS_SECRET_ACCESS_KEY=KEYS[account][1],
        )  # fmt: skip

    with ThreadPoolExecutor(2) as pool:
        for said in pool.map(validated, asked.values()):
            assert re.search(r"(\d+)/\1 digest files valid", said), said
            assert re.search(r"(\d+)/\1 log files valid", said), said
            assert "INVALID" not in said


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server whose lifecycle days are short."""
    process = ServerProcess(tmp_path, delivery_interval="200ms", digest_interval="1s", lifecycle_day="1s")
    try:
        yield process.start()
        assert process.stop() == 0
        assert not process.tracebacks()
    finally:
        process.kill()


def test_log_files_that_a_lifecycle_rule_expired(forgetful: ServerProcess) -> None:
    """They are missed, each by its name; the digests stay proven, and the trail goes on."""
    s3, cloudtrail = forgetful.client("s3"), forgetful.client("cloudtrail")
    s3.create_bucket(Bucket="logs")
    s3.put_bucket_policy(Bucket="logs", Policy=log_bucket_policy("logs", ACCOUNT))
    cloudtrail.create_trail(Name="kept", S3BucketName="logs", EnableLogFileValidation=True)
    cloudtrail.start_logging(Name="kept")

    def named() -> set[str]:
        found = documents(s3, "logs", "CloudTrail-Digest")
        return {each["s3Object"] for _, _, said in found for each in said["logFiles"]}

    first = until(named)
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": f"AWSLogs/{ACCOUNT}/CloudTrail/"},
            "Expiration": {"Days": 1}}  # fmt: skip
    s3.put_bucket_lifecycle_configuration(Bucket="logs", LifecycleConfiguration={"Rules": [rule]})
    until(lambda: not first & {key for key, _ in listed(s3, "logs")})
    known = named()
    s3.delete_bucket_lifecycle(Bucket="logs")  # a call that is logged: one more file comes, and stays
    until(lambda: (named() - known) & {key for key, _ in listed(s3, "logs")})
    cloudtrail.stop_logging(Name="kept")

    said = forgetful.aws(
        "cloudtrail",
        "validate-logs",
        "--trail-arn",
        arn_of(ACCOUNT, "kept"),
        "--start-time",
        START,
        "--verbose",
        status=1,
    )
    assert re.search(r"(\d+)/\1 digest files valid", said), said
    for key in first:
        assert f"Log file\ts3://logs/{key}\tINVALID: not found" in said
    command = [TOOLS / "opentrail", "verify", "--trail-arn", arn_of(ACCOUNT, "kept"), "--json",
               "--ledger", forgetful.directory / "data"]  # fmt: skip
    done = subprocess.run(
        command, env=forgetful.environment(), capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False
    )
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    missing = {each["file"] for each in report["findings"] if each["kind"] == "missing"}
    assert first <= missing
    assert not missing & {key for key, _ in listed(s3, "logs")}
    assert {each["kind"] for each in report["findings"] if each["serious"]} == {"missing", "missing record"}
    assert report["logFiles"] > 0, "those that came afterwards are proven"
