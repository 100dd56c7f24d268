"""Storage class analysis: objects put and read by boto3, days that pass, and the report read back as a spreadsheet would."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from opentrail.followers import analysis
from opentrail.followers.analysis import AnalysisFollower
from opentrail.followers.analysis_days import (
    HEADER,
    OBSERVED_DAYS,
    STABLE_DAYS,
    access_ratio,
    close_day,
    filter_text,
    report,
)
from opentrail.followers.request_meter import RequestMeter
from opentrail.rows.s3_metering import (
    ANALYSES,
    DAYS,
    GROUP_STARTS,
    GROUPS,
    AnalysisDay,
    Uses,
    groups_of,
)
from opentrail.server.clock import SystemClock
from tests.fakes.later import Later
from tests.fakes.mortal import Crash, EveryOther
from tests.followers.test_inventory import policy
from tests.services.s3.world import BUCKET, World

TARGET = "reports"
ACCOUNT = "000000000000"
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still, so that no midnight comes between a sweep and what is asked of it."""
    now = SystemClock().now()
    monkeypatch.setattr(SystemClock, "now", lambda _clock: now)


@pytest.fixture
def s3(s3: Any) -> Any:
    """The client, with a bucket, and another for reports, into which S3 may put them."""
    s3.create_bucket(Bucket=TARGET)
    allow(s3)
    return s3


def allow(s3: Any) -> None:
    """Admit reports."""
    s3.put_bucket_policy(Bucket=TARGET, Policy=json.dumps(policy(TARGET)))


def analyse(s3: Any, id_: str = "all", filter_: dict[str, Any] | None = None, **target: str) -> None:
    given: dict[str, Any] = {"Id": id_, "StorageClassAnalysis": {"DataExport": export(**target)}}
    if filter_ is not None:
        given["Filter"] = filter_
    s3.put_bucket_analytics_configuration(Bucket=BUCKET, Id=id_, AnalyticsConfiguration=given)


def export(**target: str) -> dict[str, Any]:
    where = {"Format": "CSV", "Bucket": f"arn:aws:s3:::{TARGET}", "Prefix": "to/"} | target
    return {"OutputSchemaVersion": "V_1", "Destination": {"S3BucketDestination": where}}


def new_meter(world: World) -> RequestMeter:
    meter = RequestMeter(world.house)
    world.loop.run_until_complete(meter.resume())
    return meter


def count(world: World, meter: RequestMeter) -> None:
    world.loop.run_until_complete(meter.catch_up())


def sweep(world: World, days: float) -> None:
    follower = AnalysisFollower(replace(world.house, clock=Later(days)))
    world.loop.run_until_complete(follower.sweep())


def keys(s3: Any) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=TARGET).get("Contents", [])]


def rows(s3: Any, id_: str = "all") -> list[dict[str, str]]:
    text = s3.get_object(Bucket=TARGET, Key=f"to/{BUCKET}/{id_}.csv")["Body"].read().decode()
    return list(csv.DictReader(io.StringIO(text)))


def date(days: float) -> str:
    return datetime.fromtimestamp(Later(days).now(), UTC).strftime("%m-%d-%Y")


