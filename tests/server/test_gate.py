"""The one road: what is recorded, what is answered, and that nothing happens by halves."""

from __future__ import annotations

import json

import pytest
import pytest_asyncio

from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.server.gate import CONFLICTS_MAX
from tests.server.gate_house import KEY, SECRET, FailingBody, World, raising, refused, whole_body

QUEUE = {"QueueName": "q"}


@pytest_asyncio.fixture
async def world() -> World:
    return await World().open()


async def test_effect_and_record_are_one_commit(world):
    before = world.ledger.commits
    response = await world.sqs("CreateQueue", QUEUE)
    assert response.status == 200
    assert b"http://localhost/q" in response.body
    assert world.ledger.commits - before == 1
    assert world.ledger.get(b"queue\0q").version == world.ledger.head()
    (record,) = world.records()
    assert (record["eventName"], record["userIdentity"]["type"]) == ("CreateQueue", "Root")
    assert record["sourceIPAddress"] == "192.0.2.7"
    assert record["requestID"] == response.headers["x-amzn-RequestId"]
    assert "errorCode" not in record


async def test_a_refusal_of_the_handler_is_recorded_and_changes_nothing(world):
    world.trouble = raising(refused())
    response = await world.sqs("CreateQueue", QUEUE)
    assert response.status == 400
    assert world.row(b"queue\0q") is None
    (record,) = world.records()
    assert "QueueDeletedRecently" in record["errorCode"]
    assert record["errorMessage"] == "no"


async def test_an_operation_that_is_not_built_is_recorded_as_such(world):
    response = await world.sqs("ListQueues", {})
    assert response.status == 501
    (record,) = world.records()
    assert (record["eventName"], record["errorCode"]) == ("ListQueues", "NotImplemented")
    assert (await world.s3("GET", "/bucket?acl")).status == 501
    assert [each["errorCode"] for each in world.records()] == ["NotImplemented"] * 2


# --- defects of ours


async def test_a_defect_in_a_handler_is_recorded_and_logged_under_the_request_id(world, caplog):
    world.trouble = raising(ZeroDivisionError("oops"))
    response = await world.sqs("CreateQueue", QUEUE)
    assert response.status == 500
    assert b"oops" not in response.body
    assert world.row(b"queue\0q") is None
    (record,) = world.records()
    assert record["errorCode"] == "InternalError"
    assert "ZeroDivisionError: oops" in caplog.text
    assert record["requestID"] in caplog.text


async def test_a_defect_while_reading_is_recorded(world, caplog):
    body = b"<Tagging><TagSet/></Tagging>"
    response = await world.s3("PUT", "/bucket?tagging", body, sent=FailingBody(len(body), ZeroDivisionError("oops")))
    assert (response.status, world.walked) == (500, 0)
    (record,) = world.records()
    assert (record["eventName"], record["errorCode"]) == ("PutBucketTagging", "InternalError")
    assert "ZeroDivisionError" in caplog.text


async def test_a_defect_before_it_is_known_who_calls_is_answered_and_not_recorded(world, caplog):
    response = await world.sqs("CreateQueue", QUEUE, sent=FailingBody(17, ZeroDivisionError("oops")))
    assert response.status == 500
    assert b"oops" not in response.body
    assert world.records() == []
    assert "ZeroDivisionError" in caplog.text


async def test_an_output_that_cannot_be_written_is_a_defect_and_nothing_happens(world, caplog, monkeypatch):
    async def no_shape(call, unit):
        unit.put(b"queue\0q", b"")
        return {"QueueUrl": object()}

    monkeypatch.setitem(world.gate._services["sqs"].handlers, "CreateQueue", no_shape)
    response = await world.sqs("CreateQueue", QUEUE)
    assert response.status == 500
    assert world.row(b"queue\0q") is None
    assert [record["errorCode"] for record in world.records()] == ["InternalError"]


# --- outputs that are made while the record becomes durable


async def test_what_is_made_later_is_made_while_the_record_becomes_durable(world, monkeypatch):
    seen = []

    async def long_one(call, unit):
        unit.put(b"queue\0q", b"")
        call.later = lambda: seen.append(len(world.records())) or {"QueueUrl": "u"}
        return {}

    monkeypatch.setitem(world.gate._services["sqs"].handlers, "CreateQueue", long_one)
    response = await world.sqs("CreateQueue", QUEUE)
    assert (response.status, json.loads(response.body)) == (200, {"QueueUrl": "u"})
    assert seen == [1], "the ledger has it before the output is made"
    (record,) = world.records()
    assert "errorCode" not in record


