"""Log files: what is in them, where they lie, and that each line is in exactly one, whatever crashes."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections import Counter

import pytest

from opentrail.errors import AwsError
from opentrail.followers import delivery_plan
from opentrail.followers.delivery import DeliveryFollower
from opentrail.followers.delivery_notices import has_notices
from opentrail.rows.cloudtrail import CURSORS, PLANNED
from opentrail.state import Unit
from tests.fakes.house import NOW
from tests.fakes.virtual_time import in_virtual_time
from tests.followers.trail_house import (
    ACCOUNT,
    BUCKET,
    Crash,
    CrashingLedger,
    append,
    data_record,
    delivered_records,
    invoke,
    log_lines,
    logging_trail,
    names,
    objects,
    record,
    trail_house,
)

ON_BUCKET = [
    {"ReadWriteType": "All", "DataResources": [{"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{BUCKET}/"]}]}
]
DATA_ONLY = [ON_BUCKET[0] | {"IncludeManagementEvents": False}]


async def test_a_file_holds_the_lines_as_they_are_under_the_documented_name():
    house = trail_house()
    await logging_trail(house, S3KeyPrefix="some/prefix")
    line = record("DeleteBucket", NOW)
    await append(house, line, record("CreateBucket", NOW, recipientAccountId="999999999999"))
    await DeliveryFollower(house).flush()
    [((bucket, key), stored)] = objects(house.ledger, "/CloudTrail/").items()
    assert bucket == BUCKET
    folder = f"some/prefix/AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/2026/09/21/"
    assert key.startswith(f"{folder}{ACCOUNT}_CloudTrail_us-east-1_20260921T1413Z_")
    assert key.endswith(".json.gz")
    assert len(key.rpartition("_")[2]) == len("0123456789abcdef.json.gz")
    text = gzip.decompress(stored["body"])
    assert line in text
    assert names(json.loads(text)["Records"]) == ["StartLogging", "DeleteBucket"]
    put = [given for _, _, name, given in house.road.calls if name == "PutObject"][-1]
    assert put["ACL"] == "bucket-owner-full-control"
    assert (put["ContentType"], put["ContentEncoding"]) == ("application/json", "gzip")
    principal = house.road.calls[-1][0]
    assert (principal.type, principal.invoked_by) == ("AWSService", "cloudtrail.amazonaws.com")
    assert principal.source_arn == f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"
    assert principal.source_account == ACCOUNT


async def test_regions_have_files_of_their_own_and_a_single_region_trail_logs_only_its_own():
    house = trail_house()
    await logging_trail(house, "everywhere", IsMultiRegionTrail=True, S3KeyPrefix="every")
    await logging_trail(house, "here", S3KeyPrefix="here")
    await append(house, record("There", awsRegion="eu-west-1"), record("Here"))
    await DeliveryFollower(house).flush()
    by_file = {key: names(json.loads(gzip.decompress(each["body"]))["Records"])
               for (_, key), each in objects(house.ledger, "/CloudTrail/").items()}  # fmt: skip
    assert [found for key, found in by_file.items() if "/eu-west-1/" in key] == [["There"]]
    assert [found for key, found in by_file.items() if key.startswith("here/")] == [["StartLogging", "Here"]]


async def test_what_is_logged_is_decided_by_the_configuration_at_the_lines_own_place():
    house = trail_house()
    await logging_trail(house)
    await append(house, record("During"))
    await invoke(house, "StopLogging", {"Name": "main"})
    await append(house, record("Between"))
    await invoke(house, "StartLogging", {"Name": "main"})
    await append(house, record("Again"))
    await invoke(house, "DeleteTrail", {"Name": "main"})
    await append(house, record("Afterwards"))
    await DeliveryFollower(house).flush()
    assert names(delivered_records(house.ledger)) == [
        "StartLogging", "During", "StopLogging", "StartLogging", "Again", "DeleteTrail",
    ]  # fmt: skip


async def test_a_trail_does_not_log_its_own_deliveries_unless_it_is_told_to():
    house = trail_house()
    await logging_trail(house, "main", ON_BUCKET)
    await logging_trail(house, "recursive", ON_BUCKET, RecursiveLogging=True, S3KeyPrefix="r")
    follower = DeliveryFollower(house)
    await append(house, data_record("PutObject", BUCKET, "mine"))
    for _ in range(3):
        await follower.flush()
    found = {key: names(json.loads(gzip.decompress(each["body"]))["Records"])
             for (_, key), each in objects(house.ledger, "/CloudTrail/").items()}  # fmt: skip
    plain = [name for key, each in found.items() if not key.startswith("r/") for name in each]
    looped = [name for key, each in found.items() if key.startswith("r/") for name in each]
    assert plain.count("PutObject") == 1
    assert looped.count("PutObject") > 1


async def test_files_are_of_bounded_size(monkeypatch):
    monkeypatch.setattr(delivery_plan, "FILE_LINES_MAX", 3)
    house = trail_house()
    await logging_trail(house)
    await append(house, *(record(f"Call{n}") for n in range(10)))
    await DeliveryFollower(house).flush()
    files = objects(house.ledger, "/CloudTrail/")
    assert sorted(len(json.loads(gzip.decompress(each["body"]))["Records"]) for each in files.values()) == [2, 3, 3, 3]
    assert len(delivered_records(house.ledger)) == 11


@pytest.mark.parametrize("after", [False, True])
async def test_every_line_is_delivered_exactly_once_whatever_commit_a_crash_hits(after, monkeypatch):
    monkeypatch.setattr(delivery_plan, "FILE_LINES_MAX", 2)
    for step in range(1, 40):
        ledger = CrashingLedger()
        house = trail_house(ledger)
        await logging_trail(house, IsMultiRegionTrail=True, EnableLogFileValidation=True)
        await append(house, *(record(f"Call{n}", awsRegion=("us-east-1", "eu-west-1")[n % 2]) for n in range(5)))
        ledger.crash_at, ledger.crash_after = step, after
        crashed = False
        try:
            await DeliveryFollower(house).flush()
        except Crash:
            crashed = True
        ledger.crash_at = 0
        written = objects(ledger, "/CloudTrail/")
        house = trail_house(ledger, now=NOW + 100 * step)
        await append(house, record("Later"))
        await DeliveryFollower(house).flush()
        counts = Counter(names(delivered_records(ledger)))
        assert counts == dict.fromkeys(["StartLogging", "Later", *(f"Call{n}" for n in range(5))], 1), step
        assert written.items() <= objects(ledger, "/CloudTrail/").items()
        if not crashed:
            return
    raise AssertionError("the delivery never came to its end")


async def test_a_repeated_delivery_writes_the_same_name_and_bytes():
    ledger = CrashingLedger()
    house = trail_house(ledger)
    await logging_trail(house)
    await append(house, record("Once"))
    seen = []
    for crash_at in (2, 1, 1):  # the plan is durable, the file is not
        ledger.crash_at = crash_at
        with pytest.raises(Crash):
            await DeliveryFollower(house).flush()
        [(_, row)] = PLANNED.page(Unit(house, 0.0), trail_id(house))
        seen.append((row.key, row.runs))
        house = trail_house(ledger, now=NOW + 3_600)
    ledger.crash_at = 0
    await DeliveryFollower(house).flush()
    assert len(set(seen)) == 1
    assert list(objects(ledger, "/CloudTrail/")) == [(BUCKET, seen[0][0])]


def trail_id(house) -> str:
    return next(parts[0] for parts, _ in CURSORS.all(Unit(house, 0.0)))


async def test_a_refused_delivery_is_told_kept_and_goes_where_the_trail_then_delivers():
    house = trail_house()
    await logging_trail(house, "bad")
    follower = DeliveryFollower(house)
    await append(house, record("Kept"))
    house.road.refuse[BUCKET] = AwsError("NoSuchBucket", status=404)
    with pytest.raises(AwsError):
        await follower.flush()
    status = await invoke(house, "GetTrailStatus", {"Name": "bad"})
    assert status["LatestDeliveryError"] == "NoSuchBucket"
    assert "LatestDeliveryTime" not in status
    await invoke(house, "UpdateTrail", {"Name": "bad", "S3BucketName": "other-bucket"})
    house.clock.time += 600
    await follower.flush()
    assert "Kept" in names(delivered_records(house.ledger))
    assert {bucket for bucket, _ in objects(house.ledger, "/CloudTrail/")} == {"other-bucket"}
    status = await invoke(house, "GetTrailStatus", {"Name": "bad"})
    assert "LatestDeliveryError" not in status
    assert status["LatestDeliveryTime"] == NOW + 600


async def test_a_line_that_is_no_record_does_not_stop_the_delivery(caplog):
    house = trail_house()
    await logging_trail(house)
    await append(house, b"{", b'{"resources": 7}', record("Fine", eventTime="noon"))
    await DeliveryFollower(house).flush()
    assert names(delivered_records(house.ledger)) == ["StartLogging", "Fine"]
    assert "is no record" in caplog.text


async def test_names_do_not_go_back_when_the_clock_does():
    house = trail_house()
    await logging_trail(house)
    follower = DeliveryFollower(house)
    await append(house, record("First"))
    await follower.flush()
    house.clock.time -= 7_200
    await append(house, record("Second", NOW - 7_200))
    await follower.flush()
    stamps = [key.split("_")[3] for _, key in objects(house.ledger, "/CloudTrail/")]
    assert stamps == ["20260921T1413Z", "20260921T1413Z"]
    assert len(delivered_records(house.ledger)) == 3


async def test_following_delivers_by_itself_and_another_trails_trouble_does_not_delay_it():
    house = trail_house(delivery_interval=0.02)
    await logging_trail(house, "bad", S3KeyPrefix="bad")
    await invoke(house, "CreateTrail", {"Name": "good", "S3BucketName": "good-bucket"})
    await invoke(house, "StartLogging", {"Name": "good"})
    house.road.refuse[BUCKET] = AwsError("AccessDenied", status=403)
    running = asyncio.ensure_future(DeliveryFollower(house).run())
    async with asyncio.timeout(60):
        while not objects(house.ledger, "/CloudTrail/"):
            await asyncio.sleep(0.01)
        await append(house, record("More"))
        while "More" not in names(delivered_records(house.ledger)):
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert {bucket for bucket, _ in objects(house.ledger, "/CloudTrail/")} == {"good-bucket"}


async def test_a_topic_is_told_of_every_file():
    house = trail_house()
    await logging_trail(house, SnsTopicName="news")
    await DeliveryFollower(house).flush()
    [key] = [key for _, key in objects(house.ledger, "/CloudTrail/")]
    published = [given for _, service, _, given in house.road.calls if service == "sns"]
    assert published[0]["Message"] == "CloudTrail validation message."
    assert json.loads(published[1]["Message"]) == {"s3Bucket": BUCKET, "s3ObjectKey": [key]}
    assert published[1]["TopicArn"] == f"arn:aws:sns:us-east-1:{ACCOUNT}:news"


async def test_a_refused_notice_is_told_kept_and_sent_once():
    house = trail_house()
    await logging_trail(house, SnsTopicName="news")
    follower = DeliveryFollower(house)
    house.road.refuse["sns"] = AwsError("NotFound", status=404)
    with pytest.raises(AwsError):
        await follower.flush()
    assert len(objects(house.ledger, "/CloudTrail/")) == 1, "the file does not wait for its notice"
    status = await invoke(house, "GetTrailStatus", {"Name": "main"})
    assert status["LatestNotificationError"] == "NotFound"
    assert "LatestNotificationTime" not in status
    del house.road.refuse["sns"]
    again = trail_house(house.ledger, now=NOW + 60)
    await DeliveryFollower(again).flush()
    await DeliveryFollower(again).flush()
    status = await invoke(again, "GetTrailStatus", {"Name": "main"})
    assert "LatestNotificationError" not in status
    assert status["LatestNotificationTime"] == NOW + 60
    told = [
        json.loads(given["Message"])["s3ObjectKey"] for _, service, _, given in again.road.calls if service == "sns"
    ]
    assert sorted(key for [key] in told) == sorted(key for _, key in objects(again.ledger, "/CloudTrail/"))


async def test_a_notice_that_nobody_takes_is_given_up_after_a_day():
    house = trail_house()
    await logging_trail(house, "main", DATA_ONLY, SnsTopicName="news")
    await append(house, data_record("PutObject", BUCKET, "mine"))
    house.road.refuse["sns"] = AwsError("NotFound", status=404)
    for later in (0, 86_000, 1_000):
        house.clock.time += later
        with contextlib.suppress(AwsError):
            await DeliveryFollower(house).flush()
    assert not has_notices(house, trail_id(house))


@pytest.mark.parametrize("after", [False, True])
async def test_every_file_is_told_of_whatever_commit_a_crash_hits(after):
    for step in range(1, 20):
        ledger = CrashingLedger()
        house = trail_house(ledger)
        await logging_trail(house, SnsTopicName="news")
        ledger.crash_at, ledger.crash_after = step, after
        crashed = False
        try:
            await DeliveryFollower(house).flush()
        except Crash:
            crashed = True
        ledger.crash_at = 0
        again = trail_house(ledger)
        await DeliveryFollower(again).flush()
        published = [
            json.loads(line["requestParameters"]["message"])["s3ObjectKey"][0]
            for _, line in log_lines(ledger)
            if line["eventName"] == "Publish" and line["requestParameters"]
        ]
        assert sorted(published) == sorted(key for _, key in objects(ledger, "/CloudTrail/")), step
        if not crashed:
            return
    raise AssertionError("the delivery never came to its end")


async def test_the_cursor_passes_what_a_trail_does_not_log():
    house = trail_house()
    await logging_trail(house, "main", DATA_ONLY)
    await DeliveryFollower(house).flush()
    await invoke(house, "StopLogging", {"Name": "main"})
    await DeliveryFollower(house).flush()
    [(_, cursor)] = CURSORS.all(Unit(house, 0.0))
    stop = next(seq for seq, line in log_lines(house.ledger) if line["eventName"] == "StopLogging")
    assert cursor.through >= stop
    assert objects(house.ledger, "/CloudTrail/") == {}


async def test_looking_at_the_bucket_is_recorded_and_delivered_but_does_not_go_on_for_ever():
    house = trail_house()
    await logging_trail(house)
    follower = DeliveryFollower(house)
    await append(house, record("Call"))
    for _ in range(4):
        await follower.flush()
    files = objects(house.ledger, "/CloudTrail/").values()
    looks = [line for file in files for line in json.loads(gzip.decompress(file["body"]))["Records"]]
    assert sum(line["eventName"] == "GetBucketAcl" for line in looks) == 1
    assert len(files) == 2


ALL_DATA = [{"ReadWriteType": "All", "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}]


async def left_alone(house, seconds: float) -> int:
    """The number of log files after the delivery has run for a while by itself."""
    running = asyncio.ensure_future(DeliveryFollower(house).run())
    await asyncio.sleep(seconds)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    return len(objects(house.ledger, "/CloudTrail/"))


@in_virtual_time
async def test_trails_that_log_each_others_buckets_echo_once_and_lose_nothing():
    house = trail_house(delivery_interval=0.02)
    for name in ("one", "two", "self"):
        given = {"SnsTopicName": "news", "RecursiveLogging": True, "S3BucketName": f"bucket-{name}"}
        await logging_trail(house, name, ALL_DATA, **given)
    await append(house, data_record("PutObject", "elsewhere", "key"))
    assert await left_alone(house, 5.0) == 9, (
        "each trail tells at once what is new, its delivery, and the look before it"
    )
    assert await left_alone(house, 5.0) == 15, "what is quiet is forgotten by a restart: one echo more"
    head = house.ledger.head()
    await append(house, record("Later"))
    await left_alone(house, 5.0)
    delivered = Counter(key for _, key in deliveries(house, head))
    assert len(delivered) == 15
    for name in ("one", "two", "self"):
        files = [each for (bucket, _), each in objects(house.ledger, "/CloudTrail/").items() if bucket.endswith(name)]
        lines = [line for file in files for line in json.loads(gzip.decompress(file["body"]))["Records"]]
        told = Counter(line["requestParameters"]["key"] for line in lines if line["eventName"] == "PutObject")
        assert {key: told[key] for key in delivered} == delivered, "every echo came along, once"


@in_virtual_time
async def test_echoes_alone_are_delivered_when_logging_ends():
    house = trail_house(delivery_interval=0.02)
    await logging_trail(house, "main", [ALL_DATA[0] | {"IncludeManagementEvents": False}], RecursiveLogging=True)
    await append(house, data_record("PutObject", "elsewhere", "key"))
    await left_alone(house, 5.0)
    before = Counter(key for _, key in deliveries(house))
    await invoke(house, "StopLogging", {"Name": "main"})
    await left_alone(house, 5.0)
    lines = [each for each in delivered_records(house.ledger) if each["userIdentity"]["type"] == "AWSService"]
    assert Counter(each["requestParameters"]["key"] for each in lines) == before


@in_virtual_time
async def test_the_delivery_of_access_logs_is_no_reason_to_deliver_but_comes_along():
    house = trail_house(delivery_interval=0.02)
    await logging_trail(house, "main", ALL_DATA)
    await left_alone(house, 5.0)
    before = len(objects(house.ledger, "/CloudTrail/"))
    service = {"type": "AWSService", "invokedBy": "logging.s3.amazonaws.com"}
    await append(house, data_record("PutObject", "access-logs", "log", userIdentity=service))
    await left_alone(house, 5.0)
    assert len(objects(house.ledger, "/CloudTrail/")) == before
    await append(house, record("Later"))
    await left_alone(house, 5.0)
    who = [each["userIdentity"].get("invokedBy") for each in delivered_records(house.ledger)]
    assert who.count("logging.s3.amazonaws.com") == 1


def deliveries(house, until: int = 1 << 60) -> list[tuple[str, str]]:
    """(bucket, key) of the log files that CloudTrail put, up to a Seq."""
    found = []
    for seq, line in log_lines(house.ledger):
        if line["eventName"] == "PutObject" and seq <= until and line["userIdentity"]["type"] == "AWSService":
            given = line["requestParameters"]
            if given["key"].endswith(".json.gz"):
                found.append((given["bucketName"], given["key"]))
    return found


async def test_a_refused_delivery_is_told_in_each_region_whose_files_wait():
    house = trail_house()
    await logging_trail(house, IsMultiRegionTrail=True)
    await append(house, record("Far", awsRegion="ap-south-1"), record("Near"))
    house.road.refuse[BUCKET] = AwsError("AccessDenied", status=403)
    with pytest.raises(AwsError):
        await DeliveryFollower(house).flush()
    arn = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"
    for region in ("ap-south-1", "us-east-1"):
        status = await invoke(house, "GetTrailStatus", {"Name": arn}, region=region)
        assert status.get("LatestDeliveryError") == "AccessDenied", region
    house.road.refuse.clear()
    await DeliveryFollower(house).flush()
    for region in ("ap-south-1", "us-east-1"):
        status = await invoke(house, "GetTrailStatus", {"Name": arn}, region=region)
        assert "LatestDeliveryError" not in status, region


@pytest.mark.parametrize("topic", ["other", ""])
async def test_notices_of_a_topic_that_is_gone_go_to_the_trails_next(topic):
    house = trail_house()
    await logging_trail(house, SnsTopicName="news")
    house.road.refuse["sns"] = AwsError("NotFound", status=404)
    with pytest.raises(AwsError):
        await DeliveryFollower(house).flush()
    house.road.refuse.clear()
    await invoke(house, "UpdateTrail", {"Name": "main", "SnsTopicName": topic})
    refused = house.road.call

    async def call(*given, **more):
        if given[1] == "sns" and given[3]["TopicArn"].endswith(":news"):
            raise AwsError("NotFound", status=404)
        return await refused(*given, **more)

    house.road.call = call
    await DeliveryFollower(house).flush()
    status = await invoke(house, "GetTrailStatus", {"Name": "main"})
    assert "LatestNotificationError" not in status
    assert not has_notices(house, trail_id(house))
    told = {given["TopicArn"].rpartition(":")[2] for _, service, _, given in house.road.calls[-1:] if service == "sns"}
    assert told == ({"other"} if topic else set())
