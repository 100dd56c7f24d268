"""OpenTrail's own calls: the same gate, the same evidence, and what is committed with them."""

from __future__ import annotations

import pytest
import pytest_asyncio

from opentrail.call import Principal
from opentrail.errors import AwsError, LedgerUnavailable
from opentrail.ports import Writes
from tests.server.edge_house import Stream
from tests.server.gate_house import ACCOUNT, World, raising, refused

ROOT = Principal(type="Root", account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:root", principal_id=ACCOUNT)
REGION = "us-east-1"
OBJECT = {"Bucket": "bucket", "Key": "k"}


@pytest_asyncio.fixture
async def world() -> World:
    return await World().open()


def also() -> Writes:
    return Writes(puts={b"cursor\0x": b"7"})


async def test_a_call_leaves_the_evidence_of_any_other(world):
    answer = await world.road.call(ROOT, "sqs", "CreateQueue", {"QueueName": "q"}, region="eu-west-1", source="house")
    assert answer.output["QueueUrl"] == "http://localhost/q"
    (record,) = world.records()
    assert (record["eventName"], record["awsRegion"]) == ("CreateQueue", "eu-west-1")
    assert record["sourceIPAddress"] == record["userAgent"] == "house"
    assert record["requestParameters"] == {"queueName": "q"}


async def test_what_goes_along_is_committed_with_the_effect(world):
    before = world.ledger.commits
    await world.road.call(ROOT, "sqs", "CreateQueue", {"QueueName": "q"}, region=REGION, also=also())
    assert world.ledger.commits - before == 1
    assert world.ledger.get(b"cursor\0x").version == world.ledger.get(b"queue\0q").version


async def test_what_goes_along_survives_conflicts(world):
    world.ledger.conflicts = 2
    await world.road.call(ROOT, "sqs", "CreateQueue", {"QueueName": "q"}, region=REGION, also=also())
    assert world.row(b"cursor\0x") == b"7"


@pytest.mark.parametrize("error", [refused(), ZeroDivisionError()])
async def test_what_goes_along_with_a_failure_is_dropped(world, error):
    world.trouble = raising(error)
    with pytest.raises(AwsError):
        await world.road.call(ROOT, "sqs", "CreateQueue", {"QueueName": "q"}, region=REGION, also=also())
    assert world.row(b"cursor\0x") is None
    assert len(world.records()) == 1


async def test_a_stale_read_of_what_goes_along_fails_the_call(world):
    stale = also()
    stale.reads[b"cursor\0x"] = 99
    with pytest.raises(AwsError) as failed:
        await world.road.call(ROOT, "sqs", "CreateQueue", {"QueueName": "q"}, region=REGION, also=stale)
    assert failed.value.code == "OperationAborted"
    assert world.row(b"queue\0q") is None


async def test_what_is_not_durable_raises(world):
    world.ledger.fail_next = True
    with pytest.raises(AwsError) as failed:
        await world.road.call(ROOT, "sqs", "CreateQueue", {"QueueName": "q"}, region=REGION, also=also())
    assert failed.value.code == "ServiceUnavailable"
    assert world.row(b"cursor\0x") is None
    assert world.records() == []


async def test_bytes_and_streams_are_uploaded(world):
    await world.road.call(ROOT, "s3", "PutObject", OBJECT, region=REGION, body=b"data")
    await world.road.call(ROOT, "s3", "PutObject", OBJECT, region=REGION, body=Stream(b"in ", b"parts"))
    assert sorted(world.blobs.stored.values()) == [b"data", b"in parts"]
    assert [record["additionalEventData"]["bytesTransferredIn"] for record in world.records()] == [4, 8]


async def test_a_streamed_read_is_recorded_before_its_last_chunk(world):
    answer = await world.road.call(ROOT, "s3", "GetObject", OBJECT, region=REGION)
    assert answer.stream is not None
    assert answer.stream.length == 9
    chunks = answer.stream.chunks()
    assert await anext(chunks) == b"first"
    assert world.records() == []
    assert await anext(chunks) == b"last"
    (record,) = world.records()
    assert record["additionalEventData"]["bytesTransferredOut"] == 9
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)
    await answer.stream.close()
    assert len(world.records()) == 1
    assert world.streams[0].closed == 1


async def test_a_streamed_read_given_up_is_recorded_as_far_as_it_went(world):
    answer = await world.road.call(ROOT, "s3", "GetObject", OBJECT, region=REGION)
    assert answer.stream is not None
    chunks = answer.stream.chunks()
    await anext(chunks)
    await answer.stream.close()
    assert [record["additionalEventData"]["bytesTransferredOut"] for record in world.records()] == [5]
    assert world.streams[0].closed == 1


async def test_a_read_that_cannot_be_recorded_does_not_end_and_is_closed(world):
    answer = await world.road.call(ROOT, "s3", "GetObject", OBJECT, region=REGION)
    assert answer.stream is not None
    world.ledger.fail_next = True
    chunks = answer.stream.chunks()
    assert await anext(chunks) == b"first"
    with pytest.raises(LedgerUnavailable):
        await anext(chunks)
    await answer.stream.close()
    assert world.streams[0].closed == 1


async def test_a_read_that_can_never_be_recorded_is_closed_all_the_same(world):
    answer = await world.road.call(ROOT, "s3", "GetObject", OBJECT, region=REGION)
    assert answer.stream is not None
    world.ledger.fail_next = True
    with pytest.raises(LedgerUnavailable):
        await answer.stream.close()
    assert world.streams[0].closed == 1
