"""Unusual rates of calls and errors: told once when they begin and once when they end, whatever crashes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from opentrail.followers.delivery import DeliveryFollower
from opentrail.followers.insights import InsightsFollower
from opentrail.rows.insights import SERIES, WATCHES
from opentrail.state import House, Unit
from tests.fakes.house import NOW
from tests.followers.trail_house import (
    ACCOUNT,
    BUCKET,
    Crash,
    CrashingLedger,
    append,
    data_record,
    invoke,
    log_lines,
    logging_trail,
    objects,
    record,
    refused,
    trail_house,
)

START = NOW - NOW % 3600
MINUTE = 60.0
BOTH = [{"InsightType": "ApiCallRateInsight"}, {"InsightType": "ApiErrorRateInsight"}]


async def watching(house: House, selectors: list[Any] | None = None) -> InsightsFollower:
    await logging_trail(house)
    await invoke(house, "PutInsightSelectors", {"TrailName": "main", "InsightSelectors": selectors or BOTH})
    return InsightsFollower(house)


def house_at(minute: int, ledger: Any = None, **settings: Any) -> House:
    return trail_house(ledger, now=START + minute * MINUTE, **({"insight_learning": 3600.0} | settings))


async def calls(house: House, minute: int, count: int, name: str = "RunInstances", **more: Any) -> None:
    """`count` calls in a minute since START."""
    at = START + minute * MINUTE
    more = {"eventSource": "ec2.amazonaws.com", "userAgent": "aws-cli"} | more
    for number in range(count):
        await append(house, record(name, at + number % 60, eventID=f"{name}-{minute}-{number}", **more))


async def follow(follower: InsightsFollower) -> None:
    if follower._cursor < 0:
        follower._resume()
    await follower.catch_up()


def insights(house: House) -> list[dict[str, Any]]:
    return [each for _, each in log_lines(house.ledger) if each.get("eventCategory") == "Insight"]


async def a_quiet_day(house: House, minutes: int = 70) -> None:
    """Two calls every ten minutes."""
    for minute in range(0, minutes, 10):
        await calls(house, minute, 2)


async def test_a_burst_is_told_when_it_begins_and_when_it_is_over():
    house = house_at(0)
    follower = await watching(house)
    await a_quiet_day(house)
    await calls(house, 70, 40)
    await calls(house, 71, 30)
    await calls(house, 72, 1)
    await follow(follower)
    [begun] = insights(house)
    details = begun["insightDetails"]
    assert (begun["eventTime"][11:], begun["recipientAccountId"]) == (f"{_clock(70)}Z", ACCOUNT)
    assert (details["state"], details["eventName"], details["eventSource"]) == (
        "Start",
        "RunInstances",
        "ec2.amazonaws.com",
    )
    statistics = details["insightContext"]["statistics"]
    assert statistics["insight"] == {"average": 40}
    assert statistics["baseline"] == {"average": pytest.approx(14 / 70)}
    await calls(house, 78, 1)
    await follow(follower)
    [_, over] = insights(house)
    assert over["sharedEventID"] == begun["sharedEventID"]
    assert over["eventID"] != begun["eventID"]
    assert over["insightDetails"]["state"] == "End"
    assert over["insightDetails"]["insightContext"]["statistics"]["insight"] == {"average": 35}
    assert over["insightDetails"]["insightContext"]["statistics"]["insightDuration"] == 2
    assert over["eventTime"][11:] == f"{_clock(72)}Z"


def _clock(minute: int) -> str:
    at = int(START // 60 + minute)
    return f"{at // 60 % 24:02}:{at % 60:02}:00"


async def test_failures_are_told_by_their_code_and_with_who_made_them():
    house = house_at(0)
    follower = await watching(house)
    await a_quiet_day(house)
    who = {"type": "IAMUser", "arn": f"arn:aws:iam::{ACCOUNT}:user/eve", "accountId": ACCOUNT}
    await calls(house, 75, 9, "GetSecretValue", readOnly=True, errorCode="AccessDenied", userIdentity=who)
    await calls(house, 76, 1)
    await follow(follower)
    [told] = insights(house)
    details = told["insightDetails"]
    assert (details["insightType"], details["errorCode"]) == ("ApiErrorRateInsight", "AccessDenied")
    arns, agents, codes = details["insightContext"]["attributions"]
    assert arns["insight"] == [{"value": who["arn"], "average": 9}]
    assert agents["insight"] == [{"value": "aws-cli", "average": 9}]
    assert codes["insight"] == [{"value": "AccessDenied", "average": 9}]


async def test_nothing_is_told_while_it_learns_and_nothing_of_what_is_usual():
    house = house_at(0)
    follower = await watching(house)
    await calls(house, 10, 40)
    for minute in range(61, 70):
        await calls(house, minute, 2)
    await follow(follower)
    assert insights(house) == []


async def test_reads_and_data_events_count_only_where_they_are_asked_for():
    house = house_at(0)
    follower = await watching(house)
    await a_quiet_day(house)
    await calls(house, 75, 40, "DescribeInstances", readOnly=True)
    for number in range(40):
        await append(house, data_record("PutObject", "b", "k", START + 75 * MINUTE, eventID=f"d-{number}"))
    await calls(house, 76, 1)
    await follow(follower)
    assert insights(house) == []
    every = [{"InsightType": "ApiCallRateInsight", "EventCategories": ["Management", "Data"]}]
    await invoke(house, "PutInsightSelectors", {"TrailName": "main", "InsightSelectors": every})
    for number in range(40):
        await append(house, data_record("PutObject", "b", "k", START + 77 * MINUTE, eventID=f"e-{number}"))
    await calls(house, 78, 1)
    await follow(follower)
    assert [each["insightDetails"]["eventName"] for each in insights(house)] == ["PutObject"]


async def test_the_clock_ends_what_nobody_goes_on_with():
    house = house_at(0)
    follower = await watching(house)
    await a_quiet_day(house)
    await calls(house, 71, 40)
    house.clock.time = START + 72 * MINUTE + 3
    await follow(follower)
    assert [each["insightDetails"]["state"] for each in insights(house)] == ["Start"]
    house.clock.time = START + 80 * MINUTE
    await follow(follower)
    assert [each["insightDetails"]["state"] for each in insights(house)] == ["Start", "End"]


async def test_they_are_delivered_into_a_folder_of_their_own_for_trails_that_want_them():
    house = house_at(0)
    follower = await watching(house)
    await invoke(house, "CreateTrail", {"Name": "plain", "S3BucketName": BUCKET, "S3KeyPrefix": "plain"})
    await invoke(house, "StartLogging", {"Name": "plain"})
    await a_quiet_day(house)
    await calls(house, 71, 40)
    await calls(house, 72, 1)
    await follow(follower)
    await DeliveryFollower(house).flush()
    delivered = objects(house.ledger, "/CloudTrail-Insight/")
    [(_, key)] = delivered
    assert key.startswith(f"AWSLogs/{ACCOUNT}/CloudTrail-Insight/us-east-1/")
    assert f"/{ACCOUNT}_CloudTrail-Insight_us-east-1_" in key
    assert all("insightDetails" not in each for _, each in log_lines(house.ledger) if each.get("eventName"))


@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_at_any_commit_tells_nothing_twice_and_leaves_nothing_out(after):
    for crash_at in range(1, 12):
        ledger = CrashingLedger()
        house = house_at(0, ledger)
        follower = await watching(house)
        await a_quiet_day(house)
        await calls(house, 71, 40)
        await calls(house, 72, 30)
        await calls(house, 80, 1)
        ledger.crash_at, ledger.crash_after = crash_at, after
        try:
            await follow(follower)
        except Crash:
            house = house_at(0, ledger)
            await follow(InsightsFollower(house))
        ledger.crash_at = 0
        assert [each["insightDetails"]["state"] for each in insights(house)] == ["Start", "End"], crash_at
        [start, end] = [each["insightDetails"]["insightContext"]["statistics"] for each in insights(house)]
        assert (start["insight"]["average"], end["insight"]["average"]) == (40, 35)
        assert start["baseline"]["average"] == pytest.approx(14 / 71)


async def test_what_was_counted_is_forgotten_with_the_last_selector():
    house = house_at(0)
    follower = await watching(house)
    await a_quiet_day(house)
    await calls(house, 71, 40)
    await calls(house, 72, 1)
    await follow(follower)
    assert list(SERIES.all(Unit(house, 0.0)))
    await invoke(house, "PutInsightSelectors", {"TrailName": "main", "InsightSelectors": []})
    await follow(follower)
    unit = Unit(house, 0.0)
    assert (list(SERIES.all(unit)), list(WATCHES.all(unit))) == ([], [])


async def test_selectors_are_kept_shown_and_refused():
    house = house_at(0)
    await logging_trail(house)
    put = {"TrailName": "main", "InsightSelectors": BOTH}
    assert await refused(house, "GetInsightSelectors", {"TrailName": "main"}) == "InsightNotEnabledException"
    assert (await invoke(house, "GetTrail", {"Name": "main"}))["Trail"]["HasInsightSelectors"] is False
    assert (await invoke(house, "PutInsightSelectors", put))["InsightSelectors"] == BOTH
    assert (await invoke(house, "GetInsightSelectors", {"TrailName": "main"}))["InsightSelectors"] == BOTH
    assert (await invoke(house, "GetTrail", {"Name": "main"}))["Trail"]["HasInsightSelectors"] is True
    elsewhere = put | {"InsightsDestination": "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/other"}
    assert await refused(house, "PutInsightSelectors", elsewhere) == "InvalidParameterCombinationException"
    invalid = "InvalidInsightSelectorsException"
    for bad in ([{"InsightType": "Other"}], [BOTH[0], BOTH[0]], [{**BOTH[0], "EventCategories": ["Insight"]}]):
        assert await refused(house, "PutInsightSelectors", put | {"InsightSelectors": bad}) == invalid
    reads = [{"ReadWriteType": "ReadOnly", "IncludeManagementEvents": True}]
    await invoke(house, "PutEventSelectors", {"TrailName": "main", "EventSelectors": reads})
    assert await refused(house, "PutInsightSelectors", put) == invalid
    assert json.dumps(await invoke(house, "PutInsightSelectors", put | {"InsightSelectors": BOTH[1:]}))
