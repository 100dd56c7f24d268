"""Conditions, ranges and response headers of reads, as boto3 sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.services.s3.test_multipart import fails
from tests.services.s3.world import BUCKET

SMALL, LARGE = 100, 70_000


@pytest.fixture(params=[SMALL, LARGE])
def data(request: Any, s3: Any) -> bytes:
    """An object, in the ledger or in a file."""
    data = bytes(number % 251 for number in range(request.param))
    s3.put_object(Bucket=BUCKET, Key="k", Body=data)
    return data


@pytest.mark.parametrize(
    "text", ["bytes=0-0", "bytes=5-", "bytes=-7", "bytes=90-200000", "bytes=-200000", "bytes=0-99"]
)
def test_ranges(s3: Any, data: bytes, text: str):
    first, _, last = text.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(len(data) - int(last), 0)
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    got = s3.get_object(Bucket=BUCKET, Key="k", Range=text)
    assert got["Body"].read() == data[start : end + 1]
    assert got["ContentRange"] == f"bytes {start}-{end}/{len(data)}"
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206


@pytest.mark.parametrize("text", ["bytes=200000-", "bytes=-0", "bytes=" + "9" * 4000 + "-"])
def test_ranges_behind_the_end(s3: Any, data: bytes, text: str):
    assert fails(s3.get_object, Bucket=BUCKET, Key="k", Range=text) == ("InvalidRange", 416)


@pytest.mark.parametrize("text", ["bytes=5-2", "bytes=-", "lines=1-2", "bytes=0-1,3-4", "bytes=a-b", ""])
def test_ranges_that_say_nothing(s3: Any, data: bytes, text: str):
    got = s3.get_object(Bucket=BUCKET, Key="k", Range=text)
    assert got["Body"].read() == data
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_an_empty_object_has_no_ranges(s3: Any):
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"")
    assert fails(s3.get_object, Bucket=BUCKET, Key="k", Range="bytes=0-0") == ("InvalidRange", 416)


def test_conditions(s3: Any, data: bytes):
    etag = s3.head_object(Bucket=BUCKET, Key="k")["ETag"]
    old, new = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)

    def status(**conditions: Any) -> int:
        return fails(s3.get_object, Bucket=BUCKET, Key="k", **conditions)[1]

    for conditions in (
        {"IfMatch": etag}, {"IfMatch": "*"}, {"IfMatch": f'"x", {etag}'}, {"IfNoneMatch": '"x"'},
        {"IfModifiedSince": old}, {"IfUnmodifiedSince": new}, {"IfMatch": etag, "IfUnmodifiedSince": old},
        {"IfNoneMatch": '"x"', "IfModifiedSince": new},
    ):  # fmt: skip
        assert s3.get_object(Bucket=BUCKET, Key="k", **conditions)["Body"].read() == data
    assert status(IfMatch='"x"') == 412
    assert status(IfUnmodifiedSince=old) == 412
    assert status(IfNoneMatch=etag) == 304
    assert status(IfNoneMatch="*") == 304
    assert status(IfModifiedSince=new) == 304


def test_parts_of_an_object_that_has_none(s3: Any, data: bytes):
    got = s3.get_object(Bucket=BUCKET, Key="k", PartNumber=1)
    assert got["Body"].read() == data
    assert "PartsCount" not in got
    assert fails(s3.get_object, Bucket=BUCKET, Key="k", PartNumber=2) == ("InvalidPartNumber", 416)
    assert fails(s3.get_object, Bucket=BUCKET, Key="k", PartNumber=0) == ("InvalidArgument", 400)
    assert fails(s3.get_object, Bucket=BUCKET, Key="k", PartNumber=1, Range="bytes=0-1") == ("InvalidRequest", 400)


def test_headers_of_the_answer_can_be_chosen(s3: Any, stranger: Any, data: bytes):
    chosen = {"ResponseContentType": "a/b", "ResponseCacheControl": "no-store", "ResponseContentLanguage": "de"}
    got = s3.get_object(Bucket=BUCKET, Key="k", **chosen)
    assert (got["ContentType"], got["CacheControl"], got["ContentLanguage"]) == ("a/b", "no-store", "de")


def test_checksums_only_of_the_whole(s3: Any, data: bytes):
    assert "ChecksumCRC32" in s3.get_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED")
    assert "ChecksumCRC32" not in s3.get_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED", Range="bytes=0-1")


def test_a_read_of_a_file_is_recorded_when_its_last_byte_leaves(s3: Any, world: Any, data: bytes):
    s3.get_object(Bucket=BUCKET, Key="k", Range="bytes=1-50")["Body"].read()
    (record,) = world.records("GetObject")
    assert record["additionalEventData"]["bytesTransferredOut"] == 50
