"""Object lock, lifecycle and restore on a real server whose days are short, by boto3 and the AWS CLI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ServerProcess, stored
from tests.clients.waiting import until

DAY = 1.0
"""Seconds of the server's day."""


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("quick"), lifecycle_day=f"{DAY}s")
    try:
        yield process.start()
        assert process.stop() == 0
        assert not process.tracebacks(), process.log()
    finally:
        process.kill()


@pytest.fixture(scope="module")
def s3(quick: ServerProcess) -> Any:
    return quick.client("s3")


def keys(s3: Any, bucket: str) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_lifecycle_rules_are_followed(s3: Any, quick: ServerProcess, name: str) -> None:
    s3.create_bucket(Bucket=name)
    for key in ("old/1", "old/2", "keep/1"):
        s3.put_object(Bucket=name, Key=key, Body=b"x" * 100_000)
    s3.create_multipart_upload(Bucket=name, Key="old/upload")
    rules = [
        {
            "ID": "old",
            "Status": "Enabled",
            "Filter": {"Prefix": "old/"},
            "Expiration": {"Days": 1},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        },
        {
            "ID": "cold",
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": "keep/", "ObjectSizeGreaterThan": 1}},
            "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}],
        },
    ]
    given = ("--bucket", name, "--lifecycle-configuration", json.dumps({"Rules": rules}))
    quick.aws("s3api", "put-bucket-lifecycle-configuration", *given)
    shown = json.loads(quick.aws("s3api", "get-bucket-lifecycle-configuration", "--bucket", name))
    assert shown["Rules"] == rules
    assert s3.put_object(Bucket=name, Key="old/3", Body=b"x")["Expiration"].endswith('rule-id="old"')
    until(lambda: keys(s3, name) == ["keep/1"])
    until(lambda: "Uploads" not in s3.list_multipart_uploads(Bucket=name))
    until(lambda: s3.head_object(Bucket=name, Key="keep/1").get("StorageClass") == "GLACIER")
    with pytest.raises(s3.exceptions.InvalidObjectState):
        s3.get_object(Bucket=name, Key="keep/1")
    until(lambda: len(stored(quick, "blobs")) == 1)


def test_a_restore_ends(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"ice", StorageClass="DEEP_ARCHIVE")

    def restored() -> Any:
        """A busy machine may need longer than the days that a restore lasts."""
        s3.restore_object(Bucket=name, Key="k", RestoreRequest={"Days": 2, "GlacierJobParameters": {"Tier": "Bulk"}})
        with suppress(s3.exceptions.InvalidObjectState):
            return s3.get_object(Bucket=name, Key="k")

    got = until(restored)
    assert (got["Body"].read(), got["Restore"][:23]) == (b"ice", 'ongoing-request="false"')
    until(lambda: "Restore" not in s3.head_object(Bucket=name, Key="k"))
    with pytest.raises(s3.exceptions.InvalidObjectState):
        s3.get_object(Bucket=name, Key="k")


def test_a_lock_holds_against_root_and_lifecycle_and_outlives_a_restart(
    s3: Any, quick: ServerProcess, name: str
) -> None:
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": datetime.now(UTC) + timedelta(days=1)}
    version_id = s3.put_object(Bucket=name, Key="k", Body=b"kept", **lock)["VersionId"]
    rule = {
        "ID": "all",
        "Status": "Enabled",
        "Filter": {},
        "Expiration": {"Days": 1},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    }
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
    s3.put_object(Bucket=name, Key="free", Body=b"x")
    until(lambda: [each["Key"] for each in s3.list_object_versions(Bucket=name).get("Versions", [])] == ["k"])
    assert quick.stop() == 0
    quick.start()
    again = quick.client("s3")
    with pytest.raises(ClientError, match="object protected by object lock"):
        again.delete_object(Bucket=name, Key="k", VersionId=version_id, BypassGovernanceRetention=True)
    assert again.get_object(Bucket=name, Key="k", VersionId=version_id)["Body"].read() == b"kept"
    held = quick.aws("s3api", "get-object-retention", "--bucket", name, "--key", "k", "--version-id", version_id)
    assert json.loads(held)["Retention"]["Mode"] == "COMPLIANCE"