async def test_what_cannot_be_made_later_is_told_by_a_second_record(world, monkeypatch, caplog):
    async def no_shape(call, unit):
        call.later = lambda: {"QueueUrl": object()}
        return {}

    monkeypatch.setitem(world.gate._services["sqs"].handlers, "CreateQueue", no_shape)
    response = await world.sqs("CreateQueue", QUEUE)
    assert response.status == 500
    first, second = world.records()
    assert first["requestID"] == second["requestID"]
    assert (first.get("errorCode"), second["errorCode"]) == (None, "InternalError")
    assert second["requestID"] in caplog.text


async def test_what_is_made_later_is_not_answered_without_its_record(world, monkeypatch):
    async def long_one(call, unit):
        call.later = lambda: {"QueueUrl": "u"}
        return {}

    async def full(writes, lines):
        raise LedgerUnavailable("disk full")

    monkeypatch.setitem(world.gate._services["sqs"].handlers, "CreateQueue", long_one)
    monkeypatch.setattr(world.ledger, "commit", full)
    assert (await world.sqs("CreateQueue", QUEUE)).status == 503
    assert world.records() == []


# --- conflicts


async def test_a_conflict_walks_the_call_again(world):
    def note(call, unit):
        call.evidence.additional["attempt"] = world.walked
        if world.walked == 1:
            raise refused()

    world.trouble = note
    world.ledger.conflicts = 2
    response = await world.sqs("CreateQueue", QUEUE)
    assert (response.status, world.walked) == (200, 3)
    (record,) = world.records()
    assert "errorCode" not in record
    assert record["additionalEventData"]["attempt"] == 3
    assert world.row(b"queue\0q") == b"2"


async def test_too_many_conflicts_are_an_error_and_recorded(world):
    world.ledger.conflicts = CONFLICTS_MAX
    response = await world.s3("PUT", "/bucket/k", b"data")
    assert (response.status, world.walked) == (409, CONFLICTS_MAX)
    assert world.row(b"object\0k") is None
    assert [record["errorCode"] for record in world.records()] == ["OperationAborted"]
    assert world.blobs.stored == {}


async def test_a_handler_that_meets_a_conflict_itself_is_walked_again(world):
    world.trouble = raising(Conflict(b"k"), times=2)
    assert (await world.sqs("CreateQueue", QUEUE)).status == 200
    assert world.walked == 3
    assert len(world.records()) == 1


async def test_what_was_stored_once_is_not_stored_again(world):
    world.ledger.conflicts = 3
    assert (await world.s3("PUT", "/bucket/k", b"data")).status == 200
    assert list(world.blobs.stored.values()) == [b"data"]
    assert world.blobs.kept == set(world.blobs.stored)


# --- a ledger that cannot write


async def test_what_is_not_durable_did_not_happen(world):
    world.ledger.fail_next = True
    response = await world.sqs("CreateQueue", QUEUE)
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert world.row(b"queue\0q") is None
    assert world.records() == []


async def test_blobs_of_a_call_that_did_not_happen_are_removed(world):
    world.ledger.fail_next = True
    assert (await world.s3("PUT", "/bucket/k", b"data")).status == 503
    assert world.blobs.stored == {}


async def test_a_ledger_that_fails_after_all_the_conflicts(world):
    world.ledger.conflicts = CONFLICTS_MAX
    world.ledger.fail_next = True
    assert (await world.sqs("CreateQueue", QUEUE)).status == 503
    assert world.records() == []


async def test_a_handler_whose_own_commit_fails(world):
    world.trouble = raising(LedgerUnavailable("full"))
    assert (await world.sqs("CreateQueue", QUEUE)).status == 503
    assert world.records() == []


# --- who calls


@pytest.mark.parametrize("key", [(KEY, SECRET[:-1] + "x"), ("AKIAIOSFODNN7UNKNOWN", SECRET), None])
async def test_whoever_cannot_prove_who_he_is_is_answered_and_not_recorded(world, key):
    response = await world.sqs("CreateQueue", QUEUE, key=key)
    assert response.status in (400, 403)
    assert world.walked == 0
    assert world.records() == []


async def test_an_anonymous_call_of_s3_is_refused(world):
    response = await world.s3("GET", "/bucket/k", key=None)
    assert (response.status, world.walked) == (403, 0)
    assert world.records() == []  # nobody's bucket, so nobody's record


async def test_a_request_for_nothing_there_is_is_answered_and_not_recorded(world):
    response = await world.sqs("DrainQueue", {})
    assert response.status in (400, 404)
    assert world.records() == []


# --- step 3


