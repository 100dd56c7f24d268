"""What needs a clock of its own, or many events: order over pages, retention, and what is left of deleted logs."""

import random

import pytest

from opentrail.call import Call, HttpRequest, Principal
from opentrail.errors import AwsError
from opentrail.followers import log_keeping
from opentrail.followers.log_keeping import LogKeepingFollower
from opentrail.model.load import load_models
from opentrail.rows.log_blocks import BLOCKS, MARKS
from opentrail.rows.log_groups import GONE_LOGS, NEWEST, STREAMS, TALLIES
from opentrail.services import logs_gather
from opentrail.services.logs import service
from tests.fakes.house import build_house, commit, new_unit

ACCOUNT, REGION = "111122223333", "eu-west-1"
DAY = 86_400_000
WHERE = {"logGroupName": "g", "logStreamName": "s"}


@pytest.fixture
async def house():
    made = build_house(models=load_models())
    await call(made, "CreateLogGroup", logGroupName="g")
    for stream in ("s", "t", "u"):
        await call(made, "CreateLogStream", logGroupName="g", logStreamName=stream)
    return made


async def call(house, operation, *, who=None, **given):
    model = load_models().operation("logs", operation)
    made = Call(
        HttpRequest("POST", "/", "", {"host": "localhost"}, None, "127.0.0.1"), "r", "", 0.0, model, REGION, ACCOUNT,
        who or Principal("Root", ACCOUNT, principal_id=ACCOUNT), input=given,
    )  # fmt: skip
    unit = new_unit(house)
    service.guard_of(operation)(made, unit)
    output = await service.handlers[operation](made, unit)
    await commit(unit)
    return output


def now_ms(house):
    return int(house.clock.now() * 1000)


async def put(house, stream, *times, message="m{}"):
    events = [{"timestamp": at, "message": message.format(at)} for at in times]
    await call(house, "PutLogEvents", logGroupName="g", logStreamName=stream, logEvents=events)


def rows(house, *tables):
    unit = new_unit(house)
    return [sum(1 for _ in table.all(unit)) for table in tables]


async def paged(house, operation, **given):
    events, answer = [], {"nextToken": None}
    while "nextToken" in answer:
        token = {"nextToken": answer["nextToken"]} if answer["nextToken"] else {}
        answer = await call(house, operation, **given, **token)
        events += answer["events"]
    return events


@pytest.mark.parametrize("scanned", [8 * 1_048_576, 300])
async def test_events_come_in_order_however_they_were_put(house, monkeypatch, scanned):
    monkeypatch.setattr(logs_gather, "SCANNED_BYTES_MAX", scanned)
    choose = random.Random(scanned)
    expected = []
    for _ in range(60):
        house.clock.time += 0.01
        stream, spread = choose.choice("stu"), choose.choice((5, 50_000, 300_000))
        start = now_ms(house) - choose.randint(0, 400_000)
        times = sorted(choose.randint(start - spread, start) for _ in range(choose.randint(1, 6)))
        await put(house, stream, *times)
        expected += [(at, stream) for at in times]
    expected.sort()

    def seen(events):
        return [(each["timestamp"], each["logStreamName"]) for each in events]

    for limit in (1, 7, 1_000):
        found = await paged(house, "FilterLogEvents", logGroupName="g", limit=limit)
        assert seen(found) == expected
        assert len({each["eventId"] for each in found}) == len(expected)
        back = await paged(house, "FilterLogEvents", logGroupName="g", limit=limit, startFromHead=False)
        assert back == found[::-1]
    named = await paged(house, "FilterLogEvents", logGroupName="g", logStreamNames=["s", "u"], limit=5)
    assert seen(named) == [each for each in expected if each[1] != "t"]
    low, high = expected[40][0], expected[120][0]
    ranged = await paged(house, "FilterLogEvents", logGroupName="g", startTime=low, endTime=high, limit=9)
    assert seen(ranged) == [each for each in expected if low <= each[0] < high]


@pytest.mark.parametrize("back", [False, True])
async def test_a_reader_of_a_stream_gets_everything_however_little_is_looked_at(house, monkeypatch, back):
    monkeypatch.setattr(logs_gather, "SCANNED_BYTES_MAX", 100)
    times = [now_ms(house) - 3_000_000 + number * 30_000 for number in range(100)]
    for at in times:
        await put(house, "s", at, at + 1)
    token, seen = {}, []
    member = "nextBackwardToken" if back else "nextForwardToken"
    while True:
        answer = await call(house, "GetLogEvents", **WHERE, startFromHead=not back, limit=50, **token)
        if token and answer[member] == token["nextToken"]:
            break
        token = {"nextToken": answer[member]}
        page = [each["timestamp"] for each in answer["events"]]
        seen = page + seen if back else seen + page
    assert seen == [each for at in times for each in (at, at + 1)]


