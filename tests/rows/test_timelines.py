"""Which trails log a line, as their configurations change."""

from __future__ import annotations

from opentrail.followers.trail_sweep import sweep
from opentrail.ports import Writes
from opentrail.record.record_head import read_record
from opentrail.rows.cloudtrail import CONFIGS, CURSORS, DeliveryCursor
from opentrail.rows.timelines import Timelines, is_delivery_into
from opentrail.state import Unit
from tests.followers.trail_house import (
    BUCKET,
    append,
    data_record,
    invoke,
    logging_trail,
    record,
    trail_house,
)

WRITES = {"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True, "DataResources": []}


async def test_which_trails_log_a_line_follows_every_change():
    house = trail_house()
    timelines = Timelines(house.ledger)
    assert not timelines.refresh()
    await logging_trail(house)
    assert timelines.refresh()
    assert not timelines.refresh()
    head = house.ledger.head()
    read, write = read_record(record("Get", readOnly=True)), read_record(record("Put"))
    assert timelines.logged(read, head + 1)
    assert not timelines.logged(read, head - 1)
    assert not timelines.logged(read_record(record("Get", recipientAccountId="999999999999")), head + 1)
    await invoke(house, "PutEventSelectors", {"TrailName": "main", "EventSelectors": [WRITES]})
    timelines.refresh()
    change = house.ledger.head()
    assert timelines.logged(read, change - 1)
    assert timelines.logged(read, change), "the change itself is seen as before it"
    assert not timelines.logged(read, change + 1)
    assert [each.newest.name for each in timelines.logging(write, change + 1)] == ["main"]


async def test_global_events_go_to_trails_that_cover_them():
    house = trail_house()
    await logging_trail(house, "without", IncludeGlobalServiceEvents=False)
    await logging_trail(house, "with")
    await invoke(house, "CreateTrail", {"Name": "away", "S3BucketName": BUCKET}, region="eu-west-1")
    await invoke(house, "StartLogging", {"Name": "away"}, region="eu-west-1")
    timelines = Timelines(house.ledger)
    timelines.refresh()
    line = read_record(record("CreateUser", eventSource="iam.amazonaws.com"))
    assert [each.newest.name for each in timelines.logging(line, house.ledger.head())] == ["with"]


async def test_multi_region_trails_reach_everywhere_and_others_stay_at_home():
    house = trail_house()
    await logging_trail(house, "home")
    await logging_trail(house, "everywhere", IsMultiRegionTrail=True)
    timelines = Timelines(house.ledger)
    timelines.refresh()
    away = read_record(record("Away", awsRegion="ap-south-1"))
    assert [each.newest.name for each in timelines.logging(away, house.ledger.head())] == ["everywhere"]


def test_only_cloudtrails_own_puts_into_the_bucket_are_deliveries():
    own = {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
    assert is_delivery_into("logs", read_record(data_record("PutObject", "logs", "k", userIdentity=own)))
    assert not is_delivery_into("logs", read_record(data_record("PutObject", "logs", "k")))
    assert not is_delivery_into("logs", read_record(data_record("PutObject", "other", "k", userIdentity=own)))
    assert not is_delivery_into("logs", read_record(data_record("GetObject", "logs", "k", userIdentity=own)))
    forged = {"type": "IAMUser", "invokedBy": "cloudtrail.amazonaws.com"}
    assert not is_delivery_into("logs", read_record(data_record("PutObject", "logs", "k", userIdentity=forged)))


async def test_the_use_of_a_key_for_a_log_file_is_logged_as_any_use_of_a_key():
    own = {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
    used = read_record(record("GenerateDataKey", eventSource="kms.amazonaws.com", userIdentity=own))
    house = trail_house()
    await logging_trail(house)
    timelines = Timelines(house.ledger)
    timelines.refresh()
    assert [each.newest.name for each in timelines.logging(used, house.ledger.head())] == ["main"]


async def test_configurations_that_a_rolled_back_commit_showed_are_taken_back():
    house = trail_house()
    await logging_trail(house)
    timelines = Timelines(house.ledger)
    timelines.refresh()
    before = dict(house.ledger.rows)
    await invoke(house, "StopLogging", {"Name": "main"})
    timelines.refresh()
    line = read_record(record("Put"))
    assert not timelines.logged(line, house.ledger.head() + 1)
    house.ledger.rows.update(before)
    assert timelines.refresh()


async def test_replaced_configurations_are_cleared_away_once_passed_and_a_day_old():
    house = trail_house()
    await logging_trail(house)
    timelines = Timelines(house.ledger)
    timelines.refresh()
    [timeline] = timelines

    def kept() -> int:
        return len(list(CONFIGS.all(Unit(house, 0.0))))

    house.clock.time += 90_000
    await sweep(house, timelines)
    assert kept() == 2, "the delivery has not passed them"
    cursor = Unit(house, 0.0)
    CURSORS.put(cursor, DeliveryCursor(through=house.ledger.head()), timeline.id)
    await house.ledger.commit(Writes(puts=cursor.writes.puts), ())
    house.clock.time -= 80_000
    await sweep(house, timelines)
    assert kept() == 2, "other readers may lag"
    house.clock.time += 80_000
    await sweep(house, timelines)
    assert kept() == 1
    assert timelines.refresh()
    line = read_record(record("Put"))
    assert timelines.logged(line, house.ledger.head())
    assert timelines.logged(line, 1), "the oldest kept stands for those cleared away"
    await append(house, record("More"))
