"""The event history and LookupEvents, end to end from lines to answers."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from opentrail.errors import AwsError
from opentrail.followers import history, history_tail
from opentrail.followers.history import HistoryFollower, is_plain_data
from opentrail.followers.lines import chosen_lines
from opentrail.ports import HistoryQuery, HistorySearch
from opentrail.record.history_words import place_word
from opentrail.stores.history_sqlite import SqliteHistory
from tests.fakes.house import NOW
from tests.followers.trail_house import ACCOUNT, REGION, append, data_record, invoke, record, refused, trail_house


@pytest.fixture
def house(tmp_path):
    house = trail_house()
    house.history = HistoryFollower(house.ledger, SqliteHistory(tmp_path), house.clock.now)
    yield house
    house.history.close()


async def look(house, attribute: tuple[str, str] | None = None, **given) -> list[str]:
    if attribute:
        given["LookupAttributes"] = [{"AttributeKey": attribute[0], "AttributeValue": attribute[1]}]
    await house.history.catch_up()
    answer = await invoke(house, "LookupEvents", given)
    house.ledger.lines.pop()  # the look-up's own record would be in the next answer
    return [each["EventName"] for each in answer["Events"]]


async def test_an_event_is_shown_with_its_attributes_and_its_record(house):
    line = record(
        "CreateTrail",
        requestParameters={"name": "main", "s3BucketName": "logs"},
        responseElements={"trailARN": "arn:aws:cloudtrail:us-east-1:123456789012:trail/main"},
    )
    await append(house, line)
    await house.history.catch_up()
    [event] = (await invoke(house, "LookupEvents"))["Events"]
    assert event == {
        "EventId": f"CreateTrail-{NOW}",
        "EventName": "CreateTrail",
        "ReadOnly": "false",
        "AccessKeyId": "AKIAEXAMPLE",
        "EventTime": int(NOW),
        "EventSource": "cloudtrail.amazonaws.com",
        "Username": "alice",
        "Resources": [
            {"ResourceType": "AWS::CloudTrail::Trail", "ResourceName": "main"},
            {"ResourceType": "AWS::S3::Bucket", "ResourceName": "logs"},
            {
                "ResourceType": "AWS::CloudTrail::Trail",
                "ResourceName": "arn:aws:cloudtrail:us-east-1:123456789012:trail/main",
            },
        ],
        "CloudTrailEvent": line.decode(),
    }


async def test_management_events_of_this_account_and_region_newest_first(house):
    await append(
        house,
        record("First", NOW - 5),
        data_record("PutObject", "b", "k"),
        record("Elsewhere", awsRegion="eu-west-1"),
        record("Theirs", recipientAccountId="999999999999"),
        record("Third", NOW - 3),
        record("Second", NOW - 4),
        record("Last", NOW - 3),
    )
    assert await look(house) == ["Last", "Third", "Second", "First"]


async def test_each_attribute_finds_its_events(house):
    role = {"type": "AssumedRole", "principalId": "AROAX:deployer", "accessKeyId": "ASIAROLE"}
    await append(
        house,
        record("Mine", NOW),
        record("Read", NOW + 1, readOnly=True),
        record("ByRole", NOW + 2, userIdentity=role, eventSource="iam.amazonaws.com"),
        record("OnBucket", NOW + 3, eventSource="s3.amazonaws.com", requestParameters={"bucketName": "b"}),
        record("ByRoot", NOW + 4, userIdentity={"type": "Root"}),
        record("GetAccelerateConfiguration", NOW + 5, eventSource="s3.amazonaws.com",
               requestParameters={"bucketName": "b"}, userIdentity={"type": "Root"}),
    )  # fmt: skip
    house.clock.time += 10
    assert await look(house, ("EventName", "Mine")) == ["Mine"]
    assert await look(house, ("ReadOnly", "true")) == ["Read"]
    assert await look(house, ("Username", "deployer")) == ["ByRole"]
    assert await look(house, ("Username", "root")) == ["GetAccelerateConfiguration", "ByRoot"]
    assert await look(house, ("AccessKeyId", "ASIAROLE")) == ["ByRole"]
    assert await look(house, ("EventSource", "iam.amazonaws.com")) == ["ByRole"]
    assert await look(house, ("ResourceType", "AWS::S3::Bucket")) == ["OnBucket"]
    assert await look(house, ("ResourceName", "b")) == ["OnBucket"]
    assert await look(house, ("EventId", f"ByRoot-{NOW + 4}")) == ["ByRoot"]
    assert await look(house, ("EventName", "mine")) == []
    assert await look(house, ("ResourceType", "AWS::No::Such")) == []


async def test_times_bound_the_search_to_ninety_days_at_the_most(house):
    day = 86_400
    await append(house, *(record(f"Day{n}", NOW - n * day) for n in (100, 89, 2, 1)))
    assert await look(house) == ["Day1", "Day2", "Day89"]
    when = datetime.fromtimestamp(NOW - 2 * day, UTC)
    assert await look(house, StartTime=when) == ["Day1", "Day2"]
    assert await look(house, EndTime=when) == ["Day2", "Day89"]
    assert await look(house, StartTime=when, EndTime=when) == ["Day2"]


async def test_pages_are_not_disturbed_by_newer_events(house):
    await append(house, *(record(f"Call{n}", NOW + n // 3) for n in range(8)))
    house.clock.time += 100
    await house.history.catch_up()
    first = await invoke(house, "LookupEvents", {"MaxResults": 3})
    await append(house, record("Newer", NOW + 50), record("SameSecond", NOW + 2))
    await house.history.catch_up()
    seen = [each["EventName"] for each in first["Events"]]
    token = first["NextToken"]
    while token:
        page = await invoke(house, "LookupEvents", {"MaxResults": 3, "NextToken": token})
        seen += [each["EventName"] for each in page["Events"]]
        token = page.get("NextToken")
    assert seen == [f"Call{n}" for n in range(7, -1, -1)]


async def test_a_token_holds_for_its_own_question_only(house):
    await append(house, record("One"), record("Two"))
    await house.history.catch_up()
    token = (await invoke(house, "LookupEvents", {"MaxResults": 1}))["NextToken"]
    other = {"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "One"}], "NextToken": token}
    bad = "InvalidNextTokenException"
    assert await refused(house, "LookupEvents", other) == bad
    assert await refused(house, "LookupEvents", {"NextToken": token}, account="999999999999") == bad
    for forged in ("x", token[:-4], token[::-1], "\ud800", "é" * 50, "A" * 5_000):
        assert await refused(house, "LookupEvents", {"NextToken": forged}) == bad


def attribute(key: str, value: str) -> dict[str, str]:
    return {"AttributeKey": key, "AttributeValue": value}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"MaxResults": 0}, "InvalidMaxResultsException"),
        ({"MaxResults": 51}, "InvalidMaxResultsException"),
        ({"LookupAttributes": [attribute("Nope", "x")]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [attribute("ReadOnly", "True")]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [attribute("EventName", "")]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [attribute("EventName", "x" * 2_001)]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [attribute("EventName", "x\ud800")]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [attribute("EventName", "x")] * 2}, "InvalidLookupAttributesException"),
        ({"StartTime": NOW + 60}, "InvalidTimeRangeException"),
        ({"StartTime": NOW - 1, "EndTime": NOW - 2}, "InvalidTimeRangeException"),
        ({"EventCategory": "data"}, "InvalidEventCategoryException"),
    ],
)
async def test_questions_that_cannot_be_asked(house, given, code):
    assert await refused(house, "LookupEvents", given) == code


async def test_a_line_that_is_no_record_does_not_stop_the_history(house, caplog):
    await append(house, b"{", b'{"managementEvent": "?"}', b"[]", record("Odd", eventTime="noon"), record("Fine"))
    assert await look(house) == ["Fine"]
    assert "line 1 is no record" in caplog.text


async def test_insights_are_a_category_of_their_own(house):
    insight = {"eventCategory": "Insight", "eventType": "AwsCloudTrailInsight"}
    await append(house, record("One"), record("RunInstances", **insight))
    assert await look(house, EventCategory="insight") == ["RunInstances"]
    assert await look(house, ("EventName", "RunInstances"), EventCategory="insight") == ["RunInstances"]
    assert await look(house, ("EventName", "RunInstances")) == []
    assert await look(house) == ["One"]


async def test_a_longer_history_shows_more(tmp_path):
    house = trail_house(history_days=365)
    house.history = HistoryFollower(house.ledger, SqliteHistory(tmp_path), house.clock.now, days=365)
    await append(house, *(record(f"Day{n}", NOW - n * 86_400) for n in (400, 300, 100, 1)))
    assert await look(house) == ["Day1", "Day100", "Day300"]
    house.history.close()


async def test_two_look_ups_a_second_in_an_account_and_region(house):
    house.settings = replace(house.settings, lookup_rate=2)
    answers = [await refused(house, "LookupEvents") for _ in range(3)]
    assert answers == ["", "", "ThrottlingException"]
    assert await refused(house, "LookupEvents", {}, region="eu-west-1") == ""
    assert await refused(house, "LookupEvents", {}, account="999999999999") == ""
    house.clock.time += 0.5
    assert [await refused(house, "LookupEvents", {"MaxResults": 0}) for _ in range(2)] == [
        "InvalidMaxResultsException",
        "ThrottlingException",
    ]


async def test_a_look_up_shows_what_was_answered_before_it(house):
    running = asyncio.ensure_future(house.history.run())
    for n in range(5):
        await append(house, record(f"Call{n}"))
        found = (await invoke(house, "LookupEvents", {"MaxResults": 2}))["Events"]
        assert f"Call{n}" in [each["EventName"] for each in found]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.fixture
async def slow(house, monkeypatch):
    """A house whose index takes in nothing until `release` is set."""
    release, taken = threading.Event(), house.history._add

    def add(lines, through):
        assert release.wait(120)
        taken(lines, through)

    monkeypatch.setattr(house.history, "_add", add)
    running = asyncio.ensure_future(house.history.run())
    yield release
    release.set()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def names_of(house, limit: int = 50, **given) -> list[str]:
    query = HistoryQuery(ACCOUNT, REGION, 0, int(NOW) + 900, limit, **given)
    return [json.loads(each.record)["eventName"] for each in await house.history.lookup(query)]


async def test_lines_that_are_not_in_the_index_yet_are_found_all_the_same(house, slow):
    insight = {"eventCategory": "Insight", "eventType": "AwsCloudTrailInsight"}
    await append(
        house,
        record("Second", NOW + 1),
        data_record("PutObject", "b", "k"),
        b"{",
        record("First", NOW),
        record("Elsewhere", NOW, awsRegion="eu-west-1"),
        record("Third", NOW + 1),
        record("Odd", eventTime="noon"),
        record("Insight", NOW, **insight),
    )
    async with asyncio.timeout(60):
        assert await names_of(house) == ["Third", "Second", "First"]
        assert await names_of(house, 1) == ["Third"]
        assert await names_of(house, before=(int(NOW) + 1, 6)) == ["Second", "First"]
        assert await names_of(house, attribute=("EventName", "First")) == ["First"]
        assert await names_of(house, attribute=("EventName", "Elsewhere")) == []
        assert await names_of(house, attribute=("EventId", f"Second-{NOW + 1}")) == ["Second"]
        assert await names_of(house, category="Insight") == ["Insight"]
        slow.set()
        while house.history.position() < 8:
            assert await names_of(house) == ["Third", "Second", "First"]
    assert await names_of(house) == ["Third", "Second", "First"]


async def test_only_quick_searches_are_done_by_the_event_loop_itself(house, monkeypatch):
    threads = []
    find = house.history._index.find
    monkeypatch.setattr(
        house.history._index, "find", lambda *asked: threads.append(threading.current_thread().name) or find(*asked)
    )
    await append(house, record("First", NOW))
    await house.history.catch_up()

    async def looked_up_by() -> str:
        threads.clear()
        assert await names_of(house) == ["First"]
        return threads[0].partition("_")[0]

    monkeypatch.setattr(history, "WARM_SECONDS", -1)
    assert await looked_up_by() == "history-reader", "nobody searched lately"
    monkeypatch.setattr(history, "WARM_SECONDS", 60)
    monkeypatch.setattr(history, "QUICK_SECONDS", 60)
    assert await looked_up_by() == "MainThread"
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    await names_of(house)
    assert turns, "others take their turn"
    monkeypatch.setattr(history, "QUICK_SECONDS", -1)
    assert [await looked_up_by() for _ in range(2)] == ["history-reader"] * 2
    monkeypatch.setattr(history, "QUICK_SECONDS", 60)
    assert await looked_up_by() == "MainThread"


async def test_a_search_never_waits_in_the_event_loop_for_one_in_the_thread(house, monkeypatch):
    monkeypatch.setattr(history, "WARM_SECONDS", -1)
    going, release = threading.Event(), threading.Event()
    find = house.history._index.find

    def slow(search, limit):
        going.set()
        assert release.wait(60)
        return find(search, limit)

    monkeypatch.setattr(house.history._index, "find", slow)
    first = asyncio.ensure_future(names_of(house))
    while not going.is_set():
        await asyncio.sleep(0.001)
    monkeypatch.setattr(history, "WARM_SECONDS", 60)
    monkeypatch.setattr(history, "QUICK_SECONDS", 60)
    second = asyncio.ensure_future(names_of(house))
    await asyncio.sleep(0.01)
    first.cancel()
    third = asyncio.ensure_future(names_of(house))
    await asyncio.sleep(0.01)
    assert not second.done()
    assert not third.done()
    release.set()
    assert await second == await third == []


async def test_with_many_lines_to_search_a_look_up_is_handed_over(house, slow, monkeypatch):
    monkeypatch.setattr(history, "QUICK_LINES", 2)
    monkeypatch.setattr(history, "QUICK_SECONDS", 60)
    threads = []
    search = house.history._find
    monkeypatch.setattr(
        house.history, "_find", lambda *asked: threads.append(threading.current_thread().name) or search(*asked)
    )
    for n in range(4):
        await append(house, record(f"Call{n}", NOW + n))
        assert len(await names_of(house)) == n + 1
    assert [name.partition("_")[0] for name in threads[1:]] == ["MainThread", "history-reader", "history-reader"]


async def test_what_comes_into_the_index_meanwhile_is_shown_once(house):
    lines = [(seq, record(f"Call{seq}", NOW + seq % 3)) for seq in range(1, 9)]
    await append(house, *(line for _, line in lines))
    await house.history.catch_up()
    search = HistorySearch((place_word(ACCOUNT, REGION, "M"),), 0, int(NOW) + 9)
    everything = list(house.history._index.find(search, 50))
    for start in range(9):
        for limit in (3, 50):
            assert house.history._find(search, limit, lines[start:]) == everything[:limit]


async def test_a_look_up_waits_when_too_many_lines_are_missing(house, slow, monkeypatch):
    monkeypatch.setattr(history_tail, "LINES_MAX", 3)
    await append(house, *(record(f"Call{n}", NOW + n) for n in range(5)))
    waiting = asyncio.ensure_future(names_of(house))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    slow.set()
    assert await waiting == [f"Call{n}" for n in range(4, -1, -1)]


async def test_what_is_handed_over_at_once_is_bounded_in_bytes(house, monkeypatch):
    monkeypatch.setattr(history, "BATCH_BYTES_MAX", 2_000)
    sizes = []
    monkeypatch.setattr(house.history, "_add", lambda lines, through: sizes.append((len(lines), through)))
    await append(house, *(record(f"Call{n}", x="y" * 500) for n in range(5)), record("Long", x="y" * 9_000))
    await house.history.catch_up()
    assert sizes == [(2, 2), (2, 4), (1, 5), (1, 6)]


async def test_following_shows_an_event_soon_after_it_is_durable(house):
    running = asyncio.ensure_future(house.history.run())
    await append(house, record("Soon"))
    async with asyncio.timeout(60):
        while not (await invoke(house, "LookupEvents", {"LookupAttributes": [attribute("EventName", "Soon")]}))[
            "Events"
        ]:
            await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_the_index_is_taken_up_where_it_ended_and_rebuilt_for_another_ledger(house, tmp_path):
    await append(house, *(record(f"Call{n}") for n in range(5)))
    await house.history.catch_up()
    again = HistoryFollower(house.ledger, SqliteHistory(tmp_path), house.clock.now)
    running = asyncio.ensure_future(again.run())
    query = HistoryQuery(ACCOUNT, REGION, 0, int(NOW) + 9, 50)
    assert len(await again.lookup(query)) == 5
    running.cancel()
    other = trail_house()
    await append(other, record("Other"))
    rebuilt = HistoryFollower(other.ledger, SqliteHistory(tmp_path), other.clock.now)
    running = asyncio.ensure_future(rebuilt.run())
    async with asyncio.timeout(60):
        while [json.loads(each.record)["eventName"] for each in await rebuilt.lookup(query)] != ["Other"]:
            await asyncio.sleep(0.001)
    running.cancel()


async def test_data_events_are_kept_only_when_wanted_and_shown_only_when_asked_for(tmp_path):
    house = trail_house()
    await append(house, record("Managed"), data_record("PutObject", "b", "some/key"))
    for wanted in (True, False):
        (tmp_path / str(wanted)).mkdir()
        index = SqliteHistory(tmp_path / str(wanted))
        history = HistoryFollower(house.ledger, index, house.clock.now, data_events=wanted)
        await history.catch_up()
        assert len(await history.lookup(HistoryQuery(ACCOUNT, REGION, 0, int(NOW) + 9, 50))) == 1
        found = index.find(HistorySearch(("rb/some/key",), 0, int(NOW) + 9), 50)
        assert [json.loads(each.record)["eventName"] for each in found] == ["PutObject"] * wanted
        history.close()


async def test_a_body_cannot_hide_its_call_from_the_history(house):
    await append(house, record("Sneaky", requestParameters={"managementEvent": False, "x": '"managementEvent":false,'}))
    assert await look(house) == ["Sneaky"]


async def test_chosen_lines_are_found_across_gaps():
    house = trail_house()
    await append(house, *(record(f"Call{n}") for n in range(1_500)))
    runs = [(1, 2), (5, 1), (400, 300), (1_499, 10)]
    found = [seq async for seq, _ in chosen_lines(house.ledger, runs)]
    assert found == [1, 2, 5, *range(400, 700), 1_499, 1_500]


async def test_a_house_without_history_answers_with_nothing():
    assert await invoke(trail_house(), "LookupEvents") == {"Events": []}
    with pytest.raises(AwsError):
        await invoke(trail_house(), "LookupEvents", {"MaxResults": 99})


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        (b'{"eventCategory":"Data"}', True),
        (b'{"eventCategory":"Management"}', False),
        (b'{"requestParameters":{"eventCategory":"Data"},"eventCategory":"Management"}', False),
        (b'{"requestParameters":{"eventCategory":"Management"},"eventCategory":"Data"}', False),
        (b"{", False),
        (b"", False),
    ],
)
def test_data_events_are_told_without_parsing_only_when_that_is_certain(line, plain):
    assert is_plain_data(line) is plain
