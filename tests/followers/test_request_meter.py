"""Counts of requests: boto3's requests walk the real gate, and what was counted of them is read from the rows."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.followers import request_meter, request_watch
from opentrail.followers.request_lines import bucket_in, metrics_of, read_request
from opentrail.followers.request_meter import RequestMeter
from opentrail.rows.s3_metering import ANALYSES, COUNTS, DAYS, METER_CURSORS, METERED, TALLIES, Uses
from opentrail.state import Unit
from tests.fakes.ledger import FakeLedger
from tests.fakes.mortal import Crash, EveryOther
from tests.services.s3.world import BUCKET, World

KIB = 1024
EXPORT = {
    "OutputSchemaVersion": "V_1",
    "Destination": {"S3BucketDestination": {"Format": "CSV", "Bucket": "arn:aws:s3:::reports"}},
}


def configure(s3: Any, id_: str = "all", filter_: dict[str, Any] | None = None, bucket: str = BUCKET) -> None:
    given = {"Id": id_} if filter_ is None else {"Id": id_, "Filter": filter_}
    s3.put_bucket_metrics_configuration(Bucket=bucket, Id=id_, MetricsConfiguration=given)


def analyse(s3: Any, id_: str = "all", filter_: dict[str, Any] | None = None, *, export: bool = True) -> None:
    given: dict[str, Any] = {"Id": id_, "StorageClassAnalysis": {"DataExport": EXPORT} if export else {}}
    if filter_ is not None:
        given["Filter"] = filter_
    s3.put_bucket_analytics_configuration(Bucket=BUCKET, Id=id_, AnalyticsConfiguration=given)


def new_meter(world: World) -> RequestMeter:
    meter = RequestMeter(world.house)
    world.loop.run_until_complete(meter.resume())
    return meter


def count(world: World, meter: RequestMeter) -> None:
    world.loop.run_until_complete(meter.catch_up())


def counts(world: World, id_: str = "all", bucket: str = BUCKET) -> dict[str, int]:
    row = COUNTS.get(world.unit(), bucket, id_)
    return row.counts if row else {}


def refused(call: Any, **given: Any) -> None:
    with pytest.raises(ClientError):
        call(**given)


def every_kind(s3: Any) -> None:
    """A request of every kind: 16 in all."""
    here = {"Bucket": BUCKET}
    s3.put_object(**here, Key="a/k", Body=b"0123456789")
    s3.copy_object(**here, Key="b/k", CopySource=f"{BUCKET}/a/k")
    s3.get_object(**here, Key="a/k", Range="bytes=0-3")["Body"].read()
    s3.get_object_tagging(**here, Key="a/k")
    refused(s3.get_object, **here, Key="a/none")
    refused(s3.head_object, **here, Key="a/none")
    refused(s3.get_object, **here, Key="a/k", IfModifiedSince="2099-01-01")
    s3.head_bucket(**here)
    s3.list_objects_v2(**here)
    s3.list_object_versions(**here)
    s3.get_bucket_location(**here)
    upload = s3.create_multipart_upload(**here, Key="a/m")["UploadId"]
    s3.list_parts(**here, Key="a/m", UploadId=upload)
    s3.abort_multipart_upload(**here, Key="a/m", UploadId=upload)
    s3.delete_object(**here, Key="b/k")
    s3.delete_objects(**here, Delete={"Objects": [{"Key": "b/k"}]})


def test_every_kind_of_request_is_counted_by_cloudwatchs_names(s3: Any, world: World):
    configure(s3)
    meter = new_meter(world)
    every_kind(s3)
    count(world, meter)
    found = counts(world)
    shown = {name: found[name] for name in found if not name.startswith("Bytes")}
    assert shown == {
        "AllRequests": 16,
        "GetRequests": 4,
        "PutRequests": 2,
        "HeadRequests": 2,
        "ListRequests": 3,
        "PostRequests": 1,
        "DeleteRequests": 3,
        "4xxErrors": 2,
    }, "304 is no error"
    said = [each["additionalEventData"] for name in ("PutObject", "DeleteObjects") for each in world.records(name)]
    assert found["BytesUploaded"] == sum(each["bytesTransferredIn"] for each in said) > 10
    assert found["BytesDownloaded"] > 4


def test_filters_choose_by_prefix_and_tags(s3: Any, world: World):
    tag = {"Key": "class", "Value": "cold"}
    configure(s3, "prefix", {"Prefix": "a/"})
    configure(s3, "tag", {"Tag": tag})
    configure(s3, "both", {"And": {"Prefix": "a/", "Tags": [tag]}})
    meter = new_meter(world)
    for key, tags in (("a/1", "class=cold"), ("b/1", "class=cold&x=y"), ("a/2", ""), ("b/2", "class=warm")):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x", Tagging=tags)
    refused(s3.get_object, Bucket=BUCKET, Key="a/none")
    s3.list_objects_v2(Bucket=BUCKET, Prefix="a/")
    count(world, meter)
    assert {each: counts(world, each)["AllRequests"] for each in ("prefix", "tag", "both")} == {
        "prefix": 3,
        "tag": 2,
        "both": 1,
    }, "what is about no object fits no filter"
    assert counts(world, "prefix")["4xxErrors"] == 1


def test_only_lines_since_the_configuration_count(s3: Any, world: World):
    meter = new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="before", Body=b"")
    configure(s3)
    s3.put_object(Bucket=BUCKET, Key="after", Body=b"")
    s3.create_bucket(Bucket="other")
    s3.put_object(Bucket="other", Key="elsewhere", Body=b"")
    count(world, meter)
    assert counts(world)["AllRequests"] == 1
    assert [key for key, _ in COUNTS.all(world.unit())] == [(BUCKET, "all")]


def test_a_bucket_without_a_configuration_costs_nothing(s3: Any, world: World, monkeypatch: pytest.MonkeyPatch):
    meter = new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"")
    rows, commits = set(world.ledger.rows), world.ledger.commits
    monkeypatch.setattr(FakeLedger, "read", None)  # no line is read
    count(world, meter)
    assert meter.position() == world.ledger.head()
    assert (set(world.ledger.rows), world.ledger.commits) == (rows, commits)


def test_what_is_gone_is_forgotten(s3: Any, world: World):
    for id_ in ("one", "two"):
        configure(s3, id_)
    analyse(s3)
    meter = new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    count(world, meter)
    assert counts(world, "one") == counts(world, "two") != {}
    s3.delete_bucket_metrics_configuration(Bucket=BUCKET, Id="one")
    count(world, meter)
    assert (counts(world, "one"), counts(world, "two") != {}) == ({}, True)
    s3.delete_object(Bucket=BUCKET, Key="k")
    s3.delete_bucket(Bucket=BUCKET)
    count(world, meter)
    for table in (COUNTS, TALLIES, ANALYSES, DAYS, METERED):
        assert not table.page(world.unit())  # type: ignore[attr-defined]
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    count(world, meter)
    assert not COUNTS.page(world.unit()), "a new bucket of that name asks for nothing"


def test_a_configuration_put_again_goes_on(s3: Any, world: World):
    configure(s3)
    meter = new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    count(world, meter)
    configure(s3, "all", {"Prefix": "a/"})
    for key in ("k", "a/k"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    count(world, meter)
    assert counts(world)["AllRequests"] == 2


def test_configurations_older_than_the_follower_are_found(s3: Any, world: World):
    configure(s3)
    unit = world.unit()
    METERED.delete(unit, BUCKET)
    world.commit(unit)
    meter = new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    count(world, meter)
    assert counts(world)["AllRequests"] == 1


def test_an_analysis_tallies_gets_and_uploads_by_class_and_age(s3: Any, world: World):
    analyse(s3, "all")
    analyse(s3, "some", {"Prefix": "big"})
    analyse(s3, "unexported", export=False)
    meter = new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="big", Body=bytes(200 * KIB))
    s3.put_object(Bucket=BUCKET, Key="small", Body=bytes(KIB), StorageClass="STANDARD_IA")
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    s3.upload_part(Bucket=BUCKET, Key="parts", UploadId=upload, PartNumber=1, Body=bytes(KIB))
    for key in ("big", "small"):
        s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    s3.get_object(Bucket=BUCKET, Key="big", Range="bytes=0-99")["Body"].read()
    refused(s3.get_object, Bucket=BUCKET, Key="big", IfMatch='"other"')
    count(world, meter)
    big = Uses(2, 200 * KIB + 100, 200 * KIB)
    standard = {"000-014": big, "ALL": big}
    tallies = {key[1]: row.uses for key, row in TALLIES.all(world.unit())}
    assert tallies == {
        "all": {"STANDARD": standard, "STANDARD_IA": {"ALL": Uses(1, KIB, KIB)}},
        "some": {"STANDARD": standard},
    }


def test_a_get_of_an_older_version_counts_for_its_class(versioned: Any, world: World):
    s3 = versioned
    old = s3.put_object(Bucket=BUCKET, Key="k", Body=b"1", StorageClass="STANDARD_IA")["VersionId"]
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"22")
    analyse(s3)
    meter = new_meter(world)
    s3.get_object(Bucket=BUCKET, Key="k", VersionId=old)["Body"].read()
    count(world, meter)
    tally = TALLIES.get(world.unit(), BUCKET, "all")
    assert tally is not None
    assert tally.uses == {"STANDARD_IA": {"ALL": Uses(1, 1, 0)}}


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_counts_nothing_twice_and_nothing_less(
    s3: Any, world: World, monkeypatch: pytest.MonkeyPatch, after: bool
):
    """The process ends before or after each commit of counts, wherever it falls."""
    monkeypatch.setattr(request_meter, "READ_LINES", 3)
    monkeypatch.setattr(request_meter, "PENDING_MAX", 1)
    configure(s3)
    analyse(s3)
    new_meter(world)
    for _ in range(4):
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
        s3.get_object(Bucket=BUCKET, Key="k")["Body"].read()
    commit = world.ledger.commit
    dying = EveryOther(commit, after=after)
    world.ledger.commit = dying  # type: ignore[method-assign]
    for _ in range(20):
        with contextlib.suppress(Crash):
            count(world, new_meter(world))
    assert dying.commits >= 3
    assert counts(world)["AllRequests"] == 8
    tally = TALLIES.get(world.unit(), BUCKET, "all")
    assert tally is not None
    assert tally.uses["STANDARD"]["ALL"] == Uses(4, 4, 4)


def test_a_configuration_deleted_while_counts_are_on_their_way(s3: Any, world: World):
    configure(s3)
    meter = new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    world.ledger.conflicts = 1
    count(world, meter)
    assert counts(world)["AllRequests"] == 1, "tried again"
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    world.ledger.conflicts = request_meter.CONFLICTS_MAX
    with pytest.raises(Conflict):
        count(world, meter)
    world.loop.run_until_complete(meter.resume())
    count(world, meter)
    assert counts(world)["AllRequests"] == 2


def test_a_ledger_that_fails_loses_no_count(s3: Any, world: World):
    configure(s3)
    meter = new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    world.ledger.fail_next = True
    with pytest.raises(LedgerUnavailable):
        count(world, meter)
    world.loop.run_until_complete(meter.resume())
    count(world, meter)
    assert counts(world)["AllRequests"] == 1


def test_many_rows_are_forgotten_in_bounded_commits(s3: Any, world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_watch, "DROP_ROWS", 2)
    for number in range(5):
        configure(s3, f"c{number}")
    meter = new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    count(world, meter)
    for number in range(5):
        s3.delete_bucket_metrics_configuration(Bucket=BUCKET, Id=f"c{number}")
    count(world, meter)
    assert not COUNTS.page(world.unit())
    assert not METERED.page(world.unit())


def test_two_that_count_do_not_count_twice(s3: Any, world: World):
    configure(s3)
    one, two = new_meter(world), new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    count(world, one)
    with pytest.raises(Conflict):
        count(world, two)
    assert counts(world)["AllRequests"] == 1


def test_a_line_is_judged_by_its_bytes():
    named = b'{"eventSource":"s3.amazonaws.com","requestParameters":{"bucketName":"b","key":"k"}}'
    assert bucket_in(named) == "b"
    hostile = msgspec.json.encode({"userAgent": '"bucketName":"x"', "eventSource": "s3.amazonaws.com"})
    assert bucket_in(hostile) == ""
    for line in (b"", b"{}", named.replace(b"s3.", b"sns."), b'"eventSource":"s3.amazonaws.com""bucketName":"' + b"x"):
        assert bucket_in(line) == ""
    assert bucket_in(b'"eventSource":"s3.amazonaws.com","bucketName":"' + b"x" * 300 + b'"') == ""
    for line in (b"", b"[]", b'{"requestParameters":{"key":["k"]}}'):
        with pytest.raises(msgspec.MsgspecError):
            read_request(line)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SelectObjectContent", "SelectRequests"),
        ("RestoreObject", "PostRequests"),
        ("UploadPartCopy", "PutRequests"),
        ("RenameObject", "PutRequests"),
        ("DeleteObjectTagging", "DeleteRequests"),
        ("WriteGetObjectResponse", ""),
    ],
)
def test_kinds_of_rare_requests(name: str, kind: str):
    line = msgspec.json.encode({"eventName": name, "requestParameters": {"bucketName": "b", "key": "k"}})
    found = metrics_of(read_request(line), 503)
    assert found == {"AllRequests": 1, "5xxErrors": 1} | ({kind: 1} if kind else {})
    assert metrics_of(read_request(b'{"eventName":"GetBucketAcl"}'), 0) == {"AllRequests": 1}


def test_the_cursor_is_written_now_and_then_without_a_count(s3: Any, world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_meter, "IDLE_LINES", 3)
    meter = new_meter(world)
    for _ in range(4):
        s3.head_bucket(Bucket=BUCKET)
    count(world, meter)
    row = METER_CURSORS.get(Unit(replace(world.house), 0.0), "requests")
    assert row is not None
    assert row.through == meter.position()