def test_a_day_is_reported(s3: Any, world: World):
    analyse(s3)
    meter = new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="big", Body=bytes(MIB))
    s3.put_object(Bucket=BUCKET, Key="small", Body=bytes(MIB // 16))
    s3.put_object(Bucket=BUCKET, Key="cold", Body=bytes(MIB), StorageClass="STANDARD_IA")
    for _ in range(2):
        s3.get_object(Bucket=BUCKET, Key="big")["Body"].read()
    count(world, meter)
    sweep(world, 0.9)
    assert not keys(s3), "no day is over"
    sweep(world, 1.1)
    found = rows(s3)
    assert tuple(found[0]) == HEADER
    shown = [tuple(row.values()) for row in found]
    today = date(1.0)
    assert shown == [
        (today, "all", "", "STANDARD", "000-014", "1", "1", "1", "2", "2", "2", "", ""),
        (today, "all", "", "STANDARD_IA", "000-014", "1", "1", "1", "0", "0", "0", "", ""),
        (today, "all", "", "STANDARD", "ALL", "2", "1.0625", "1.0625", "2", "2", "1.882353", "", ""),
        (today, "all", "", "STANDARD_IA", "ALL", "1", "1", "1", "0", "0", "0", "", ""),
    ]
    head = s3.head_object(Bucket=TARGET, Key=f"to/{BUCKET}/all.csv")
    assert head["ContentType"] == "text/csv"
    record = world.records("PutObject")[-1]
    assert record["userIdentity"] == {"type": "AWSService", "invokedBy": "s3.amazonaws.com"}
    assert record["requestParameters"]["key"] == f"to/{BUCKET}/all.csv"


def test_each_day_is_added_to_the_report_once(s3: Any, world: World):
    analyse(s3)
    meter = new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="big", Body=bytes(MIB))
    count(world, meter)
    for days in (1.1, 1.5, 2.1, 2.1):
        sweep(world, days)
    s3.get_object(Bucket=BUCKET, Key="big")["Body"].read()
    count(world, meter)
    sweep(world, 5.2)
    every = [(row["Date"], row["ObjectAge"], row["DataUploaded_MB"], row["GetRequestCount"]) for row in rows(s3)]
    days = [(date(1.0), "1", "0"), (date(2.0), "0", "0"), (date(5.0), "0", "1")]
    assert every == [(day, group, up, gets) for group in ("000-014", "ALL") for day, up, gets in days]
    written = [each for each in world.records("PutObject") if each["requestParameters"]["bucketName"] == TARGET]
    assert len(written) == 3


def test_filters_and_ages(s3: Any, world: World):
    tag, prefix = {"Key": "class", "Value": "x y"}, 'a,"/'
    analyse(s3, "prefix", {"Prefix": prefix})
    analyse(s3, "tag", {"Tag": tag})
    analyse(s3, "both", {"And": {"Prefix": prefix, "Tags": [tag]}})
    for key, tags in ((f"{prefix}1", "class=x+y"), (f"{prefix}2", ""), ("b/1", "class=x+y"), ("c", "")):
        s3.put_object(Bucket=BUCKET, Key=key, Body=bytes(MIB // 4), Tagging=tags)
    sweep(world, 100)
    for id_, objects, shown in (
        ("prefix", "2", f"Prefix={prefix}"),
        ("tag", "2", "Tag=class=x y"),
        ("both", "1", f"Prefix={prefix}&Tag=class=x y"),
    ):
        found = rows(s3, id_)
        assert [(row["ObjectAge"], row["ObjectCount"]) for row in found] == [("090-119", objects), ("ALL", objects)]
        assert {row["Filter"] for row in found} == {shown}


def test_what_is_not_exported_is_not_analysed(s3: Any, world: World):
    given = {"Id": "one", "StorageClassAnalysis": {}}
    s3.put_bucket_analytics_configuration(Bucket=BUCKET, Id="one", AnalyticsConfiguration=given)
    sweep(world, 2)
    assert not keys(s3)
    assert not ANALYSES.page(world.unit())


def test_a_refused_report_is_written_once_its_bucket_lets_it(s3: Any, world: World):
    s3.delete_bucket_policy(Bucket=TARGET)
    analyse(s3)
    new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    sweep(world, 1.1)
    sweep(world, 2.1)
    assert not keys(s3)
    assert {each.get("errorCode") for each in world.records("PutObject")[1:]} == {"AccessDenied"}
    allow(s3)
    sweep(world, 2.2)
    assert [row["Date"] for row in rows(s3)] == [date(1.0), date(2.0)]


def test_an_expected_owner_of_the_destination_is_asked_for(s3: Any, world: World):
    analyse(s3, "right", BucketAccountId=ACCOUNT, Prefix="")
    analyse(s3, "wrong", BucketAccountId="1" * 12)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    sweep(world, 1.1)
    assert keys(s3) == [f"{BUCKET}/right.csv"]


def test_a_configuration_put_again_begins_its_day_anew(s3: Any, world: World):
    analyse(s3)
    sweep(world, 1.1)
    later = ANALYSES.get(world.unit(), BUCKET, "all")
    assert later is not None
    analyse(s3, "all", {"Prefix": "a/"})
    sweep(world, 1.2)
    assert ANALYSES.get(world.unit(), BUCKET, "all") == later
    s3.delete_bucket_analytics_configuration(Bucket=BUCKET, Id="all")
    meter = new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    world.loop.run_until_complete(meter._watch.look())
    assert not DAYS.page(world.unit())


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_closes_no_day_twice_and_writes_no_report_twice(s3: Any, world: World, after: bool):
    analyse(s3)
    meter = new_meter(world)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    s3.get_object(Bucket=BUCKET, Key="k")["Body"].read()
    count(world, meter)
    commit = world.ledger.commit
    dying = EveryOther(commit, after=after)
    world.ledger.commit = dying  # type: ignore[method-assign]
    for _ in range(6):
        with contextlib.suppress(Crash):
            sweep(world, 1.1)
    world.ledger.commit = commit  # type: ignore[method-assign]
    assert dying.commits >= 2
    assert [(row["ObjectAge"], row["GetRequestCount"]) for row in rows(s3)] == [("ALL", "1")]
    written = [each for each in world.records("PutObject") if each["requestParameters"]["bucketName"] == TARGET]
    assert len(written) == 1


def test_old_days_are_forgotten(s3: Any, world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(analysis, "DAYS_MAX", 3)
    analyse(s3)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    for day in range(1, 6):
        sweep(world, day + 0.1)
    assert [row["Date"] for row in rows(s3)] == [date(day) for day in (3, 4, 5)]
    assert len(DAYS.page(world.unit())) == 3


def test_groups_of_ages():
    for start, name in zip(GROUP_STARTS, GROUPS, strict=True):
        assert groups_of(start, MIB) == (name, "ALL")
        assert groups_of(start + 0.9, MIB) == (name, "ALL")
    assert groups_of(-1, 128 * 1024) == ("000-014", "ALL"), "a clock that went back"
    assert groups_of(14.99, MIB)[0] == "000-014"
    assert groups_of(9_999, 128 * 1024 - 1) == ("ALL",)


def history(days: int, retrieved: dict[str, int], start: int = 0) -> list[AnalysisDay]:
    """Days on which a MiB lay in each age group of STANDARD, and so many bytes of it were read."""
    stored = {"STANDARD": {**dict.fromkeys(GROUPS, (1, MIB)), "ALL": (12, 12 * MIB)}}
    found: list[AnalysisDay] = []
    for day in range(days):
        uses = {group: Uses(1, size) for group, size in retrieved.items()}
        uses["ALL"] = Uses(len(retrieved), sum(retrieved.values()))
        found.append(close_day((start + day) * 86_400.0, "", stored, {"STANDARD": uses}, found))
    return found


def test_an_age_is_recommended_after_a_month_and_a_week():
    days = history(OBSERVED_DAYS + STABLE_DAYS, {"000-014": 10 * MIB, "030-044": MIB})
    ages = [(day.transition, day.recommended) for day in days]
    assert ages[: OBSERVED_DAYS - 1] == [(None, None)] * (OBSERVED_DAYS - 1)
    assert ages[OBSERVED_DAYS - 1 : -2] == [(45, None)] * (STABLE_DAYS - 1)
    assert ages[-2:] == [(45, 45)] * 2
    last = list(csv.DictReader(io.StringIO(report("id", days).decode())))[-1]
    shown = last["ObjectAge"], last["ObjectAgeForSIATransition"], last["RecommendedObjectAgeForSIATransition"]
    assert shown == ("ALL", "45", "45")
    assert history(OBSERVED_DAYS, dict.fromkeys(GROUPS, MIB))[-1].transition is None, "all is read every day"
    assert history(OBSERVED_DAYS, {})[-1].transition == 30, "no rule moves what is younger"


def test_a_ratio_is_of_a_group_and_the_older_ones():
    days = history(10, {"365-729": MIB})
    assert access_ratio(days, "STANDARD", "730+") == 0
    assert access_ratio(days, "STANDARD", "365-729") == 5
    assert access_ratio(days, "STANDARD", "000-014") == pytest.approx(10 / 12, abs=1e-6)
    assert access_ratio(days, "STANDARD", "ALL") == pytest.approx(10 / 12, abs=1e-6)
    assert access_ratio(days, "GLACIER", "ALL") is None


def test_requests_for_what_is_gone_by_the_end_of_the_day_are_told():
    day = close_day(0.0, "", {}, {"STANDARD": {"ALL": Uses(1, MIB, MIB)}}, [])
    line = report("id", [day]).decode().splitlines()[1]
    assert line == "01-01-1970,id,,STANDARD,ALL,0,1,0,1,1,,,"


def test_an_empty_bucket_has_a_report_of_its_heading():
    day = close_day(0.0, filter_text("", ()), {}, {}, [])
    assert report("id", [day]).decode() == ",".join(HEADER) + "\n"