@pytest.mark.parametrize("given", [b"{", b"[]", b'{"QueueName": 5}', b"{}", b"\xff", b"[" * 100_000])
async def test_a_request_that_cannot_be_understood_is_recorded(world, given):
    response = await world.sqs("CreateQueue", given)
    assert (response.status, world.walked) == (400, 0)
    (record,) = world.records()
    assert record["eventName"] == "CreateQueue"
    assert record["errorCode"]


async def test_an_upload_that_breaks_off_is_recorded_and_leaves_nothing(world):
    broken = AwsError("IncompleteBody", "The client went away.", 400)
    response = await world.s3("PUT", "/bucket/k", b"data", sent=FailingBody(4, broken))
    assert response.status == 400
    assert [record["errorCode"] for record in world.records()] == ["IncompleteBody"]
    assert world.row(b"object\0k") is None


async def test_a_body_that_is_not_what_was_signed_leaves_nothing(world):
    response = await world.s3("PUT", "/bucket/k", b"data", sent=whole_body(b"evil"))
    assert response.status == 400
    assert world.blobs.stored == {}
    assert world.row(b"object\0k") is None


# --- blobs


async def test_a_blob_stored_for_a_call_that_was_refused_is_removed(world):
    world.trouble = raising(refused("PreconditionFailed"))
    assert (await world.s3("PUT", "/bucket/k", b"data")).status == 400
    assert world.blobs.stored == {}


async def test_a_blob_named_by_the_commit_is_kept_and_one_let_go_removed(world):
    await world.s3("PUT", "/bucket/k", b"old")
    (old,) = world.blobs.kept
    world.trouble = lambda _call, unit: unit.writes.dropped_blobs.append(old)
    await world.s3("PUT", "/bucket/k", b"new")
    assert list(world.blobs.stored.values()) == [b"new"]
    assert world.blobs.kept == set(world.blobs.stored)


# --- answers that stream


async def test_a_streamed_answer_is_recorded_by_its_seal(world):
    response = await world.s3("GET", "/bucket/k")
    assert response.status == 200
    assert world.records() == []
    assert world.row(b"read\0k") is None
    await response.seal(9, True)
    (record,) = world.records()
    assert (record["eventName"], record["additionalEventData"]["bytesTransferredOut"]) == ("GetObject", 9)
    assert world.row(b"read\0k") == b""
    assert world.streams[0].closed == 0  # the edge's


async def test_a_broken_stream_is_recorded_as_far_as_it_went(world):
    response = await world.s3("GET", "/bucket/k")
    await response.seal(5, False)
    assert [record["additionalEventData"]["bytesTransferredOut"] for record in world.records()] == [5]


async def test_a_stream_that_cannot_be_recorded_raises_at_its_seal(world):
    response = await world.s3("GET", "/bucket/k")
    world.ledger.fail_next = True
    with pytest.raises(LedgerUnavailable):
        await response.seal(9, True)
    assert world.records() == []


@pytest.mark.parametrize("error", [refused("InvalidRange"), ZeroDivisionError(), LedgerUnavailable("full")])
async def test_a_stream_opened_in_vain_is_closed(world, error):
    world.trouble = raising(error)
    response = await world.s3("GET", "/bucket/k")
    assert response.status in (400, 500, 503)
    assert isinstance(response.body, bytes)
    assert [stream.closed for stream in world.streams] == [1]


async def test_a_stream_of_a_call_walked_again_is_closed(world):
    world.trouble = raising(Conflict(b"k"), times=1)
    response = await world.s3("GET", "/bucket/k")
    assert [stream.closed for stream in world.streams] == [1, 0]
    assert response.body is world.streams[1]


async def test_a_stream_whose_head_cannot_be_written_is_closed(world):
    async def no_shape(call, unit):
        await world.get_object(call, unit)
        return {"LastModified": object()}

    world.gate._services["s3"].handlers["GetObject"] = no_shape
    response = await world.s3("GET", "/bucket/k")
    assert (response.status, isinstance(response.body, bytes)) == (500, True)
    assert [stream.closed for stream in world.streams] == [1]
    assert world.row(b"read\0k") is None
    assert [record["errorCode"] for record in world.records()] == ["InternalError"]


# --- the server's own pages


async def test_health_needs_no_key_and_is_no_call(world):
    response = await world.send("GET", "http://localhost/_opentrail/health", b"", {}, service="s3", key=None)
    assert response.status == 200
    assert b'"status":"ok"' in response.body
    missing = await world.send("GET", "http://localhost/_opentrail/other", b"", {}, service="s3", key=None)
    assert missing.status == 404
    assert world.records() == []
