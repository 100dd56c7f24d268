"""The inventory follower: objects put by boto3, lists read back as somebody reads S3's."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pyarrow.orc
import pyarrow.parquet
import pytest
from botocore.exceptions import ClientError

from opentrail.errors import AwsError
from opentrail.followers import inventory
from opentrail.followers.inventory import InventoryFollower
from opentrail.rows.s3_inventory import FILES, RUNS, columns_of, file_schema, last_due
from opentrail.server.clock import SystemClock
from opentrail.services.s3.inventory_check import FIELDS
from opentrail.services.s3.inventory_list import list_page
from tests.fakes.later import Later
from tests.services.s3.world import BUCKET, Wire, World, new_client

TARGET = "lists"
ACCOUNT = "000000000000"
STRANGE = ("a b/c+d%.txt", 'quote".txt', "line\nbreak", "ümlaut/日本", "comma,and;")


@pytest.fixture
def s3(s3: Any) -> Any:
    """The client, with a bucket, and another for its lists."""
    s3.create_bucket(Bucket=TARGET)
    s3.put_bucket_policy(Bucket=TARGET, Policy=json.dumps(policy()))
    return s3


def policy(target: str = TARGET, **more: Any) -> dict[str, Any]:
    """What S3's guide has users put on a destination."""
    condition = {
        "ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{BUCKET}"},
        "StringEquals": {"aws:SourceAccount": ACCOUNT, "s3:x-amz-acl": "bucket-owner-full-control"},
    }
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{target}/*",
        "Condition": condition,
        **more,
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def configure(s3: Any, format_: str = "CSV", *, id_: str = "daily", **more: Any) -> None:
    target = {"Bucket": f"arn:aws:s3:::{TARGET}", "Format": format_, "Prefix": "to"} | more.pop("target", {})
    configuration = {
        "Id": id_,
        "IsEnabled": True,
        "IncludedObjectVersions": "Current",
        "Schedule": {"Frequency": "Daily"},
        "Destination": {"S3BucketDestination": target},
        "OptionalFields": ["Size", "ETag", "LastModifiedDate", "StorageClass"],
        **more,
    }
    s3.put_bucket_inventory_configuration(Bucket=BUCKET, Id=id_, InventoryConfiguration=configuration)


def follower(world: World, days: float = 0) -> InventoryFollower:
    return InventoryFollower(replace(world.house, clock=Later(days)), list_page, world.directory.parent / "drafts")


def sweep(world: World, days: float = 0) -> None:
    world.loop.run_until_complete(follower(world, days).sweep())


def keys(s3: Any, prefix: str = "") -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=TARGET, Prefix=prefix).get("Contents", [])]


def body(s3: Any, key: str) -> bytes:
    return bytes(s3.get_object(Bucket=TARGET, Key=key)["Body"].read())


def manifest_of(s3: Any, id_: str = "daily") -> dict[str, Any]:
    """The newest manifest, whose checksum must fit, and whose files must be as it says."""
    key = [key for key in keys(s3, f"to/{BUCKET}/{id_}/") if key.endswith("manifest.json")][-1]
    text = body(s3, key)
    assert body(s3, key.replace(".json", ".checksum")) == hashlib.md5(text).hexdigest().encode() + b"\n"
    manifest: dict[str, Any] = json.loads(text)
    for file in manifest["files"]:
        data = body(s3, file["key"])
        assert (len(data), hashlib.md5(data).hexdigest()) == (file["size"], file["MD5checksum"])
    return manifest


def csv_rows(s3: Any, manifest: dict[str, Any]) -> list[dict[str, str]]:
    names = manifest["fileSchema"].split(", ")
    rows: list[dict[str, str]] = []
    for file in manifest["files"]:
        text = gzip.decompress(body(s3, file["key"])).decode()
        rows += [dict(zip(names, row, strict=True)) for row in csv.reader(io.StringIO(text))]
    return rows


def test_a_list_of_current_objects_as_csv(s3: Any, world: World):
    for key in STRANGE:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    s3.put_object(Bucket=BUCKET, Key="cold", Body=b"", StorageClass="GLACIER")
    configure(s3)
    sweep(world)
    manifest = manifest_of(s3)
    assert manifest["sourceBucket"] == BUCKET
    assert manifest["destinationBucket"] == f"arn:aws:s3:::{TARGET}"
    assert (manifest["version"], manifest["fileFormat"]) == ("2016-11-30", "CSV")
    assert manifest["fileSchema"] == "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass"
    began = datetime.fromtimestamp(int(manifest["creationTimestamp"]) / 1000, UTC)
    assert f"to/{BUCKET}/daily/{began:%Y-%m-%dT%H-%MZ}/manifest.json" in keys(s3)
    rows = {unquote(row["Key"]): row for row in csv_rows(s3, manifest)}
    assert rows.keys() == {*STRANGE, "cold"}
    cold, strange = rows["cold"], rows[STRANGE[0]]
    assert (cold["Bucket"], cold["Size"], cold["StorageClass"]) == (BUCKET, "0", "GLACIER")
    head = s3.head_object(Bucket=BUCKET, Key=STRANGE[0])
    assert strange["ETag"] == head["ETag"].strip('"')
    assert datetime.fromisoformat(strange["LastModifiedDate"]).replace(microsecond=0) == head["LastModified"]
    link = body(s3, f"to/{BUCKET}/daily/hive/dt={began:%Y-%m-%d-%H-%M}/symlink.txt").decode()
    assert link == f"s3://{TARGET}/{manifest['files'][0]['key']}"
    assert manifest["files"][0]["key"].startswith(f"to/{BUCKET}/daily/data/")


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["Parquet", "ORC"])
def test_a_list_in_columns(s3: Any, world: World, format_: str):
    for key in STRANGE:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x", StorageClass="STANDARD_IA")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.delete_object(Bucket=BUCKET, Key=STRANGE[0])
    configure(s3, format_, IncludedObjectVersions="All", OptionalFields=list(FIELDS))
    sweep(world)
    manifest = manifest_of(s3)
    data = io.BytesIO(body(s3, manifest["files"][0]["key"]))
    assert manifest["files"][0]["key"].endswith(f".{format_.lower()}")
    read = pyarrow.parquet.read_table if format_ == "Parquet" else pyarrow.orc.read_table
    rows = read(data).to_pylist()
    assert sorted((row["key"], row["is_latest"], row["is_delete_marker"]) for row in rows) == sorted(
        [*((key, True, False) for key in STRANGE[1:]), (STRANGE[0], False, False), (STRANGE[0], True, True)]
    )
    marker = next(row for row in rows if row["is_delete_marker"])
    assert (marker["size"], marker["e_tag"], marker["storage_class"]) == (None, None, None)
    plain = next(row for row in rows if row["key"] == STRANGE[1])
    assert (plain["size"], plain["storage_class"], plain["version_id"]) == (1, "STANDARD_IA", "null")
    assert isinstance(plain["last_modified_date"], datetime)
    if format_ == "Parquet":
        names = [part.split()[2].rstrip(";}") for part in manifest["fileSchema"].split("  ")[1:]]
        assert names == list(plain), "the schema names the columns in order"
        assert manifest["fileSchema"].startswith("message s3.inventory {  required binary bucket (STRING);")
    else:
        assert manifest["fileSchema"].startswith("struct<bucket:string,key:string,version_id:string,is_latest:boolean")


def test_all_versions_with_every_field(s3: Any, world: World):
    s3.put_object(Bucket=BUCKET, Key="before", Body=b"1")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=BUCKET, Key="k", Body=b"1", ServerSideEncryption="AES256", ChecksumAlgorithm="SHA256")
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"22")
    s3.delete_object(Bucket=BUCKET, Key="gone")
    configure(s3, IncludedObjectVersions="All", OptionalFields=list(FIELDS))
    sweep(world)
    rows = csv_rows(s3, manifest_of(s3))
    shown = [(row["Key"], row["IsLatest"], row["IsDeleteMarker"], row["Size"]) for row in rows]
    assert shown == [
        ("before", "true", "false", "1"),
        ("gone", "true", "true", ""),
        ("k", "true", "false", "2"),
        ("k", "false", "false", "1"),
    ]
    old = rows[3]
    assert (old["VersionId"], old["EncryptionStatus"], old["ChecksumAlgorithm"]) == (
        first["VersionId"],
        "SSE-S3",
        "SHA256",
    )
    assert (rows[2]["EncryptionStatus"], rows[0]["VersionId"]) == ("NOT-SSE", "null")
    acl = json.loads(base64.b64decode(old["ObjectAccessControlList"]))
    assert (acl["status"], acl["grants"][0]["permission"]) == ("AVAILABLE", "FULL_CONTROL")
    assert acl["grants"][0]["canonicalId"] == old["ObjectOwner"]


def test_a_list_is_written_once_a_day(s3: Any, world: World, monkeypatch: pytest.MonkeyPatch):
    now = world.house.clock.now()
    monkeypatch.setattr(SystemClock, "now", lambda _clock: now)  # no day begins in between
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")
    configure(s3)
    configure(s3, id_="weekly", Schedule={"Frequency": "Weekly"})
    for _ in range(2):
        sweep(world)
    assert len(keys(s3)) == 8, "two lists of one data file, a manifest, its checksum and the links"
    sweep(world, days=1.01)
    assert len(keys(s3, f"to/{BUCKET}/daily/data/")) == 2
    sweep(world, days=7.01)
    assert len(keys(s3, f"to/{BUCKET}/daily/data/")) == 3
    assert len(keys(s3, f"to/{BUCKET}/weekly/data/")) == 2


def test_days_begin_at_one_and_weeks_on_sunday():
    def at(text: str) -> float:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    assert last_due("Daily", at("2026-11-26T00:59:00"), 86_400) == at("2026-11-25T01:00:00")
    assert last_due("Daily", at("2026-11-26T01:00:00"), 86_400) == at("2026-11-26T01:00:00")
    assert last_due("Weekly", at("2026-11-26T12:00:00"), 86_400) == at("2026-11-22T01:00:00")


def test_large_buckets_are_listed_in_several_files_each_object_once(
    s3: Any, world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inventory, "PAGE_ROWS", 3)
    monkeypatch.setattr(inventory, "FILE_ROWS_MAX", 7)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for number in range(10):
        for _ in range(3):
            s3.put_object(Bucket=BUCKET, Key=f"k{number}", Body=b"1")
    configure(s3, IncludedObjectVersions="All")
    sweep(world)
    manifest = manifest_of(s3)
    assert len(manifest["files"]) == 4
    rows = csv_rows(s3, manifest)
    assert len({(row["Key"], row["VersionId"]) for row in rows}) == len(rows) == 30
    assert [row["Key"] for row in rows if row["IsLatest"] == "true"] == [f"k{number}" for number in range(10)]
    assert not FILES.page(world.unit(), BUCKET), "what is done is forgotten"


def test_a_filter_and_an_empty_bucket(s3: Any, world: World):
    s3.put_object(Bucket=BUCKET, Key="in/1", Body=b"1")
    s3.put_object(Bucket=BUCKET, Key="out/1", Body=b"1")
    configure(s3, Filter={"Prefix": "in/"})
    configure(s3, id_="none", Filter={"Prefix": "nothing/"})
    sweep(world)
    assert [row["Key"] for row in csv_rows(s3, manifest_of(s3))] == ["in/1"]
    assert manifest_of(s3, "none")["files"] == []


def test_the_destination_must_let_s3_in(s3: Any, world: World):
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")
    configure(s3)
    s3.put_bucket_policy(Bucket=TARGET, Policy=json.dumps(policy(Resource=f"arn:aws:s3:::{TARGET}/elsewhere/*")))
    sweep(world)
    assert keys(s3) == []
    refused = [each for each in world.records("PutObject") if each.get("errorCode") == "AccessDenied"]
    assert refused
    assert refused[0]["userIdentity"] == {"type": "AWSService", "invokedBy": "s3.amazonaws.com"}
    s3.put_bucket_policy(Bucket=TARGET, Policy=json.dumps(policy()))
    sweep(world)
    assert len(manifest_of(s3)["files"]) == 1
    assert not list((world.directory.parent / "drafts").iterdir()), "no draft is left"


def test_encryption_and_the_owner_that_is_expected(s3: Any, world: World):
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")
    configure(s3, target={"Encryption": {"SSES3": {}}, "AccountId": ACCOUNT})
    configure(s3, id_="other", target={"AccountId": "222222222222"})
    sweep(world)
    key = manifest_of(s3)["files"][0]["key"]
    assert s3.head_object(Bucket=TARGET, Key=key)["ServerSideEncryption"] == "AES256"
    assert keys(s3, f"to/{BUCKET}/other/") == []


class Cut(Exception):
    """The end of the process, as the follower would see it."""


@pytest.mark.parametrize("calls", range(6))
@pytest.mark.parametrize("after", [True, False])
def test_a_crash_at_any_file_loses_and_repeats_nothing(
    s3: Any, world: World, monkeypatch: pytest.MonkeyPatch, calls: int, after: bool
):
    monkeypatch.setattr(inventory, "PAGE_ROWS", 2)
    monkeypatch.setattr(inventory, "FILE_ROWS_MAX", 2)
    for number in range(4):
        s3.put_object(Bucket=BUCKET, Key=f"k{number}", Body=b"1")
    configure(s3)
    road, left = world.house.road, [calls]

    class Cutting:
        async def call(self, *args: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] < 0 and not after:
                raise Cut
            answer = await road.call(*args, **more)
            if left[0] < 0:
                raise Cut
            return answer

    dying = InventoryFollower(replace(world.house, road=Cutting()), list_page, world.directory.parent / "drafts")  # type: ignore[arg-type]
    if calls < 5:
        with pytest.raises(Cut):
            world.loop.run_until_complete(dying.sweep())
    sweep(world)
    manifest = manifest_of(s3)
    assert [row["Key"] for row in csv_rows(s3, manifest)] == [f"k{number}" for number in range(4)]
    assert sorted(file["key"] for file in manifest["files"]) == sorted(keys(s3, f"to/{BUCKET}/daily/data/"))
    assert len(keys(s3)) == 5


def test_a_changed_or_deleted_configuration_ends_its_list(s3: Any, world: World, monkeypatch: pytest.MonkeyPatch):
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")
    configure(s3)
    s3.delete_bucket_policy(Bucket=TARGET)
    sweep(world)
    assert RUNS.get(world.unit(), BUCKET, "daily") is not None
    configure(s3, OptionalFields=[])
    s3.put_bucket_policy(Bucket=TARGET, Policy=json.dumps(policy()))
    sweep(world)
    sweep(world)
    assert manifest_of(s3)["fileSchema"] == "Bucket, Key"
    s3.delete_bucket_inventory_configuration(Bucket=BUCKET, Id="daily")
    sweep(world)
    assert not list(RUNS.all(world.unit()))


def test_a_disabled_configuration_writes_nothing(s3: Any, world: World):
    configure(s3, IsEnabled=False)
    sweep(world)
    assert keys(s3) == []


def test_a_destination_of_another_region_is_refused(s3: Any, world: World):
    far = "far-away"
    s3.create_bucket(Bucket=far, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with pytest.raises(ClientError, match="InvalidS3DestinationBucket"):
        configure(s3, target={"Bucket": f"arn:aws:s3:::{far}"})


def test_schemas_of_all_formats_name_every_column():
    config = {"IncludedObjectVersions": "All", "OptionalFields": list(FIELDS)}
    columns = columns_of(config)
    assert [column.field for column in columns[5:]] == list(FIELDS)
    for format_ in ("CSV", "Parquet", "ORC"):
        schema = file_schema(format_, columns)
        assert all((column.field if format_ == "CSV" else column.name) in schema for column in columns)


def test_the_ledger_may_fail(s3: Any, world: World, monkeypatch: pytest.MonkeyPatch):
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")
    configure(s3)

    class Refusing:
        async def call(self, *_args: Any, **_more: Any) -> Any:
            raise AwsError("ServiceUnavailable", "", 503)

    weak = InventoryFollower(replace(world.house, road=Refusing()), list_page, world.directory.parent / "drafts")  # type: ignore[arg-type]
    world.loop.run_until_complete(weak.sweep())
    assert keys(s3) == []
    sweep(world)
    assert len(manifest_of(s3)["files"]) == 1


def test_lists_under_a_key_of_kms(s3: Any, world: World, wire: Wire):
    """The key must let S3 make data keys, as the destination must let it put objects."""
    kms = new_client(wire, service="kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")
    configure(s3, target={"Encryption": {"SSEKMS": {"KeyId": key}}})
    sweep(world)
    assert keys(s3) == [], "the key lets nobody but its account"
    own = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    letting = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "kms:GenerateDataKey*",
        "Resource": "*",
    }
    text = json.dumps({"Version": "2012-10-17", "Statement": [own, letting]})
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=text)
    sweep(world)
    head = s3.head_object(Bucket=TARGET, Key=manifest_of(s3)["files"][0]["key"])
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)
