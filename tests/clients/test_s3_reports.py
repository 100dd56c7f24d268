"""Configurations of a bucket by boto3 on a socket, and what a server with short days makes of them: lists and counts."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ServerProcess
from tests.clients.waiting import until

ACCOUNT = "000000000000"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose days last two seconds."""
    process = ServerProcess(tmp_path_factory.mktemp("quick"), lifecycle_day="2s")
    try:
        yield process.start()
        assert process.stop() == 0
        assert not process.tracebacks(), process.log()
    finally:
        process.kill()


def inventory(target: str, format_: str = "CSV") -> dict[str, Any]:
    return {
        "Id": "all",
        "IsEnabled": True,
        "IncludedObjectVersions": "Current",
        "Schedule": {"Frequency": "Daily"},
        "Destination": {"S3BucketDestination": {"Bucket": f"arn:aws:s3:::{target}", "Format": format_}},
        "OptionalFields": ["Size", "ETag"],
    }


def make_buckets(s3: Any, name: str, target: str) -> None:
    """One to be reported on, and one into which S3 may put reports on it."""
    for bucket in (name, target):
        s3.create_bucket(Bucket=bucket)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{target}/*",
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{name}"}},
    }
    s3.put_bucket_policy(Bucket=target, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


@pytest.mark.slow
def test_an_inventory_is_delivered_day_by_day(quick: ServerProcess, name: str):
    s3, target = quick.client("s3"), f"{name}-lists"
    make_buckets(s3, name, target)
    s3.put_object(Bucket=name, Key="k", Body=b"bytes")
    s3.put_bucket_inventory_configuration(Bucket=name, Id="all", InventoryConfiguration=inventory(target))

    def two_days() -> list[str]:
        """All keys, once there are two lists."""
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket=target).get("Contents", [])]
        return keys if sum("/data/" in key for key in keys) >= 2 else []

    keys = until(two_days)
    data = [key for key in keys if "/data/" in key]
    text = gzip.decompress(s3.get_object(Bucket=target, Key=data[0])["Body"].read()).decode()
    assert text.startswith(f'"{name}","k","5",')
    assert any(key.endswith("/symlink.txt") for key in keys)


@pytest.mark.slow
def test_an_analysis_is_exported_and_requests_are_counted(quick: ServerProcess, name: str):
    s3, target = quick.client("s3"), f"{name}-reports"
    make_buckets(s3, name, target)
    where = {"Format": "CSV", "Bucket": f"arn:aws:s3:::{target}"}
    export = {"OutputSchemaVersion": "V_1", "Destination": {"S3BucketDestination": where}}
    wanted = {"Id": "docs", "Filter": {"Prefix": "docs/"}, "StorageClassAnalysis": {"DataExport": export}}
    s3.put_bucket_analytics_configuration(Bucket=name, Id="docs", AnalyticsConfiguration=wanted)
    s3.put_bucket_metrics_configuration(
        Bucket=name, Id="docs", MetricsConfiguration={"Id": "docs", "Filter": {"Prefix": "docs/"}}
    )
    for key in ("docs/k", "other"):
        s3.put_object(Bucket=name, Key=key, Body=bytes(MIB))
        s3.get_object(Bucket=name, Key=key)["Body"].read()
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=name, Key="docs/none")

    def reported() -> list[dict[str, str]]:
        """The rows, once a day with the request is over."""
        if not s3.list_objects_v2(Bucket=target).get("Contents"):
            return []
        text = s3.get_object(Bucket=target, Key=f"{name}/docs.csv")["Body"].read().decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        return rows if sum(int(row["GetRequestCount"]) for row in rows if row["ObjectAge"] == "ALL") else []

    rows = [row for row in until(reported) if row["ObjectAge"] == "ALL"]
    assert {(row["ConfigId"], row["Filter"], row["StorageClass"]) for row in rows} == {
        ("docs", "Prefix=docs/", "STANDARD")
    }
    assert sum(float(row["DataRetrieved_MB"]) for row in rows) == 1
    assert (rows[-1]["ObjectCount"], rows[-1]["Storage_MB"]) == ("1", "1")
    labels = f'{{BucketName="{name}",FilterId="docs"}}'
    counted = {"AllRequests": 3, "GetRequests": 2, "PutRequests": 1, "4xxErrors": 1, "BytesUploaded": MIB}

    def shown() -> bool:
        page = quick.metrics().splitlines()
        return all(f"opentrail_s3_{metric}_total{labels} {count}" in page for metric, count in counted.items())

    until(shown)


def test_inventory_configurations(s3: Any, bucket: str):
    given = inventory(bucket, "Parquet")
    s3.put_bucket_inventory_configuration(Bucket=bucket, Id="all", InventoryConfiguration=given)
    assert s3.get_bucket_inventory_configuration(Bucket=bucket, Id="all")["InventoryConfiguration"] == given
    assert s3.list_bucket_inventory_configurations(Bucket=bucket)["InventoryConfigurationList"] == [given]
    s3.delete_bucket_inventory_configuration(Bucket=bucket, Id="all")
    with pytest.raises(ClientError, match="NoSuchConfiguration"):
        s3.get_bucket_inventory_configuration(Bucket=bucket, Id="all")


def test_analytics_configurations(s3: Any, bucket: str):
    given = {"Id": "one", "Filter": {"Prefix": "a/"}, "StorageClassAnalysis": {}}
    s3.put_bucket_analytics_configuration(Bucket=bucket, Id="one", AnalyticsConfiguration=given)
    assert s3.get_bucket_analytics_configuration(Bucket=bucket, Id="one")["AnalyticsConfiguration"] == given
    assert s3.list_bucket_analytics_configurations(Bucket=bucket)["AnalyticsConfigurationList"] == [given]
    s3.delete_bucket_analytics_configuration(Bucket=bucket, Id="one")
    assert not s3.list_bucket_analytics_configurations(Bucket=bucket)["IsTruncated"]


def test_metrics_configurations(s3: Any, bucket: str):
    given = {"Id": "one", "Filter": {"And": {"Prefix": "a/", "Tags": [{"Key": "k", "Value": "v"}]}}}
    s3.put_bucket_metrics_configuration(Bucket=bucket, Id="one", MetricsConfiguration=given)
    assert s3.get_bucket_metrics_configuration(Bucket=bucket, Id="one")["MetricsConfiguration"] == given
    assert s3.list_bucket_metrics_configurations(Bucket=bucket)["MetricsConfigurationList"] == [given]
    s3.delete_bucket_metrics_configuration(Bucket=bucket, Id="one")


def test_intelligent_tiering_configurations(s3: Any, bucket: str):
    given = {"Id": "one", "Status": "Enabled", "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}]}
    where = {"Bucket": bucket, "Id": "one"}
    s3.put_bucket_intelligent_tiering_configuration(**where, IntelligentTieringConfiguration=given)
    got = s3.get_bucket_intelligent_tiering_configuration(**where)["IntelligentTieringConfiguration"]
    assert got == given
    listed = s3.list_bucket_intelligent_tiering_configurations(Bucket=bucket)
    assert listed["IntelligentTieringConfigurationList"] == [given]
    s3.delete_bucket_intelligent_tiering_configuration(**where)


def test_acceleration_and_abac(s3: Any, bucket: str):
    s3.put_bucket_accelerate_configuration(Bucket=bucket, AccelerateConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_accelerate_configuration(Bucket=bucket)["Status"] == "Enabled"
    s3.put_bucket_abac(Bucket=bucket, AbacStatus={"Status": "Enabled"})
    assert s3.get_bucket_abac(Bucket=bucket)["AbacStatus"]["Status"] == "Enabled"


def test_tags_of_buckets_by_s3_control(server: Any, bucket: str):
    control = server.client("s3control")

    def without_account_in_host(request: Any, **_rest: Any) -> None:
        request.url = request.url.replace(f"//{ACCOUNT}.", "//")

    control.meta.events.register("before-sign.s3-control", without_account_in_host)
    of = {"AccountId": ACCOUNT, "ResourceArn": f"arn:aws:s3:::{bucket}"}
    control.tag_resource(**of, Tags=[{"Key": "a", "Value": "b"}])
    assert control.list_tags_for_resource(**of)["Tags"] == [{"Key": "a", "Value": "b"}]
    control.untag_resource(**of, TagKeys=["a"])
    assert control.list_tags_for_resource(**of).get("Tags", []) == []


def test_torrents_and_metadata_tables_are_refused_in_words_that_clients_know(s3: Any, bucket: str):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with pytest.raises(ClientError, match="MethodNotAllowed"):
        s3.get_object_torrent(Bucket=bucket, Key="k")
    with pytest.raises(ClientError, match="MetadataConfigurationNotFound"):
        s3.get_bucket_metadata_configuration(Bucket=bucket)