async def test_events_expire(house):
    start = now_ms(house)
    await put(house, "s", start - DAY + 1_000, start - DAY + 60_500)
    await put(house, "t", start - DAY + 2_000)
    await call(house, "PutRetentionPolicy", logGroupName="g", retentionInDays=1)
    assert len((await call(house, "FilterLogEvents", logGroupName="g"))["events"]) == 3
    house.clock.time += 10
    found = await call(house, "FilterLogEvents", logGroupName="g")
    assert [each["timestamp"] for each in found["events"]] == [start - DAY + 60_500]
    assert rows(house, BLOCKS, MARKS) == [2, 2]  # what is left of the first one keeps its whole block
    await LogKeepingFollower(house).sweep_expired()
    assert rows(house, BLOCKS, MARKS) == [1, 1]
    house.clock.time += 60
    await LogKeepingFollower(house).sweep_expired()
    assert rows(house, BLOCKS, MARKS) == [0, 0]
    [group] = (await call(house, "DescribeLogGroups"))["logGroups"]
    assert group["storedBytes"] == 0
    [shown, *_] = (await call(house, "DescribeLogStreams", logGroupName="g"))["logStreams"]
    assert "firstEventTimestamp" not in shown


async def test_an_empty_range_at_the_end_of_time_has_tokens_too(house):
    await put(house, "s", now_ms(house))
    for given in ({"endTime": 0}, {"startTime": 10**18}, {"startTime": 0, "endTime": 10**18, "startFromHead": True}):
        answer = await call(house, "GetLogEvents", **WHERE, **given)
        for member in ("nextForwardToken", "nextBackwardToken"):
            again = await call(house, "GetLogEvents", **WHERE, **given, nextToken=answer[member])
            assert len(again["events"]) <= 1


async def test_retention_that_ends_during_a_pass_ends_the_pass(house, monkeypatch):
    monkeypatch.setattr(log_keeping, "BLOCK_ROWS", 1)
    old = now_ms(house) - 3 * DAY
    for number in range(3):
        await put(house, "s", old + number)
    await call(house, "PutRetentionPolicy", logGroupName="g", retentionInDays=1)
    real = house.ledger.commit

    async def commit_and_end(writes, lines):
        await real(writes, lines)
        house.ledger.commit = real
        await call(house, "DeleteRetentionPolicy", logGroupName="g")

    house.ledger.commit = commit_and_end
    await LogKeepingFollower(house).sweep_expired()
    assert rows(house, BLOCKS) == [2]


async def test_what_is_left_of_deleted_logs_is_cleared_away(house, monkeypatch):
    monkeypatch.setattr(log_keeping, "PAGE", 3)
    monkeypatch.setattr(log_keeping, "BLOCK_ROWS", 2)
    for stream in ("s", "t"):
        for number in range(7):
            await put(house, stream, now_ms(house) + number)
    await call(house, "DeleteLogStream", **WHERE)
    await call(house, "CreateLogStream", **WHERE)
    await put(house, "s", now_ms(house) + 100)
    assert len((await call(house, "FilterLogEvents", logGroupName="g"))["events"]) == 8
    await LogKeepingFollower(house).sweep_gone()
    assert rows(house, BLOCKS, MARKS, GONE_LOGS) == [8, 8, 0]
    assert len((await call(house, "FilterLogEvents", logGroupName="g"))["events"]) == 8
    await call(house, "DeleteLogGroup", logGroupName="g")
    await call(house, "CreateLogGroup", logGroupName="g")
    assert (await call(house, "FilterLogEvents", logGroupName="g"))["events"] == []
    await LogKeepingFollower(house).sweep_gone()
    assert rows(house, BLOCKS, MARKS, STREAMS, NEWEST, TALLIES, GONE_LOGS) == [0] * 6


async def test_many_events_share_a_row(house):
    times = range(now_ms(house) - 4_000, now_ms(house))
    await put(house, "s", *times, message="a line of a log, much like the one before, {}")
    assert rows(house, BLOCKS, MARKS) == [1, 1]
    [(_, block)] = BLOCKS.all(new_unit(house))
    assert len(block.data) < block.size / 4
    await put(house, "s", *[now_ms(house) - 3_600_000 + number * 60_000 for number in range(30)])
    assert rows(house, BLOCKS)[0] <= 31


class Counting:
    """A ledger that counts the rows its scans return."""

    def __init__(self, ledger):
        self._ledger, self.rows = ledger, 0

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    def _counted(self, found):
        self.rows += len(found)
        return found

    def scan(self, *given):
        return self._counted(self._ledger.scan(*given))

    def scan_back(self, *given):
        return self._counted(self._ledger.scan_back(*given))


async def test_reading_is_a_seek(house):
    start = now_ms(house) - 40_000_000
    for number in range(400):
        await put(house, "stu"[number % 3], start + number * 100_000)
    counting = house.ledger = Counting(house.ledger)

    async def cost(operation, **given):
        counting.rows = 0
        answer = await call(house, operation, **given)
        assert len(next(iter(answer.values()))) >= 1
        return counting.rows

    middle = start + 200 * 100_000
    assert await cost("GetLogEvents", **WHERE, limit=2) <= 210  # a page of marks, and the blocks that are shown
    assert await cost("GetLogEvents", **WHERE, limit=2, startTime=middle, startFromHead=True) <= 210
    assert await cost("FilterLogEvents", logGroupName="g", limit=2, startTime=middle) <= 16
    assert await cost("FilterLogEvents", logGroupName="g", limit=2, startFromHead=False) <= 16
    assert await cost("DescribeLogStreams", logGroupName="g", orderBy="LastEventTime", limit=1) <= 4
    await put(house, "s", now_ms(house))
    counting.rows = 0
    await put(house, "s", now_ms(house))
    assert counting.rows == 0


async def test_half_a_character_is_refused(house):
    with pytest.raises(AwsError) as caught:
        await put(house, "s", now_ms(house), message="\ud800")
    assert caught.value.code == "InvalidParameterException"
