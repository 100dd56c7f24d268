"""Step 3: what is read whole and what stays a stream; and step 2 where it concerns bodies."""

from __future__ import annotations

import hashlib

import pytest
import pytest_asyncio

from opentrail.model.load import load_models
from opentrail.server import reading, signing
from opentrail.server.reading import streams
from opentrail.server.signing import is_region
from tests.server.gate_house import FailingBody, World, whole_body

TAGGING = b'<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet/></Tagging>'


@pytest_asyncio.fixture
async def world() -> World:
    return await World().open()


def test_the_model_says_which_operations_stream():
    def of(service: str, operation: str) -> bool:
        return streams(load_models().operation(service, operation))

    assert of("s3", "PutObject")
    assert of("s3", "UploadPart")
    assert not of("s3", "PutBucketTagging")
    assert not of("s3", "DeleteObjects")
    assert not of("s3", "GetObject")
    assert not of("sqs", "SendMessage")


async def test_an_upload_is_handed_on_as_a_stream_and_proven_at_its_end(world):
    assert (await world.s3("PUT", "/bucket/k", b"data")).status == 200
    assert list(world.blobs.stored.values()) == [b"data"]
    response = await world.s3("PUT", "/bucket/k", b"data", sent=whole_body(b"date"))
    assert b"XAmzContentSHA256Mismatch" in response.body
    assert list(world.blobs.stored.values()) == [b"data"]


async def test_a_document_is_read_whole_and_proven(world):
    seen = []
    world.trouble = lambda call, _unit: seen.append((call.raw_body, call.body, call.input["Tagging"]))
    assert (await world.s3("PUT", "/bucket?tagging", TAGGING)).status in (200, 204)
    assert seen == [(TAGGING, None, {"TagSet": []})]
    response = await world.s3("PUT", "/bucket?tagging", TAGGING, sent=whole_body(TAGGING.replace(b"2006", b"2007")))
    assert (response.status, len(seen)) == (400, 1)


@pytest.mark.parametrize("kind", ["s3", "sqs"])
async def test_a_document_too_long_is_refused_by_its_declared_length(world, monkeypatch, kind):
    monkeypatch.setattr(reading, "BODY_BYTES_MAX", 50)
    monkeypatch.setattr(signing, "BODY_BYTES_MAX", 50)
    body = TAGGING if kind == "s3" else b'{"QueueName": "' + b"q" * 60 + b'"}'
    call = world.s3("PUT", "/bucket?tagging", body) if kind == "s3" else world.sqs("CreateQueue", body)
    response = await call
    assert (response.status, world.walked) == (400, 0)


async def test_an_unsigned_call_is_refused_without_its_body_being_read(world):
    response = await world.sqs(
        "CreateQueue", {"QueueName": "q"}, key=None, sent=FailingBody(17, AssertionError("read"))
    )
    assert response.status in (400, 403)


async def test_an_upload_of_a_stranger_is_refused_without_its_body_being_read(world):
    response = await world.s3("PUT", "/bucket/k", b"data", key=None, sent=FailingBody(4, AssertionError("read")))
    assert response.status == 403
    response = await world.s3(
        "PUT", "/k", b"data", key=("AKIAUNKNOWN", "x"), sent=FailingBody(4, AssertionError("read"))
    )
    assert response.status == 403


async def test_a_body_of_json_is_part_of_what_was_signed(world):
    response = await world.sqs("CreateQueue", {"QueueName": "q"}, sent=whole_body(b'{"QueueName": "x"}'))
    assert response.status in (400, 403)
    assert world.walked == 0
    assert world.records() == []


async def test_checksums_are_computed_for_uploads_that_bring_none(world):
    asked = []

    async def put(call, _unit):
        async for _ in call.body:
            pass
        asked.append((call.body.md5, sorted(call.body.checksums)))
        return {}

    world.gate._services["s3"].handlers["PutObject"] = put
    assert (await world.s3("PUT", "/bucket/k", b"data")).status == 200
    assert asked == [(hashlib.md5(b"data", usedforsecurity=False).hexdigest(), ["CRC64NVME"])]


@pytest.mark.parametrize("name", ["us-east-1", "garage", "auto", "eu-central-1", "cn-north-1", "a"])
def test_regions(name):
    assert is_region(name)


@pytest.mark.parametrize(
    "name", ["", "US-EAST-1", "-", "us--east", "us-east-1-", "1us", "us/east", "us east", "é", "a" * 33]
)
def test_what_cannot_be_a_region(name):
    assert not is_region(name)
